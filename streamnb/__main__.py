"""`python -m streamnb`. Knows the command line; must not know anything else."""

from __future__ import annotations

import sys

from streamnb.cli import main

sys.exit(main())
