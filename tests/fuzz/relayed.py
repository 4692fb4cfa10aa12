"""What strangers and nodes say to a relay, a relay to its nodes, and what it keeps of public ports."""

from __future__ import annotations

import json

from hardline.errors import PeerError
from hardline.relay.clienthello import MAX_SIZE, read_client_hello
from hardline.relay.leases import Leases, read_owners
from hardline.relay.lines import BEGINNING, MAX_GO, Line, encode_line
from hardline.relay.messages import encode, parse
from hardline.relay.opening import Request, name_in, read_opening
from hardline.session.messages import MAX_LINE

_PORTS = range(20_000, 20_004)


def client_hello(data: bytes) -> None:
    """It is read alike whatever follows it, and never before it is whole."""
    try:
        found = read_client_hello(data)
    except PeerError:
        return
    if found is None:
        return
    assert 0 < found.size <= min(len(data), MAX_SIZE)
    assert read_client_hello(data[: found.size]) == found
    assert read_client_hello(data[: found.size - 1]) is None
    assert found.server_name == found.server_name.lower()
    assert len(found.server_name) <= 253


def relay_line(data: bytes) -> None:
    """What was understood is said again in a line that is understood alike."""
    try:
        found = parse(data)
    except PeerError:
        return
    if found is not None:
        line = encode(found)
        assert line.count(b"\n") == 1
        if len(line) <= MAX_LINE:  # JSON's escapes may take more than was heard
            assert parse(line[:-1]) == found


def opening(data: bytes) -> None:
    """What is known of the first bytes stays so with those that follow, and a line is said again as it was."""
    try:
        found = read_opening(data)
    except PeerError:
        return
    if found is None:
        assert len(data) < max(MAX_SIZE, MAX_GO)
        return
    if isinstance(found, Line):
        assert encode_line(found.verb, found.rest) == data[: found.size]
        assert data.startswith(BEGINNING)
    elif not isinstance(found, Request):
        assert name_in(found.server_name) == name_in(name_in(found.server_name))
    assert read_opening(data + b"x") == found


def ports(data: bytes) -> None:
    """A file of public ports gives each to one name, and is written again as it was understood."""
    try:
        owners = read_owners(data)
    except PeerError:
        return
    leases = Leases(_PORTS, owners)
    kept = leases.owners
    assert kept.items() <= owners.items()
    assert len(set(kept.values())) == len(kept) <= len(_PORTS)
    assert read_owners(json.dumps({"ports": kept}).encode()) == kept
    assert leases.leased == 0
    for name, port in kept.items():
        assert leases.lease(name) == port
    assert leases.leased == len(kept)
