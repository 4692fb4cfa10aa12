"""Programs that write their paths as they like: apt has a flat repository under /./."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.cache.serving import serving
from tests.support import needs
from tests.support.programs import curl

pytestmark = needs.linux()

PACKAGES = """\
Package: hardline-flat
Version: 1
Architecture: all
Maintainer: A <a@example.org>
Filename: ./hardline-flat.deb
Size: 3
SHA256: ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad
Description: found in a flat repository

"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    (root / "sub").mkdir(parents=True)
    (root / "Packages").write_text(PACKAGES)
    (root / "hardline-flat.deb").write_bytes(b"abc")
    (root / "sub" / "f.txt").write_text("f")
    return root


@needs.tools("apt-get", "apt-cache")
def test_apt_updates_from_a_shared_directory(repository: Path, tmp_path: Path) -> None:
    state = tmp_path / "apt"
    for directory in ("lists/partial", "archives/partial", "etc", "cache"):
        (state / directory).mkdir(parents=True)
    (state / "status").touch()
    with serving(repository) as site:
        (state / "sources.list").write_text(f"deb [trusted=yes] {site.url('/')} ./\n")
        options = [
            *("-o", f"Dir::State={state}", "-o", f"Dir::State::lists={state}/lists", "-o", f"Dir::Cache={state}/cache"),
            *(
                "-o",
                f"Dir::State::status={state}/status",
                "-o",
                f"Dir::Etc={state}/etc",
                "-o",
                "APT::Sandbox::User=root",
            ),
            *("-o", f"Dir::Etc::sourcelist={state}/sources.list", "-o", "Dir::Etc::sourceparts=-"),
            *("-o", "Acquire::http::Proxy=DIRECT", "-o", "Acquire::Languages=none"),
        ]
        updated = subprocess.run(
            ["apt-get", *options, "update"], capture_output=True, text=True, timeout=120, check=False
        )
        assert updated.returncode == 0, updated.stdout + updated.stderr
        shown = subprocess.run(
            ["apt-cache", *options, "show", "hardline-flat"], capture_output=True, text=True, timeout=60, check=False
        )
        assert "found in a flat repository" in shown.stdout, updated.stdout + updated.stderr + shown.stderr


@needs.tools("curl")
@pytest.mark.parametrize(
    "path", ["/./Packages", "/%2e/Packages", "/sub/../Packages", "/sub/%2E%2e/./Packages", "//./Packages"]
)
def test_dot_segments_are_removed_first(repository: Path, path: str) -> None:
    with serving(repository) as site:
        assert curl(site.url(path), "--path-as-is").text == PACKAGES


@needs.tools("curl")
@pytest.mark.parametrize(
    "path", ["/../secret", "/sub/../../secret", "/./../secret", "/%2e%2e/secret", "/sub/%2e%2e/.%2E/secret"]
)
def test_what_then_leads_out_is_not_there(repository: Path, path: str) -> None:
    (repository.parent / "secret").write_text("secret")
    with serving(repository) as site:
        assert curl(site.url(path), "--path-as-is").status == 404
