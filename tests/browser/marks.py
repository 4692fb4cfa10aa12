"""What every test of the browser suite needs."""

from __future__ import annotations

import pytest

from tests.support import needs

BROWSER = [
    pytest.mark.netns,
    pytest.mark.browser,
    needs.linux(),
    needs.root(),
    needs.tools("ip", "sysctl", "curl", "chromium"),
]
