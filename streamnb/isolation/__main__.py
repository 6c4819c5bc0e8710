"""`python -m streamnb.isolation`: the process that captures for the one that started it.

Knows its pipes. Must not know: anything else.
"""

from __future__ import annotations

import sys

from streamnb.isolation._service import main

sys.exit(main())
