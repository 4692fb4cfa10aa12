"""What a node says of itself has the shape that docs/STATUS.md promises."""

from __future__ import annotations

import dataclasses
import inspect
import json
from pathlib import Path

import pytest

from hardline.node import snapshot
from hardline.node.snapshot import (
    AccessState,
    GatewayState,
    Itself,
    NamedState,
    Offered,
    Outside,
    ProcessState,
    Relays,
    RelayServed,
    RelayUsed,
    ServiceState,
    SessionState,
    Shared,
    Snapshot,
    StepTimes,
    Told,
    to_json,
    to_object,
)

pytestmark = pytest.mark.pure

STATUS = (Path(__file__).parent.parent.parent / "docs" / "STATUS.md").read_text()
SESSION = SessionState(
    *("visiting", "ab", "ab", "Wiki", "hardline/2", "LAN", "LAN", "LAN", "192.168.1.7:7008", False, 1, 2, 3, 0.01, 4.5)
)
SERVICE = ServiceState("site", "broken", "line 3", None, "/s/site.ini", None)
OFFERED = Offered("Wiki", "ab", "http://ab.localhost:7009/", "127.0.0.1:80", True, ("a",), None, "not announced")


def whole() -> Snapshot:
    told = (Told("203.0.113.9:7008", "the router"),)
    return Snapshot(
        version="1.0",
        pid=7,
        node=Itself("ab", "/s", "/d", ("127.0.0.1:7009",), ()),
        outside=Outside("local", "here only", told, (), True, None, None, {"used": None}),
        relays=Relays(
            (RelayUsed("relay.example:7008", "cd", "registered", None, 5.0, 2, 1, None, None),),
            "worth punching",
            RelayServed(1, 2, 3, 4, 2, 5, {"pairs": 1}, False, False, 6),
        ),
        services=(SERVICE,),
        sessions=(SESSION,),
        peers=(),
        visits=(),
        unreached=(),
        forwards=(),
        socks=None,
        gateway=GatewayState(
            ("127.0.0.1:7080",),
            *(1, 0),
            (NamedState("nas", "ab", True, 0.0, {"2xx": 1}, 5, 0.1),),
            (AccessState(1.0, "192.0.2.7", "anna", None, "nas", "GET", "/", 200, 5, 0.1),),
        ),
        links=(),
        phones=(),
        process=ProcessState({"other": 1}, None, "native", None),
        notes=("a note",),
    )


@pytest.mark.parametrize("row", [one for _, one in inspect.getmembers(snapshot, dataclasses.is_dataclass)])
def test_every_key_is_in_the_document(row):
    if row in (Told, StepTimes, Shared, snapshot.Probed, snapshot.Removed):
        return  # keys of what is said elsewhere
    for one in dataclasses.fields(row):
        assert one.name in STATUS if "inline" not in one.metadata else True, f"{row.__name__}.{one.name}"


def test_the_whole_is_one_json_object_with_the_keys_of_the_document():
    said = json.loads(json.dumps(to_json(whole())))
    assert list(said) == [
        *(
            "version",
            "pid",
            "node",
            "outside",
            "relays",
            "services",
            "sessions",
            "peers",
            "visits",
            "unreached",
            "forwards",
            "socks",
            "gateway",
            "links",
            "phones",
            "process",
            "notes",
            "names",
        )
    ]
    assert said["outside"]["endpoints"] == [{"endpoint": "203.0.113.9:7008", "by": "the router"}]
    assert said["outside"]["dht"] == {"used": None}
    assert said["node"]["p2p"] == []


def test_what_is_known_of_a_service_that_can_be_understood_stands_beside_its_name():
    assert to_object(SERVICE) == {
        "name": "site",
        "state": "broken",
        "problem": "line 3",
        "hint": None,
        "file": "/s/site.ini",
    }
    said = to_object(dataclasses.replace(SERVICE, offered=OFFERED))
    assert (said["title"], said["notes"]) == ("Wiki", ["a"])
    assert "offered" not in said


def test_what_only_some_sessions_have_is_absent_from_the_others():
    assert not {"passed_over", "steps_s"} & to_object(SESSION).keys()
    said = to_object(dataclasses.replace(SESSION, passed_over=(), steps_s=StepTimes(0.1, None, None, None)))
    assert said["passed_over"] == []
    assert said["steps_s"] == {"resolve": 0.1, "tcp": None, "tls": None, "hello": None}
