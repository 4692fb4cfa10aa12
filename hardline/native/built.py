"""The part in C, where it was built: `carry` is its module, or None, and then `why_not` says why.

It is optional: without a compiler at install time, and with HARDLINE_NATIVE=0, Python does all of its work.  Whether
what it relies on is there is found out by transport/native.py; books.py says what both count together.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

_INTERFACE = 5  # carry.h has the same


def _load() -> tuple[ModuleType | None, str]:
    try:
        found = import_module("hardline.native._carry")
    except ModuleNotFoundError as failure:
        return None, f"not built here ({failure})"
    except ImportError as failure:  # in its own words, or the linker's
        return None, str(failure)
    if getattr(found, "INTERFACE", 0) != _INTERFACE:
        return None, "what was built here is of another version: install again"
    return found, ""


carry, why_not = _load()
