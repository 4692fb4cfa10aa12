"""hardline: a service on one computer, at http://KEYHASH.localhost:7009/ on any other.

As a library: docs/LIBRARY.md.  To read: identity.py (what a name is), streams.py (what a pipe is) and node/node.py (who
exists and who knows whom).  ARCHITECTURE.md draws the house.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hardline.errors import HardlineError
    from hardline.identity import KeyHash, Label
    from hardline.node.inprocess import SharedApp
    from hardline.node.node import Node
    from hardline.places import Places
    from hardline.routes import NoRoute
    from hardline.settings.node import NodeSettings, parse_node
    from hardline.streams import ByteStream

__version__ = "1.0.0.dev0"  # pyproject.toml reads it here
__all__ = [
    "ByteStream",
    "HardlineError",
    "KeyHash",
    "Label",
    "NoRoute",
    "Node",
    "NodeSettings",
    "Places",
    "SharedApp",
    "__version__",
    "parse_node",
]

_HOMES = {
    "ByteStream": "hardline.streams",
    "HardlineError": "hardline.errors",
    "KeyHash": "hardline.identity",
    "Label": "hardline.identity",
    "NoRoute": "hardline.routes",
    "Node": "hardline.node.node",
    "NodeSettings": "hardline.settings.node",
    "Places": "hardline.places",
    "SharedApp": "hardline.node.inprocess",
    "parse_node": "hardline.settings.node",
}


def __getattr__(name: str) -> object:
    """What the library exports, loaded when it is asked for: `hardline --help` needs none of it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
