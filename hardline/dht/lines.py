"""What this node and its DHT child say to each other, without I/O: one JSON object a line, over the child's pipes.

    node ── {"do": "run", …}, once   {"do": "get", "id": 7, …}   {"do": "put", …}   {"do": "drop", "id": 7} ──▶ child
    node ◀── {"state": …}, every second   {"id": 7, "value": …}   {"id": 7, "done": true, "ok": …} ── child

The child runs a library that strangers talk to, so whatever it says is looked at like a stranger's words.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

from hardline.errors import PeerError
from hardline.routes import Endpoint

MAX_VALUE = 65_536  # bytes
MAX_VALUES = 1000  # of one get
MAX_LINE = 131_072  # a value in base64, and what is around it
MAX_GOOD = 64  # endpoints of good nodes that are told

_NODE = re.compile(r"Node ([0-9a-f]{40}) (\S{3,80}) [^\[\n]*((?:\[[a-z]+\] ?)*)")


def encode(fields: Mapping[str, object]) -> bytes:
    """A line, with its end."""
    return json.dumps(fields, separators=(",", ":")).encode("ascii") + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """Read a line.  Raises PeerError for what is none."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        raise PeerError("a line that is not JSON") from None
    if not isinstance(fields, dict):
        raise PeerError("a line that is not a JSON object")
    return fields


def encode_value(value: bytes) -> str:
    """Bytes as they stand in a line."""
    return base64.b64encode(value).decode("ascii")


def decode_value(text: object) -> bytes:
    """Read them.  Raises PeerError for what is none, and for too many."""
    if not isinstance(text, str) or len(text) > MAX_LINE:
        raise PeerError("a value that is no text")
    try:
        value = base64.b64decode(text, validate=True)
    except ValueError:
        raise PeerError("a value that is not base64") from None
    if len(value) > MAX_VALUE:
        raise PeerError(f"a value of {len(value)} bytes, at most {MAX_VALUE}")
    return value


def good_nodes(table: str) -> dict[str, str]:
    """Node id → endpoint text of the good nodes in OpenDHT's description of its routing table.

    It has no other way to tell: a line of it is  `Node ID 192.0.2.1:4222  updated: 1.2 s ago [good]`.
    """
    return {node: at for node, at, marks in _NODE.findall(table) if "[good]" in marks}


def read_endpoints(texts: object) -> list[Endpoint]:
    """Endpoints of nodes, as a child or a file named them: numbers only, at most MAX_GOOD, junk left out."""
    found: list[Endpoint] = []
    for text in texts[:1000] if isinstance(texts, list) else []:
        try:
            endpoint = Endpoint.parse(text) if isinstance(text, str) else None
        except PeerError:
            continue
        address = endpoint.address if endpoint else None
        if endpoint and address and not (address.is_unspecified or address.is_multicast) and endpoint not in found:
            found.append(endpoint)
    return found[:MAX_GOOD]
