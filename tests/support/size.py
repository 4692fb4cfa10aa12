"""How much of the slow tests is run: a sample, or all (`make test-all`, HARDLINE_TEST_FULL=1)."""

from __future__ import annotations

import os

FULL = os.environ.get("HARDLINE_TEST_FULL") == "1"
