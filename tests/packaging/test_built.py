"""What is in a wheel and in an archive of the sources, and that the one is made of the other."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IN_A_WHEEL = (
    "hardline/py.typed",
    "hardline/web/page.js",
    "hardline/cli/completions/hardline",
    "data/share/man/man1/hardline.1",
    "data/share/bash-completion/completions/hardline",
    "data/share/zsh/site-functions/_hardline",
    "data/share/fish/vendor_completions.d/hardline.fish",
    "data/share/doc/hardline-tunnel/README.md",
    "data/share/doc/hardline-tunnel/docs/HTTPS.md",
    "data/share/doc/hardline-tunnel/docs/images/page.webp",
    "data/share/doc/hardline-tunnel/docs/decisions/0001-data-path.md",
    "data/share/doc/hardline-tunnel/services.d/example.ini",
)
IN_THE_SOURCES = (
    *("ARCHITECTURE.md", "CHANGELOG.md", "Makefile", "docs/PROTOCOL.md", "docs/images/page.webp", "man/hardline.1"),
    *("hardline/native/carry.h", "hardline/native/_carry.c", "packaging/nfpm.yaml", "scripts/generate.py"),
    *("services.d/example.ini", "tests/vectors/1-identity.json", "tests/test_pictures.py"),
)


def test_whatever_is_named_for_a_package_is_there() -> None:
    """The quick half: what the built ones are made of, in this tree."""
    for name in (*IN_THE_SOURCES, *(one for one in IN_A_WHEEL if one.startswith("hardline/"))):
        assert (ROOT / name).is_file(), name


@pytest.mark.full  # compiles the part in C twice
def test_an_archive_of_the_sources_makes_a_wheel_with_all_that_people_need(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".git", ".venv*", "build", "run", "*.egg-info", "corpus"))
    made = tmp_path / "made"
    made.mkdir()
    build = "import sys; from setuptools.build_meta import build_sdist; print(build_sdist(sys.argv[1]))"
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    run = {"check": True, "capture_output": True, "timeout": 400, "env": environment}
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], **run)  # type: ignore[call-overload]
    python = venv / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "setuptools>=77", "wheel"], **run)  # type: ignore[call-overload]
    subprocess.run([python, "-c", build, made], cwd=tree, **run)  # type: ignore[call-overload]
    (archive,) = made.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    assert not [name for name in IN_THE_SOURCES if name not in names]
    assert not [name for name in names if "__pycache__" in name or name.endswith((".so", ".pyc"))]
    command = [
        python,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        made,
        archive,
    ]
    subprocess.run(command, cwd=tmp_path, **run)  # type: ignore[call-overload]
    (wheel,) = made.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        names = {name.partition(".data/")[2] or name for name in opened.namelist()}
    assert not [name for name in IN_A_WHEEL if name not in names]
