"""A faithful server of the streaming chat APIs on loopback, a process of its own: `python -m streamnb.simulator`.

Knows the wire facts of each API and how to be late, wrong or cut. Must not know: any client, provider or notebook.
"""
