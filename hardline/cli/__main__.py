"""`python -m hardline.cli`."""

from __future__ import annotations

import sys

from hardline.cli import main

sys.exit(main())
