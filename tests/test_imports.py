"""Who may import whom: the tree and the table of ARCHITECTURE.md, held against every file of hardline/."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.pure

ROOT = Path(__file__).parent.parent
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "hardline").rglob("*.py"))
}

ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text()
PURE_MARK, SHELL_MARK = "○", "●"


def drawn(text: str) -> dict[str, str]:
    """The tree: module → its mark.  A directory heads its files, and a mark stands behind those that it is of."""
    marks: dict[str, str] = {}
    package, named = "", []
    for word in text.partition("## The tree")[2].split("```")[1].split():
        if word.endswith("/"):
            package = "hardline." + word.removeprefix("hardline/").replace("/", ".")
        elif word.endswith(".py"):
            named.append(package + word.removesuffix(".py"))
        elif word in (PURE_MARK, SHELL_MARK):
            marks |= dict.fromkeys(named, word)
            named = []
    assert not named, f"neither {PURE_MARK} nor {SHELL_MARK}: {named}"
    return marks


def layers(text: str) -> list[tuple[str, str, str]]:
    """The table: of every layer its name, the units in it, and the layers that it may import."""
    rows = text.partition("| layer |")[2].split("\n\n")[0].split("\n")[2:]
    return [tuple(cell.strip() for cell in row.strip("|").split("|")) for row in rows]  # type: ignore[misc]


MARKS = drawn(ARCHITECTURE)
# A unit is a file directly in hardline/, or a package in it.
LAYER_OF = {layer: units for layer, units, _ in layers(ARCHITECTURE)}
LAYERS = {unit: layer for layer, units in LAYER_OF.items() for unit in units.split()}
# Besides this every unit may import what is in itself.
MAY_IMPORT = {layer: allowed for layer, _, allowed in layers(ARCHITECTURE)}
PURE = {module for module, mark in MARKS.items() if mark == PURE_MARK}

# I/O, clocks, randomness, logging, and the libraries that do them for us.
IMPURE_MODULES = """
    asyncio concurrent fcntl fileinput glob http.client http.server logging mmap multiprocessing os random secrets
    select selectors shutil signal socket socketserver sqlite3 ssl subprocess sys tempfile termios threading time
    urllib.request uuid OpenSSL ifaddr requests uvloop watchfiles zeroconf
"""
IMPURE_CALLS = """
    open print input exec eval read_text read_bytes write_text write_bytes iterdir mkdir unlink touch exists is_file
    is_dir stat resolve cwd home now utcnow today
"""

Import = tuple[int, str]  # line, dotted name


def imports(tree: ast.AST, *, typing_only: bool = True) -> Iterator[Import]:
    """Every import anywhere in a file; without `typing_only`, those that happen when it is run."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"line {node.lineno}: imports are written in full"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield node.lineno, whole if whole in MODULES or not own(whole) else str(node.module)
        else:
            yield from imports(node, typing_only=typing_only)


def own(name: str) -> bool:
    return name.split(".")[0] == "hardline"


def unit_of(module: str) -> str:
    """`hardline.door.pages` is of door; `hardline` itself, the library, is of nobody and may export what it likes."""
    return module.partition(".")[2].partition(".")[0]


def backward_arrows(module: str, source: str) -> list[str]:
    if not (unit := unit_of(module)):
        return []
    allowed = MAY_IMPORT[LAYERS[unit]].split()
    found = []
    for line, name in imports(ast.parse(source)):
        target = unit_of(name) if own(name) else ""
        if target and target != unit and LAYERS.get(target) not in allowed:
            found.append(f"{module}:{line}: {LAYERS.get(unit)} may not import {name}")
    return found


def impurities(module: str, source: str) -> list[str]:
    tree = ast.parse(source)
    found = []
    for line, name in imports(tree):
        if own(name):
            if name not in PURE and name != "hardline":
                found.append(f"{module}:{line}: a pure file may not import {name}")
        elif any(name == banned or name.startswith(f"{banned}.") for banned in IMPURE_MODULES.split()):
            found.append(f"{module}:{line}: a pure file may not import {name}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func).rpartition(".")[2]
            if called in IMPURE_CALLS.split():
                found.append(f"{module}:{node.lineno}: a pure file may not call {called}")
    return found


# ── the rules, on every file ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("module", MODULES)
def test_every_file_has_its_place_in_the_table(module):
    assert not unit_of(module) or unit_of(module) in LAYERS, "say in ARCHITECTURE.md to which layer it belongs"


@pytest.mark.parametrize("module", MODULES)
def test_no_arrow_is_drawn_backwards(module):
    assert backward_arrows(module, MODULES[module].read_text()) == []


@pytest.mark.parametrize("module", sorted(PURE))
def test_a_pure_file_does_nothing_but_compute(module):
    assert impurities(module, MODULES[module].read_text()) == []


def test_words_import_each_other_without_a_cycle():
    words = {f"hardline.{name}" for name in LAYER_OF["words"].split()}
    waiting = {
        word: {name for _, name in imports(ast.parse(MODULES[word].read_text()), typing_only=False) if name in words}
        for word in words
    }
    while ready := {word for word, needed in waiting.items() if not needed}:
        waiting = {word: needed - ready for word, needed in waiting.items() if word not in ready}
    assert waiting == {}


def test_the_tree_names_every_file_and_none_that_is_not_there():
    assert set(MARKS) == {name for name in MODULES if not MODULES[name].name.startswith("__")}


def test_the_table_names_every_unit_once_and_none_that_is_not_there():
    named = [unit for units in LAYER_OF.values() for unit in units.split()]
    assert sorted(named) == sorted({unit_of(module) for module in MODULES} - {""})
    assert {name for allowed in MAY_IMPORT.values() for name in allowed.split()} <= set(LAYER_OF)


# ── the rules themselves ─────────────────────────────────────────────────────────────────────────────────────


def test_a_tree_is_read_with_its_directories_and_marks():
    tree = "## The tree\n```\nhardline/\n  a.py b.py ○  x.y, both\n\ncache/http/\n  a.py  ●  another\n```"
    assert drawn(tree) == {"hardline.a": "○", "hardline.b": "○", "hardline.cache.http.a": "●"}
    with pytest.raises(AssertionError, match="neither"):
        drawn(tree.replace("●", ""))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("hardline.errors", "import hardline.log"),
        ("hardline.tasks", "from hardline.transport.tcp import TcpStream"),
        ("hardline.transport.tcp", "from hardline.session import hello"),
        ("hardline.discovery.lan", "def f():\n    from hardline.tunnel.dialer import Dialer"),
        ("hardline.discovery.lan", "from hardline.cache import store"),
        ("hardline.tunnel.host", "from hardline.discovery import lan"),
        ("hardline.tunnel.host", "from hardline.door.pages import Problem"),
        ("hardline.door.server", "from hardline.node import node"),
        ("hardline.control", "from hardline.node.actions import Actions"),
        ("hardline.node.node", "import hardline.cli"),
        ("hardline.cli", "from hardline.unheard_of import x"),
    ],
)
def test_an_arrow_that_is_drawn_backwards_is_found(module, source):
    assert len(backward_arrows(module, source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("hardline.session.session", "from hardline.transport.tls import TlsStream"),
        ("hardline.session.session", "from hardline.session import yamux"),
        ("hardline.tunnel.host", "from hardline import log\nfrom hardline.settings.directory import Service"),
        ("hardline.cli", "from hardline import __version__, control\nfrom hardline.process import run_daemon"),
    ],
)
def test_an_arrow_that_points_down_is_allowed(module, source):
    assert backward_arrows(module, source) == []


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "from os import path",
        "import os.path",
        "def f():\n    import random",
        "from hardline import log",
        "from hardline.session import session",
        "from hardline.http.serving import body",
        "print(1)",
        "text = path.read_text()",
        "day = datetime.now()",
    ],
)
def test_whatever_is_not_pure_is_found(source):
    assert len(impurities("hardline.session.hello", source)) == 1


def test_pure_files_may_use_words_and_each_other():
    source = "import json\nfrom hardline.errors import PeerError\nfrom hardline.transport.sources import source_of"
    assert impurities("hardline.session.yamux", source) == []
