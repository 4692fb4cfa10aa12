"""Where a node keeps its things, and what a user without a home is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from hardline.errors import ConfigError
from hardline.places import Places, default_places

NOBODY = 123_456_789  # no user of any system


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A user without HOME and without an entry in the list of users."""
    monkeypatch.setattr("os.geteuid", lambda: NOBODY)
    monkeypatch.setattr("os.getuid", lambda: NOBODY)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_without_a_home_the_error_names_the_flags(homeless: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=f"user {NOBODY} has no home directory") as caught:
        default_places()
    assert "--datadir" in caught.value.hint


@pytest.mark.parametrize("home", ["home", "~"])
def test_a_home_that_is_no_whole_path_is_none(homeless: pytest.MonkeyPatch, home: str) -> None:
    homeless.setenv("HOME", home)
    with pytest.raises(ConfigError):
        default_places()


def test_the_directories_of_the_desktop_are_enough(homeless: pytest.MonkeyPatch) -> None:
    homeless.setenv("XDG_CONFIG_HOME", "/c")
    homeless.setenv("XDG_DATA_HOME", "/d")
    services, config = Path("/c/hardline/services"), Path("/c/hardline/hardline.ini")
    assert default_places() == Places(services, Path("/d/hardline"), config)
