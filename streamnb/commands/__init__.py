"""What `streamnb COMMAND` does, a module for each command; only what a command needs is loaded.

Knows exit codes. Must not know: anything else.
"""

from __future__ import annotations

from typing import Final

FAILED: Final = 1
"""A run ended badly, or a file cannot be read or written."""

WRONG: Final = 2
"""The words on the command line do not fit; as argparse has it."""

INTERRUPTED: Final = 130
"""Ctrl-C, as a shell counts signals: 128 + SIGINT."""

BROKEN_PIPE: Final = 141
"""Nobody reads the output any more (`| head`): 128 + SIGPIPE."""
