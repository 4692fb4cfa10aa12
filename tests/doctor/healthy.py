"""What is known of a node where everything works: a home with a neighbour, a router that opens a port, one relay."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

from hardline.doctor.checks import CHECKS
from hardline.doctor.facts import (
    Announced,
    Clock,
    Daemon,
    DefaultRoute,
    Dht,
    DialledBack,
    Facts,
    Firewall,
    Hops,
    Keys,
    Lan,
    Lingering,
    Other,
    Passing,
    Place,
    Port,
    Resolving,
    Routes,
    Shared,
    Voice,
)
from hardline.doctor.rows import Row, State

TODAY, HOUR = 20_000, 3600.0
NOON = TODAY * 86_400 + 12 * HOUR
KEY = "bb89bb334524f65f872eb6c1fc21edd0f0c42ec3"
RELAY = "relay.example:7008"

ROUTER: dict[str, Any] = {
    "kind": "UPnP",
    "router": "192.168.1.1",
    "own": "192.168.1.20",
    "state": "mapped",
    "external": "84.112.9.14",
    "external_kind": "public",
    "port": 7008,
    "problem": "",
}
PINHOLE = {**ROUTER, "kind": "PCP", "router": "fe80::1", "own": "2a02:8109:9a80::20", "external": None}
STATUS: dict[str, Any] = {
    "version": "1.2",
    "pid": 812,
    "node": {"key_hash": KEY, "p2p": ["0.0.0.0:7008"]},
    "outside": {
        "state": "expected",
        "sentence": "should be reachable from outside at 84.112.9.14:7008 (the router)",
        "endpoints": [
            {"endpoint": "84.112.9.14:7008", "by": "the router"},
            {"endpoint": "[2a02:8109:9a80::20]:7008", "by": "its own address"},
        ],
        "only_here": False,
        "upnp": {"routers": [ROUTER, PINHOLE], "searched_s": 100.0},
    },
    "relays": {
        "used": [
            {"endpoint": RELAY, "state": "registered", "problem": None, "names": 2, "tested": 2},
        ]
    },
    "services": [{"name": "photos", "state": "serving"}],
}
CAME = DialledBack(RELAY, "came", "84.112.9.14:7008")


def healthy(**others: Any) -> Facts:
    """All of them, but for those that are said to be others."""
    facts = Facts(
        "1.2",
        daemon=Daemon("1.2", 812, "ada", "user", "hardlined.service"),
        status=status(),
        lingering=Lingering(True, "ada", True),
        ports=(Port(7009, "tcp", "browsers"), Port(7008, "tcp", "other nodes"), Port(6771, "udp", "the LAN")),
        resolving=Resolving(("127.0.0.1", "::1"), curl=True),
        firewall=Firewall("nftables", (Passing(7008, "tcp", True), Passing(6771, "udp", True))),
        lan=Lan(
            NOON,
            voices=(Voice("eth0", "192.168.1.20", heard=True),),
            others=(Other("192.168.1.7", "Wiki", TODAY), Other("192.168.1.8", "Radio", TODAY)),
            devices=("192.168.1.7", "192.168.1.8"),
        ),
        routes=Routes((DefaultRoute("eth0", "192.168.1.1", False),)),
        hops=Hops(("192.168.1.1", "84.112.9.1", "")),
        dht=Dht(True, "node", 41, "running", announced=(Announced("Photos", True, True),)),
        dialled_back=(CAME,),
        shared=(Shared("photos", "Photos", "serving", "localhost:8123"),),
        keys=Keys(services=2, backed_up=NOON),
        clock=Clock(True),
        places=(Place("the data directory", "/home/ada/.local/share/hardline", 1 << 40, 1 << 39),),
        exposed=(),
    )
    return replace(facts, **others)


def status(**changes: Any) -> dict[str, Any]:
    """STATUS, with other values at keys such as outside__upnp."""
    made = copy.deepcopy(STATUS)
    for path, value in changes.items():
        *above, last = path.split("__")
        at = made
        for key in above:
            at = at[key]
        at[last] = value
    return made


def unreachable(**changes: Any) -> dict[str, Any]:
    """The status of a node that nobody gets in to, as far as is known: no relay, and a router that opened nothing."""
    alone = {
        "outside__state": "local",
        "outside__endpoints": [],
        "outside__upnp__routers": [],
        "relays__used": [],
    }
    return status(**{**alone, **changes})


def judged(facts: Facts) -> list[Row]:
    """Every row."""
    return [row for check in CHECKS for row in check.judge(facts)]


def said(facts: Facts, *states: State) -> list[tuple[str, str]]:
    """Of the rows in these states (fail, warn) the check and the sentence."""
    return [(row.check, row.sentence) for row in judged(facts) if row.state in (states or (State.FAIL, State.WARN))]
