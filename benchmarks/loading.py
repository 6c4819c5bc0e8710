"""What `%load_ext streamnb` costs a kernel, and what it must not bring along.

Knows one magic command and `sys.modules`. Must not know: the package's insides. One process per measurement.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

from benchmarks.rows import Row

HEAVY = ("pandas", "pyarrow", "httpx", "httpx2", "ipywidgets", "anywidget")
_CHILD = f"""
import json, sys, time
import ipykernel.ipkernel
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
before = set(sys.modules)
began = time.process_time()
shell.run_line_magic("load_ext", "streamnb")
spent = time.process_time() - began
print(json.dumps([spent, [name for name in {HEAVY!r} if name in sys.modules and name not in before]]))
"""


def load_ext_row(times: int) -> Row:
    """CPU of the magic, the median of some fresh processes that already have IPython and ipykernel."""
    spent, brought = [], set()
    for _ in range(times):
        done = subprocess.run([sys.executable, "-c", _CHILD], capture_output=True, text=True, check=True)
        cpu_s, names = json.loads(done.stdout.splitlines()[-1])
        spent.append(cpu_s * 1e3)
        brought.update(names)
    note = f"and it imports {', '.join(sorted(brought))}" if brought else "none of " + ", ".join(HEAVY)
    return Row("%load_ext streamnb, CPU", statistics.median(spent), "ms", target=40, note=note)
