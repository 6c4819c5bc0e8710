from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "pandas",
    "httpx",
    "httpcore",
    "ipywidgets",
    "anywidget",
    "starlette",
    "uvicorn",
    "numpy",
    "httpx_sse",
    "anyio",
)
IPYTHON = ("IPython", "traitlets")
TELL = "\nimport json, sys; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
SHELL = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
before = set(shell.magics_manager.magics["cell"])
"""


def loaded_by(program: str, home: Path) -> set[str]:
    environment = {**os.environ, "HOME": str(home), "IPYTHONDIR": str(home), "PYTHONWARNINGS": "error"}
    environment.pop("PYTHONSTARTUP", None)
    words = [sys.executable, "-c", program + TELL]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "program",
    [
        "import streamnb",
        "import streamnb; streamnb.__version__; dir(streamnb)",
        "import streamnb.events, streamnb.errors, streamnb.wire, streamnb.transcript, streamnb.redaction",
        "import streamnb.providers; streamnb.providers.load('openai_chat')(); streamnb.providers.names()",
        "import streamnb.testing; streamnb.testing.events('typebot', b'0:\"Hi\"\\n')",
        "import streamnb; streamnb.Event; streamnb.Outcome; streamnb.UsageError",
    ],
)
def test_an_import_loads_nothing_heavy(program: str, tmp_path: Path):
    assert loaded_by(program, tmp_path) & {*HEAVY, *IPYTHON} == set()


def test_loading_the_extension_loads_nothing_heavy_and_unloading_leaves_nothing(tmp_path: Path):
    program = SHELL + (
        "shell.run_line_magic('load_ext', 'streamnb')\n"
        "assert 'chatstream' in shell.magics_manager.magics['cell']\n"
        "shell.run_line_magic('unload_ext', 'streamnb')\n"
        "assert set(shell.magics_manager.magics['cell']) == before\n"
        "shell.run_line_magic('load_ext', 'streamnb')\n"
    )
    assert loaded_by(program, tmp_path) & {*HEAVY} == set()


def test_an_import_makes_no_file_no_thread_and_no_child(tmp_path: Path):
    program = (
        "import threading, streamnb, streamnb.companions, streamnb.portal, streamnb.shelf, streamnb.journal\n"
        "assert threading.active_count() == 1\n"
        "assert streamnb.companions._SIMULATOR._child is None\n"
        "assert streamnb.portal._loop is None\n"
    )
    loaded_by(program, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_public_name_is_loaded_when_it_is_used(tmp_path: Path):
    found = loaded_by("import streamnb; streamnb.stream", tmp_path)
    assert "httpx" in found
    assert found & {"pandas", "ipywidgets", "anywidget", "starlette", "uvicorn", "IPython"} == set()


def test_a_name_that_does_not_exist_is_an_attribute_error():
    import streamnb

    with pytest.raises(AttributeError, match="has no attribute 'strem'"):
        _ = streamnb.strem
