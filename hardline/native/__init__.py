"""The part in C, where it was built: `carry` is its module, or None, and then `why_not` says why.

It is optional: without a compiler at install time, and with HARDLINE_NATIVE=0, Python does all of its work.  Whether
what it relies on is there is found out by transport/native.py, which alone uses it for connections.
"""

from __future__ import annotations

import os
from importlib import import_module
from types import ModuleType

_INTERFACE = 2  # _carry.c has the same


def _load() -> tuple[ModuleType | None, str]:
    if os.environ.get("HARDLINE_NATIVE") == "0":
        return None, "turned off by HARDLINE_NATIVE=0"
    try:
        found = import_module("hardline.native._carry")
    except ImportError as failure:
        return None, f"not built here ({failure})"
    if getattr(found, "INTERFACE", 0) != _INTERFACE:
        return None, "what was built here is of another version: install again"
    return found, ""


carry, why_not = _load()
