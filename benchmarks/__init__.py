"""What streamnb costs beside what people use instead: `python -m benchmarks.capture`, `.framing`, `.tables`.

Knows the package from outside. Must not know: its internals, beyond what a benchmark names in its own first lines.
"""
