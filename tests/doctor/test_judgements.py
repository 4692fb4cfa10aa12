"""Each thing that can keep a node from working is said in its own row, once, and nothing else is said to fail."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hardline.doctor.checks import CHECKS, NAMES
from hardline.doctor.facts import (
    Announced,
    Clock,
    Daemon,
    DefaultRoute,
    Dht,
    DialledBack,
    Entry,
    Exposed,
    Facts,
    Firewall,
    Hops,
    KeyFile,
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
from hardline.doctor.rows import MAX_SENTENCE, State, Unknown
from tests.doctor.healthy import (
    CAME,
    KEY,
    NOON,
    PINHOLE,
    RELAY,
    ROUTER,
    TODAY,
    healthy,
    judged,
    said,
    status,
    unreachable,
)

pytestmark = pytest.mark.pure

LAN = healthy().lan
assert isinstance(LAN, Lan)
TRIED = DialledBack(RELAY, "silent", "84.112.9.14:7008")
NOT_TRIED = DialledBack(RELAY, "unknown", reason="it does so once a minute")
CARRIER = {**ROUTER, "state": "useless", "external": "100.64.3.2", "external_kind": "carrier NAT"}
BEHIND = {**CARRIER, "external": "192.168.0.7", "external_kind": "private"}
REFUSED = {**ROUTER, "state": "failed", "external": None, "external_kind": None, "problem": "718 conflict"}
NO_PINHOLE = {**PINHOLE, "state": "failed", "problem": "not authorized"}
ENTRY = Entry("bootstrap.jami.net:4222", True)
NOWHERE = Announced("Photos", False, False, nowhere=True)


def unconnected(entry: Entry) -> Dht:
    return Dht(True, "", 0, "running", "", (), (entry,))


def relays(**one: Any) -> dict[str, Any]:
    return status(relays__used=[{**status()["relays"]["used"][0], **one}])


def lan(**changes: Any) -> Lan:
    return replace(LAN, **changes)


FAULTS: list[tuple[str, dict[str, Any], str]] = [
    ("daemon", {"installed": "1.3"}, "hardline 1.3 is installed, 1.2 is running"),
    ("survives logout", {"lingering": Lingering(True, "ada", False)}, "hardline stops when you log out"),
    ("survives logout", {"daemon": Daemon("1.2", 812, "ada")}, "hardlined was started by hand"),
    (
        "ports",
        {"ports": (Port(7009, "tcp", "browsers", "python3 (pid 812)", "localport"),)},
        "7009/tcp (browsers) is taken by python3 (pid 812)",
    ),
    ("resolver", {"resolving": Resolving((), "not known", False)}, "does not lead here in: curl and the system"),
    ("resolver", {"resolving": Resolving(("127.0.0.1",), "", False)}, "does not lead here in: curl (browsers"),
    ("resolver", {"resolving": Resolving(("203.0.113.7",), "", True)}, "lead to 203.0.113.7 here"),
    (
        "local firewall",
        {"firewall": Firewall("ufw", (Passing(7008, "tcp", False), Passing(6771, "udp", False)), "sudo ufw allow …")},
        "ufw lets nothing in to 7008/tcp and 6771/udp",
    ),
    (
        "multicast",
        {"lan": lan(voices=(Voice("wlan0", "192.168.1.20", "operation not permitted"),), others=(), devices=())},
        "own packets are not heard back on wlan0 (operation not permitted)",
    ),
    ("multicast", {"lan": lan(voices=(), others=(), devices=())}, "no interface with an address is up"),
    ("multicast", {"lan": lan(deaf="address already in use")}, "nothing is heard on 6771/udp: address already in use"),
    ("neighbours", {"lan": lan(others=(), devices=())}, "multicast works, but nobody answers"),
    (
        "neighbours",
        {"lan": lan(others=(), devices=(), missed=("192.168.1.7:7008",))},
        "nobody answers, not even 192.168.1.7:7008, known from this network",
    ),
    (
        "other hardline",
        {"lan": lan(others=(*LAN.others, Other("192.168.1.9", "Old", TODAY + 1)))},
        "3 nodes answered, 1 with a clock that differs: Old (192.168.1.9) at least 12 h ahead",
    ),
    ("interfaces", {"routes": Routes((DefaultRoute("tun0", "", True),))}, "a VPN (tun0) has the default"),
    ("interfaces", {"routes": Routes(())}, "there is no default route"),
    ("router", {"status": unreachable(), "dialled_back": ()}, "no router answers by UPnP, PCP or NAT-PMP"),
    (
        "router",
        {"status": unreachable(outside__upnp__routers=[REFUSED]), "dialled_back": ()},
        "192.168.1.1 answered, and opens nothing: 718 conflict",
    ),
    (
        "double NAT",
        {"status": unreachable(outside__upnp__routers=[CARRIER]), "dialled_back": ()},
        "the router's own address 100.64.3.2 is not public: it is behind its provider's NAT",
    ),
    (
        "double NAT",
        {"status": unreachable(outside__upnp__routers=[BEHIND]), "dialled_back": ()},
        "the router's own address 192.168.0.7 is not public: it is behind another router",
    ),
    *(
        (
            "double NAT",
            {
                "status": unreachable(outside__upnp__routers=[{**CARRIER, "external": None, "external_kind": "none"}]),
                "dialled_back": (),
                "hops": Hops(("192.168.1.1", address)),
            },
            f"the router 192.168.1.1 says that it has no public address{next_one}: it is behind {what}",
        )
        for address, next_one, what in (
            ("100.64.3.1", "; next on the way is 100.64.3.1", "its provider's NAT"),
            ("192.168.0.1", "; next on the way is 192.168.0.1", "another router"),
            ("84.112.9.1", "", "another router, or its provider's NAT"),
            ("", "", "another router, or its provider's NAT"),
        )
    ),
    (
        "IPv6",
        {"status": status(outside__upnp__routers=[ROUTER, NO_PINHOLE])},
        "[2a02:8109:9a80::20]:7008 is global, and the router does not open it: not authorized",
    ),
    ("DHT", {"dht": unconnected(replace(ENTRY, resolved=False))}, "the name of bootstrap.jami.net:4222 is not known"),
    ("DHT", {"dht": unconnected(replace(ENTRY, udp="refused"))}, "nothing listens at bootstrap.jami.net:4222"),
    ("DHT", {"dht": unconnected(replace(ENTRY, tcp="refused"))}, "UDP is filtered on the way"),
    ("DHT", {"dht": unconnected(replace(ENTRY, udp="unreachable"))}, "there is no way to bootstrap.jami.net:4222"),
    ("DHT", {"dht": unconnected(ENTRY)}, "answers nothing, neither by UDP nor by TCP"),
    ("DHT", {"dht": Dht(True, "", 0, "running")}, "none to begin with"),
    ("DHT", {"dht": Dht(True, "", 0, "missing")}, "there is no OpenDHT for this system"),
    (
        "DHT",
        {"dht": replace(unconnected(replace(ENTRY, tcp="open")), used="proxies", proxies=("https://dht.example",))},
        "the proxy https://dht.example is used instead",
    ),
    (
        "DHT",
        {"dht": Dht(True, "node", 9, "running", announced=(Announced("Photos", True, False, age=100),))},
        "connected, 9 good nodes, but the record of Photos was not read back",
    ),
    (
        "DHT",
        {"dht": Dht(True, "node", 9, "running", announced=(Announced("Photos", False, False, "no node took it"),))},
        "not announced: Photos: no node took it",
    ),
    (
        "DHT",
        {"dht": Dht(True, "", 0, "idle", announced=(Announced("Photos", False, False, nowhere=True),))},
        "asleep; Photos is not announced: no address is known that visitors could reach",
    ),
    (
        "DHT",
        {"dht": Dht(True, "node", 9, "running", announced=(Announced("Photos", False, False, nowhere=True),))},
        "Photos is not announced: no address is known that visitors could reach",
    ),
    (
        "DHT",
        {"dht": Dht(True, "", 0, "idle", announced=(NOWHERE, replace(NOWHERE, title="Wiki")))},
        "asleep; Photos and Wiki are not announced: no address is known that visitors could reach",
    ),
    (
        "reached",
        {"status": status(relays__used=[]), "dialled_back": (TRIED,)},
        f"the relay {RELAY} was asked to connect to 84.112.9.14:7008, and nothing came in",
    ),
    ("reached", {"dialled_back": (TRIED,)}, f"nothing came in; visitors come by the relay {RELAY}"),
    ("reached", {"status": status(outside__only_here=True, outside__endpoints=[])}, "for this computer only"),
    ("relay", {"status": relays(state="connecting", problem="connection refused")}, f"{RELAY} is not reached"),
    (
        "relay",
        {"status": relays(state="refused", problem="the relay does not serve this node")},
        f"{RELAY} does not serve this node: it is not in its allow",
    ),
    ("relay", {"status": relays(state="refused", problem="too many names")}, f"{RELAY} refused: too many names"),
    ("relay", {"status": relays(tested=0, problem="a visit of our own did not get through")}, "did not get through"),
    ("relay", {"status": relays(state="draining")}, "is going to stop"),
    (
        "services",
        {"shared": (Shared("photos", "Photos", "serving", "localhost:8123", answer="connection refused"),)},
        "Photos: nothing answers at localhost:8123: connection refused",
    ),
    (
        "services",
        {"shared": (Shared("photos", "", "broken", problem="/s/photos.ini:3: port is 'x', expected a number"),)},
        "/s/photos.ini:3: port is 'x'",
    ),
    (
        "services",
        {"shared": (Shared("photos", "Photos", "stale", problem="/s/photos.ini:3: no section"),)},
        "it is served as it was before",
    ),
    (
        "services",
        {"shared": (Shared("photos", "Photos", "serving", "/p", problem="its directory is away"),)},
        "Photos: its directory is away",
    ),
    ("services", {"shared": (Shared("photos", "Photos", "closed", problem="not served"),)}, "Photos: not served"),
    (
        "keys",
        {"keys": Keys((KeyFile("/d/x.private", "mode 0644", "chmod 600 /d/x.private"),), 1)},
        "/d/x.private: mode 0644",
    ),
    ("keys", {"keys": Keys(services=2)}, "no backup of 2 keys was made: who loses a key loses its URL"),
    ("keys", {"keys": Keys((), 2, 1, NOON)}, "no backup since 2024-10-04, and 1 of 2 keys is newer"),
    ("disk", {"places": (Place("the data directory", "/d", 1 << 20, 0),)}, "the data directory is 100 % full"),
    ("disk", {"places": (Place("the data directory", "/d", 1 << 30, 1 << 29, "read-only file system"),)}, "read-only"),
    ("exposure", {"exposed": (Exposed("p", "Photos", "password", "3 signs"),)}, "password is easy to guess (3 signs)"),
    ("exposure", {"exposed": (Exposed("p", "Photos", "directory", "/ holds everything"),)}, "/ holds everything"),
]


def test_where_everything_works_nothing_else_is_said():
    rows = judged(healthy())
    assert [row.check for row in rows] == list(NAMES)
    assert {row.state for row in rows} == {State.OK}, [row for row in rows if row.state is not State.OK]


@pytest.mark.parametrize(("check", "facts", "sentence"), FAULTS, ids=[f"{one[0]}: {one[2][:40]}" for one in FAULTS])
def test_each_fault_is_said_once_with_what_to_do_and_nothing_else_fails(
    check: str, facts: dict[str, Any], sentence: str
):
    found = healthy(**facts)
    assert [one for one, _ in said(found)] == [check]
    [(_, told)] = said(found)
    assert sentence in told
    [row] = [row for row in judged(found) if row.check == check]
    assert row.do or "visitors come by" in told
    assert sum(sentence in row.sentence for row in judged(found)) == 1


def test_every_check_can_fail_or_warn():
    other = {"clock"}  # below, with more than one thing that says so
    assert {fault[0] for fault in FAULTS} | other == set(NAMES)


def test_nothing_runs_and_the_rest_is_said_all_the_same():
    nobody = Unknown("no hardlined runs")
    gone = healthy(
        **dict.fromkeys(("status", "dht", "dialled_back"), nobody),
        daemon=Unknown("no hardlined runs on the data directory /d", "start one with: hardlined"),
        lingering=nobody,
    )
    assert said(gone) == [("daemon", "no hardlined runs on the data directory /d")]
    states = {row.check: row.state for row in judged(gone)}
    assert states["multicast"] == states["services"] == State.OK
    for check in ("survives logout", "router", "double NAT", "IPv6", "DHT", "reached", "relay"):
        assert states[check] is State.NOT_CHECKED


@pytest.mark.parametrize("name", [one for one in Facts.__slots__ if one != "installed"])
def test_what_could_not_be_found_out_is_not_checked_and_says_why(name: str):
    found = healthy(**{name: Unknown("no answer within 6 s", "sudo nft list ruleset")})
    unknown = [row for row in judged(found) if row.state is State.NOT_CHECKED]
    assert said(found) in ([], [("daemon", "no answer within 6 s")])
    assert unknown or name in ("clock", "daemon", "dialled_back", "firewall", "hops")
    needing = {check.name for check in CHECKS if name in check.needs}
    assert {row.check for row in unknown} <= needing


# One cause, several rows.


def test_a_firewall_that_keeps_everybody_out_is_the_one_thing_that_fails():
    shut = Firewall("nftables", (Passing(7008, "tcp", False), Passing(6771, "udp", False)), "rules")
    silent = lan(voices=(Voice("eth0", "192.168.1.20"),), others=(), devices=())
    found = healthy(firewall=shut, lan=silent, dialled_back=(TRIED,), status=status(relays__used=[]))
    assert [one for one, _ in said(found, State.FAIL)] == ["local firewall"]
    [warned] = said(found, State.WARN)
    assert warned[1].endswith("nothing came in: see local firewall")
    assert {row.check for row in judged(found) if row.state is State.NOT_CHECKED} >= {
        "multicast",
        "neighbours",
        "other hardline",
    }


def test_a_firewall_that_cannot_be_judged_is_not_checked():
    unclear = Firewall("nftables", (Passing(7008, "tcp", None), Passing(6771, "udp", True)))
    found = healthy(firewall=unclear)
    [row] = [row for row in judged(found) if row.check == "local firewall"]
    assert (row.state, row.do) == (State.NOT_CHECKED, "sudo nft list ruleset")
    assert "7008/tcp" in row.sentence


def test_where_multicast_fails_nobody_can_say_who_is_there():
    found = healthy(lan=lan(voices=(Voice("eth0", "192.168.1.20"),), others=(), devices=()))
    assert [one for one, _ in said(found)] == ["multicast"]
    assert {row.check for row in judged(found) if row.state is State.NOT_CHECKED} == {"neighbours", "other hardline"}


def test_a_router_that_says_nothing_says_nothing_of_its_address():
    silent = {
        "kind": None,
        "router": "192.168.1.1",
        "own": "192.168.1.20",
        "state": "silent",
        "problem": "it speaks none",
    }
    found = healthy(status=unreachable(outside__upnp__routers=[silent]), dialled_back=())
    assert said(found) == [("router", "no router answers by UPnP, PCP or NAT-PMP")]


def test_a_network_without_an_internet_is_an_island_and_works():
    unknown = unconnected(replace(ENTRY, resolved=False))
    for hops in (Hops(("192.168.1.1", "")), Hops(())):
        found = healthy(dht=replace(unknown, phase="restarting"), hops=hops, status=unreachable(), dialled_back=())
        assert said(found, State.FAIL) == []
        [told] = [sentence for check, sentence in said(found) if check == "DHT"]
        assert "the name of bootstrap.jami.net:4222 is not known here, and nothing beyond this network answers" in told
    assert [check for check, _ in said(healthy(dht=unknown, hops=Hops(())))] == ["DHT"]


def test_a_router_that_opens_nothing_because_it_is_behind_another_one_is_not_what_fails():
    both = {**REFUSED, "external": "192.168.0.7", "external_kind": "private"}
    found = healthy(status=unreachable(outside__upnp__routers=[both]), dialled_back=())
    assert [one for one, _ in said(found, State.FAIL)] == ["double NAT"]
    assert [sentence.endswith("see double NAT") for _, sentence in said(found, State.WARN)] == [True]


def test_what_is_next_on_the_way_is_no_proof_of_a_nat():
    """Many providers have such addresses inside, and give their customers public ones."""
    found = healthy(status=unreachable(), dialled_back=(), hops=Hops(("192.168.1.1", "100.64.3.1")))
    [row] = [row for row in judged(found) if row.check == "double NAT"]
    assert row.state is State.NOT_CHECKED
    assert row.sentence.endswith("next on the way is 100.64.3.1")


def test_behind_its_providers_nat_that_is_what_fails_and_not_what_follows_from_it():
    found = healthy(status=unreachable(outside__upnp__routers=[CARRIER]), dialled_back=(TRIED,))
    assert [one for one, _ in said(found, State.FAIL)] == ["double NAT"]
    assert [one for one, _ in said(found, State.WARN)] == ["reached"]


@pytest.mark.parametrize("router", [CARRIER, REFUSED, None])
@pytest.mark.parametrize("way", ["confirmed", "relay", "known", "dialled"])
def test_who_is_reached_by_another_way_is_told_so_and_nothing_fails(router: dict[str, Any] | None, way: str):
    changes: dict[str, Any] = {"outside__upnp__routers": [router] if router else []}
    dialled: tuple[DialledBack, ...] = ()
    match way:
        case "confirmed":
            changes |= {"outside__state": "confirmed", "outside__sentence": "a visitor came by 84.112.9.14:7008"}
        case "relay":
            changes |= {"relays__used": status()["relays"]["used"]}
        case "known":
            changes |= {"outside__endpoints": [{"endpoint": "84.112.9.14:7008", "by": "[Node] public"}]}
        case _:
            dialled = (CAME,)
    found = healthy(status=unreachable(**changes), dialled_back=dialled)
    assert said(found, State.FAIL) == []
    assert {one for one, _ in said(found)} <= {"double NAT"}


def test_what_no_relay_could_try_is_not_known():
    found = healthy(dialled_back=(NOT_TRIED,))
    [row] = [row for row in judged(found) if row.check == "reached"]
    assert row.state is State.NOT_CHECKED
    assert "it does so once a minute" in row.sentence
    assert "phone" in row.do


def test_who_shares_nothing_needs_no_way_in():
    nothing = unreachable(services=[], outside__upnp=None)
    found = healthy(status=nothing, dialled_back=(), shared=(), dht=Dht(True, "", 0, "idle"))
    assert said(found) == []


def test_routers_that_are_still_asked_are_not_judged():
    found = healthy(status=unreachable(outside__upnp__searched_s=None), dialled_back=())
    [row] = [row for row in judged(found) if row.check == "router"]
    assert row.state is State.NOT_CHECKED


@pytest.mark.parametrize(
    "starting",
    [
        unconnected(replace(ENTRY, udp="open", tcp="refused")),
        Dht(True, "", 0, "starting", entries=(ENTRY,)),
        Dht(True, "node", 2, "running", announced=(Announced("Photos", False, False),)),
        Dht(True, "node", 2, "running", announced=(Announced("Photos", True, False, age=5),)),
    ],
)
def test_a_node_that_has_just_been_started_is_given_its_time(starting: Dht):
    found = healthy(dht=starting)
    assert said(found) == []
    [row] = [row for row in judged(found) if row.check == "DHT"]
    assert (row.state, row.do) == (State.NOT_CHECKED, "hardline doctor, once more")


# Clocks.


@pytest.mark.parametrize(
    ("days", "kept", "state", "words"),
    [
        ((1, 1, 0), False, State.FAIL, "this clock is at least 12 h behind those of 2 of 3 other nodes"),
        ((-1, -2), None, State.FAIL, "this clock is at least 12 h ahead of those of 2 of 2 other nodes"),
        ((-20_000, -20_000), None, State.FAIL, "at least 20000 d ahead"),
        ((1, 0, 0), False, State.OK, "as on 2 of 3 other nodes"),
        ((1, -1), False, State.NOT_CHECKED, "nothing here tells which one is right"),
        ((1,), False, State.NOT_CHECKED, "nothing here tells which one is right"),
        ((1,), True, State.OK, "keeps it right"),
        ((0,), None, State.OK, "as on 1 of 1 other nodes"),
        ((), True, State.OK, "keeps it right"),
        ((), None, State.NOT_CHECKED, "nobody is here to compare it with"),
    ],
)
def test_a_clock_is_judged_by_most_of_the_others(days: tuple[int, ...], kept: bool | None, state: State, words: str):
    there = tuple(Other(f"192.168.1.{number}", "x", TODAY + day) for number, day in enumerate(days))
    found = healthy(lan=lan(others=there), clock=Clock(kept))
    [row] = [row for row in judged(found) if row.check == "clock"]
    assert (row.state, words in row.sentence) == (state, True), row


def test_a_disk_that_is_large_is_not_full_at_98_percent():
    found = healthy(places=(Place("the data directory", "/d", 100 << 40, 2 << 40),))
    assert said(found) == []


def test_two_places_on_one_disk_are_told_once():
    full = [Place(what, f"/{what}", 1 << 20, 0) for what in ("the data directory", "the service directory")]
    assert len(said(healthy(places=tuple(full)))) == 1


def test_where_this_clock_is_wrong_the_others_are_not_blamed():
    found = healthy(lan=lan(now=NOON + 2 * 86_400), clock=Clock(False))
    assert [one for one, _ in said(found)] == ["clock"]
    assert [one for one, _ in said(healthy(lan=lan(now=NOON + 2 * 86_400)), State.WARN)] == ["clock"]


def test_one_computer_with_many_voices_outvotes_nobody():
    voices = tuple(Other("192.168.1.66", f"n{number}", TODAY + 9) for number in range(60))
    found = healthy(lan=lan(others=(*LAN.others, *voices)), clock=Clock(False))
    assert [one for one, _ in said(found)] == ["other hardline"]


def test_a_key_that_others_may_read_is_the_one_thing_that_fails():
    file = "/s/photos.ini.cert.private"
    problem = f"{file}: other users may read or write this private key (its mode is 0644)"
    found = healthy(
        keys=Keys((KeyFile(file, "mode 0644", f"chmod 600 {file}"),), 1),
        shared=(Shared("photos", "", "broken", problem=problem),),
    )
    assert [one for one, _ in said(found, State.FAIL)] == ["keys"]
    assert said(found, State.WARN) == [("services", "photos is not served because of its key: see keys")]


# What others say.


@pytest.mark.parametrize("words", ["\x1b[2J\x1b[31mboo", "a\nfail  keys  gone", "\u202egnp.exe", "x" * 5000])
def test_what_routers_relays_and_nodes_say_steers_nothing_and_is_bounded(words: str):
    facts = [
        {"status": unreachable(outside__upnp__routers=[{**REFUSED, "problem": words}]), "dialled_back": ()},
        {"status": relays(state="connecting", problem=words)},
        {"lan": lan(others=(Other("192.168.1.9", words, TODAY + 3),))},
        {"shared": (Shared("photos", words, "serving", "localhost:1", answer="connection refused"),)},
        {"dht": replace(unconnected(ENTRY), used="proxies", proxies=(words,))},
    ]
    for one in facts:
        found = said(healthy(**one))
        assert len(found) == 1
        [(_, sentence)] = found
        assert len(sentence) <= MAX_SENTENCE
        assert sentence.isprintable()


def test_a_hundred_faults_of_one_kind_are_named_and_counted():
    many = tuple(Other(f"192.168.1.{number}", f"n{number}", TODAY + 2 * (number % 2)) for number in range(128))
    [(_, sentence)] = said(healthy(lan=lan(others=many), clock=Clock(True)), State.WARN)
    assert sentence.endswith("and 59 more")


def test_the_line_for_the_relays_owner_is_whole():
    found = healthy(status=relays(state="refused", problem="the relay does not serve this node"))
    [row] = [row for row in judged(found) if row.check == "relay"]
    assert row.do.endswith(f"allow = {KEY}")
