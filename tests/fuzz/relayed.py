"""What strangers, nodes and servers say to a relay, a relay to its nodes, and what it keeps of public ports; and what
the two ends of a control stream say to each other."""

from __future__ import annotations

import json

from hardline.errors import PeerError
from hardline.punch import messages as punch
from hardline.relay.clienthello import MAX_SIZE, read_client_hello
from hardline.relay.leases import Leases, read_owners
from hardline.relay.lines import BEGINNING, MAX_GO, Line, encode_line
from hardline.relay.messages import encode, parse
from hardline.relay.opening import Request, name_in, read_opening
from hardline.relay.tlsrelay.switchboard import Switchboard
from hardline.relay.tlsrelay.words import MAX_UNENDED, Silence
from hardline.routes import MAX_HOSTS, MAX_VIA, format_wan_hosts, parse_wan_hosts
from hardline.session.messages import MAX_LINE, read
from hardline.session.news import News, check_revoked
from hardline.showable import clean_title

_PORTS = range(20_000, 20_004)
_PAIRS = 3


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


def control_line(data: bytes) -> None:
    """Of a control stream: what was understood is said again in lines that are understood alike; no list is long."""
    try:
        kind, value = read(data)
        match kind:
            case "news":
                _news(News.parse(value))
            case "revoked":
                check_revoked(value)
            case _ if kind in punch.KINDS:
                found = punch.understand(kind, value)
                assert punch.parse(punch.encode(found)[:-1]) == found
    except PeerError:
        return


def _news(found: News) -> None:
    assert len(found.via or ()) <= MAX_VIA
    assert len(parse_wan_hosts(found.wan_hosts or "")) <= MAX_HOSTS
    told = News(
        None if found.wan_hosts is None else format_wan_hosts(parse_wan_hosts(found.wan_hosts)[:8]),
        None if found.title is None else clean_title(found.title),
        found.via,
    )
    again = News()
    for line in told.encode().splitlines():
        again = News.parse(read(line)[1]).behind(again)
    assert again == told


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


def silence(data: bytes) -> None:
    """However it is cut, a server of tx_tlsrelay has ended its connection by a whole line or by too much."""
    ends = b"\r\n" in data or len(data) > MAX_UNENDED
    for size in (1, 2, 7, 4096, len(data) or 1):
        heard = Silence()
        broken = [heard.is_broken(data[start : start + size]) for start in range(0, len(data), size)]
        assert any(broken) is ends


def pairs(data: bytes) -> None:
    """Servers and clients come and go, two bytes each: no client is another's, or twice, or forgotten."""
    board: Switchboard[int, int] = Switchboard(_PAIRS)
    order: dict[int, list[int]] = {}  # who waits, by server
    leases: dict[int, int] = {}
    for number, (what, who) in enumerate(zip(data[::2], data[1::2], strict=False)):
        pair, server = who % _PAIRS, who % (2 * _PAIRS)
        owner = board.server_at(pair)
        if what % 4 == 0 and server not in leases:
            leased = board.lease(server)
            assert (leased is None) == (len(leases) == _PAIRS)
            if leased is not None:
                assert leased not in leases.values()
                leases[server], order[server] = leased, []
        elif what % 4 == 1 and server in leases:
            assert board.leave(server) == (leases.pop(server), order.pop(server))
        elif what % 4 == 2 and owner is not None:
            board.come(number, pair)
            order[owner].append(number)
        elif what % 4 == 3:
            expected = order[owner].pop(0) if owner is not None and order[owner] else None
            assert board.dialled(pair) == expected
        assert board.leased == len(leases)
        assert board.waits == sum(map(len, order.values()))
        assert {one: board.waiting(pair) for one, pair in leases.items()} == order
