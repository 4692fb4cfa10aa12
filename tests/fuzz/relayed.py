"""What strangers and nodes say to a relay, and a relay to its nodes."""

from __future__ import annotations

from hardline.errors import PeerError
from hardline.relay.clienthello import MAX_SIZE, read_client_hello
from hardline.relay.messages import MAX_LINE, encode, parse


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
