"""What a test needs of the machine, and what happens when it is not there.

These are the only ways to skip:

    pytestmark = [needs.root(), needs.tools("ip", "curl")]     # a developer's machine: skipped, with the reason
                                                               # CI: whatever can be installed is required: a failure
    if not lab.has_ipv6: needs.cannot("IPv6")                  # the machine can never have it: skipped everywhere

tests/conftest.py turns every skip into a failure when CI=true, but for those that `cannot` made.
"""

from __future__ import annotations

import os
import shutil
import sys
from typing import NoReturn

import pytest

CANNOT = "this machine cannot have"


def root() -> pytest.MarkDecorator:
    """Namespaces, mounts and low ports."""
    return pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def tools(*names: str) -> pytest.MarkDecorator:
    """Programs on the PATH; tests/support/install.sh knows their packages."""
    missing = [name for name in names if shutil.which(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}: see tests/support/install.sh")


def linux() -> pytest.MarkDecorator:
    """What only Linux has."""
    return pytest.mark.skipif(sys.platform != "linux", reason=f"{CANNOT} Linux")


def cannot(what: str) -> NoReturn:
    """Skip, in CI too: there is no way to give `what` to this machine."""
    pytest.skip(f"{CANNOT} {what}")
