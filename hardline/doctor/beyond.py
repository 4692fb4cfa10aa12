"""Judgements about what lies beyond the LAN, without I/O: router, double NAT, IPv6, DHT, reached, relay.

One cause can stop several of these.  Who is reached by another way, or knows the cause by another row, is told of a
limit; only what nothing else explains is said to fail.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hardline.addresses import Kind, kind_of, parse
from hardline.doctor.facts import Dht, Facts
from hardline.doctor.nearby import is_shut
from hardline.doctor.rows import Row, State, Unknown, fail, named, not_checked, ok, warn

ROUTER, NAT, IPV6, DHT, REACHED, RELAY = "router", "double NAT", "IPv6", "DHT", "reached", "relay"

_NOTHING_SHARED = Unknown("nothing is shared, so nobody has to reach this computer")
_NO_RELAY = Unknown("none is used ([Relay] use)")
_READ_AFTER = 60.0  # seconds
_LATER = "wait a minute, and look once more: hardline doctor"
_ANOTHER = "another router"
# What a router is behind whose own address is of such a kind; "" where that does not say.
_BEHIND = {Kind.CARRIER.value: "its provider's NAT", Kind.PRIVATE.value: _ANOTHER, Kind.NONE.value: ""}
_INSTEAD = "a relay (hardline relay), IPv6, or a public address from the provider"


def router(facts: Facts) -> list[Row]:
    """Whether the router lets visitors in."""
    if isinstance(told := _upnp(facts), Row):
        return [told]
    told4 = [one for one in told["routers"] if ":" not in str(one["own"])]
    open4 = [one for one in told4 if one["state"] in ("mapped", "useless")]
    if open4:
        one = open4[0]
        return [ok(ROUTER, f"{one['router']} opened port {one['port']} by {one['kind']}")]
    if told.get("searched_s") is None:
        return [not_checked(ROUTER, Unknown("routers are still being asked", "hardline doctor, once more"))]
    refused = [one for one in told4 if one["kind"] is not None and one["problem"]]
    if refused:
        sentence = f"{refused[0]['router']} answered, and opens nothing: {refused[0]['problem']}"
    else:
        sentence = "no router answers by UPnP, PCP or NAT-PMP"
    if way := _way_in(facts):
        return [ok(ROUTER, f"{sentence}; none has to: {way}")]
    port = _port(facts)
    if any(one.get("external_kind") in _BEHIND for one in refused):
        return [warn(ROUTER, f"{sentence}: see {NAT}")]
    do = f"switch on UPnP in the router, or forward TCP port {port} to this computer"
    return [fail(ROUTER, sentence, do) if refused else warn(ROUTER, sentence, do)]


def double_nat(facts: Facts) -> list[Row]:
    """Whether the router itself can be reached."""
    if isinstance(told := _upnp(facts, NAT), Row):
        return [told]
    asked = [one for one in told["routers"] if ":" not in str(one["own"])]
    known = [one for one in asked if one.get("external_kind") is not None]  # one that is silent says nothing
    if any(one["external_kind"] == Kind.PUBLIC.value for one in known):
        return [ok(NAT, "the router's own address is public")]
    behind = [one for one in known if one["external_kind"] in _BEHIND]
    if not behind:
        return [not_checked(NAT, Unknown(f"no router tells what its own address is{_next_hop(facts)}"))]
    one = behind[0]
    if one["external"]:
        sentence = f"the router's own address {one['external']} is not public"
    else:
        sentence = f"the router {one['router']} says that it has no public address{_next_hop(facts)}"
    what = _BEHIND[one["external_kind"]] or _BEHIND.get(_kind_of_next(facts)) or "another router, or its provider's NAT"
    sentence = f"{sentence}: it is behind {what}"
    if way := _way_in(facts):
        return [warn(NAT, f"{sentence}; {way}")]
    here = f"forward TCP port {_port(facts)} on that other router, too; or " if what == _ANOTHER else ""
    return [fail(NAT, sentence, f"{here}{_INSTEAD}")]


def _next_hop(facts: Facts) -> str:
    """The next router on the way, behind the first, where it is none of the world's."""
    return f"; next on the way is {_next(facts)}" if _kind_of_next(facts) else ""


def _next(facts: Facts) -> str:
    hops = () if isinstance(facts.hops, Unknown) else facts.hops.addresses
    return hops[1] if len(hops) > 1 else ""


def _kind_of_next(facts: Facts) -> str:
    address = parse(_next(facts))
    kind = kind_of(address).value if address is not None else ""
    return kind if kind in _BEHIND else ""


def ipv6(facts: Facts) -> list[Row]:
    """Whether visitors get in by IPv6."""
    if isinstance(facts.status, Unknown):
        return [not_checked(IPV6, facts.status)]
    outside = facts.status["outside"]
    own = [at for one in outside["endpoints"] if _is_public(at := str(one["endpoint"]), 6)]
    if not own:
        return [ok(IPV6, "no global address: this computer is reached by IPv4 only")]
    told = outside["upnp"]
    pinholes = [one for one in (told["routers"] if told else ()) if ":" in str(one["own"])]
    if any(one["state"] == "mapped" for one in pinholes):
        return [ok(IPV6, f"the router lets visitors in to {own[0]}")]
    refused = [one for one in pinholes if one["problem"]]
    if refused:
        sentence = f"{own[0]} is global, and the router does not open it: {refused[0]['problem']}"
        do = f"open TCP port {_port(facts)} of this computer in the router's IPv6 firewall"
        way = _way_in(facts)
        return [warn(IPV6, f"{sentence}; {way}", do) if way else fail(IPV6, sentence, do)]
    return [ok(IPV6, f"{own[0]} is global; whether a firewall is before it, only a visitor can tell")]


def dht(facts: Facts) -> list[Row]:
    """Whether services are found from anywhere."""
    found = facts.dht
    if isinstance(found, Unknown):
        return [not_checked(DHT, found)]
    if not found.enabled:
        return [not_checked(DHT, Unknown("not used ([DHT] enabled = no)"))]
    if found.phase == "idle" and any(one.nowhere for one in found.announced):
        return [_nowhere(found, "asleep")]
    if found.phase == "idle":
        return [not_checked(DHT, Unknown("asleep: nobody has asked it yet"))]
    if found.good or found.used == "node":
        return [_announced(found)]
    silent = all(one.resolved and one.udp == one.tcp == "silent" for one in found.entries)
    if any(one.udp == "open" for one in found.entries) or (silent and found.phase in ("starting", "restarting")):
        return [not_checked(DHT, Unknown("it is being connected", "hardline doctor, once more"))]
    if found.used:
        sentence = f"{_unconnected(found)}; the proxy {named(found.proxies)} is used instead"
        return [warn(DHT, sentence, "let UDP out, for a faster search")]
    if _is_island(facts, found):
        sentence = f"{_unconnected(found)}, and nothing beyond this network answers: who is in it is found all the same"
        return [warn(DHT, sentence, "where there is a way to the internet, see that names can be looked up (DNS)")]
    return [fail(DHT, _unconnected(found), _ways_out(found))]


def _is_island(facts: Facts, found: Dht) -> bool:
    """Nothing says that there is an internet."""
    no_names = bool(found.entries) and not any(one.resolved for one in found.entries)
    return no_names and not _next(facts) and not _relayed(facts)


def _announced(found: Dht) -> Row:
    connected, titles = f"connected, {found.good} good nodes", [one.title for one in found.announced]
    problems = [f"{one.title}: {one.problem}" for one in found.announced if one.problem]
    if problems:
        return fail(DHT, f"{connected}; not announced: {named(problems)}", _LATER, titles)
    if any(one.nowhere for one in found.announced):
        return _nowhere(found, connected)
    unread = [one.title for one in found.announced if one.announced and not one.read_back and one.age >= _READ_AFTER]
    if unread:
        sentence = f"{connected}, but the record of {named(unread)} was not read back"
        return fail(DHT, sentence, _LATER, titles)
    waiting = [one.title for one in found.announced if not one.read_back]
    if waiting:
        return not_checked(DHT, Unknown(f"{connected}; {len(waiting)} being announced", "hardline doctor, once more"))
    if not found.announced:
        return ok(DHT, connected)
    return ok(DHT, f"{connected}; {len(found.announced)} announced and read back")


def _nowhere(found: Dht, how: str) -> Row:
    titles = [one.title for one in found.announced if one.nowhere]
    are = "is" if len(titles) == 1 else "are"
    sentence = f"{how}; {named(titles)} {are} not announced: no address is known that visitors could reach"
    return warn(DHT, sentence, f"see {ROUTER}, {NAT}, {REACHED}", titles)


def _unconnected(found: Dht) -> str:
    if found.phase == "missing":
        return "there is no OpenDHT for this system"
    if not found.entries:
        return "0 good nodes, and none to begin with ([DHT] bootstrap)"
    at = named([one.endpoint for one in found.entries])
    if not any(one.resolved for one in found.entries):
        return f"0 good nodes: the name of {at} is not known here"
    if all(one.udp == "refused" for one in found.entries if one.resolved):
        return f"0 good nodes: nothing listens at {at}"
    if any(one.udp == "unreachable" for one in found.entries):
        return f"0 good nodes: there is no way to {at}"
    if any(one.tcp in ("open", "refused") for one in found.entries):
        return f"0 good nodes: UDP is filtered on the way; {at} answers to TCP only"
    return f"0 good nodes: {at} answers nothing, neither by UDP nor by TCP"


def _ways_out(found: Dht) -> str:
    if found.phase != "missing" and any(
        one.udp == "silent" and one.tcp in ("open", "refused") for one in found.entries
    ):
        return "let UDP out, or name proxies that answer: [DHT] proxies"
    if found.phase != "missing" and found.entries and not any(one.resolved for one in found.entries):
        return "see that names can be looked up (DNS), or name addresses: [DHT] bootstrap"
    return "name nodes or proxies that answer: [DHT] bootstrap, proxies"


def reached(facts: Facts) -> list[Row]:
    """Whether anybody from outside gets in."""
    if isinstance(facts.status, Unknown):
        return [not_checked(REACHED, facts.status)]
    outside = facts.status["outside"]
    if outside["state"] == "confirmed":
        return [ok(REACHED, str(outside["sentence"]))]
    if not _shares(facts):
        return [not_checked(REACHED, _NOTHING_SHARED)]
    if outside["only_here"]:
        return [warn(REACHED, "it listens for this computer only", "[Node] bind in hardline.ini")]
    if isinstance(facts.dialled_back, Unknown):
        return [not_checked(REACHED, facts.dialled_back)]
    came = next((one for one in facts.dialled_back if one.result == "came"), None)
    if came is not None:
        return [ok(REACHED, f"the relay {came.relay} has connected to this computer at {came.at}")]
    tried = next((one for one in facts.dialled_back if one.result == "silent"), None)
    if tried is None:
        why = next((f": {one.reason}" for one in facts.dialled_back if one.reason), "")
        sentence = f"nobody from outside has come yet, and no relay could try{why}"
        return [not_checked(REACHED, Unknown(sentence, "open the address from another network, such as a phone's"))]
    sentence = f"the relay {tried.relay} was asked to connect to {tried.at}, and nothing came in"
    if by := _relayed(facts):
        return [warn(REACHED, f"{sentence}; visitors come by the relay {by}", f"forward TCP port {_port(facts)}")]
    if known := _cause(facts):
        return [warn(REACHED, f"{sentence}: see {known}")]
    return [fail(REACHED, sentence, f"forward TCP port {_port(facts)} on the router to this computer")]


def relay(facts: Facts) -> list[Row]:
    """Whether each relay does what it is used for."""
    if isinstance(facts.status, Unknown):
        return [not_checked(RELAY, facts.status)]
    used = facts.status["relays"]["used"]
    if not used:
        return [not_checked(RELAY, _NO_RELAY)]
    ours = str(facts.status["node"]["key_hash"])
    rows = [_relay(one, ours) for one in used]
    bad = [row for row in rows if row.state is not State.OK]
    return bad or [ok(RELAY, f"{named([str(one['endpoint']) for one in used])}: {rows[0].sentence}")]


def _relay(one: Mapping[str, Any], ours: str) -> Row:
    at, problem = str(one["endpoint"]), str(one["problem"] or "")
    match one["state"]:
        case "refused" if "does not serve" in problem:
            do = f"its owner writes into hardline.ini there, under [Relay]:  allow = {ours}"
            return fail(RELAY, f"{at} does not serve this node: it is not in its allow", do)
        case "refused":
            return fail(RELAY, f"{at} refused: {problem}", "ask its owner")
        case "connecting" if problem:
            do = "see that it runs, and compare [Relay] use with what hardline relay prints there"
            return fail(RELAY, f"{at} is not reached: {problem}", do)
        case "connecting":
            return not_checked(RELAY, Unknown(f"{at} is being connected", "hardline doctor, once more"))
        case "idle":
            return not_checked(RELAY, Unknown(f"{at} is not used: nothing is shared"))
        case "draining":
            return warn(RELAY, f"{at} is going to stop", "name another one: [Relay] use")
        case "not needed":
            return ok(RELAY, "not needed")
        case _ if problem and not one["tested"]:
            return fail(RELAY, f"{at}: {problem}", "ask its owner")
        case _:
            return ok(RELAY, f"{one['tested']} of {one['names']} names reached by it")


def relay_hosts(facts: Facts) -> list[str]:
    """The names of the computers that the relays are on, which tell who their owners are."""
    used = [] if isinstance(facts.status, Unknown) else facts.status["relays"]["used"]
    hosts = [str(one["endpoint"]).rpartition(":")[0] for one in used]
    return [host for host in hosts if parse(host.strip("[]")) is None]


# What several of them ask.


def _upnp(facts: Facts, check: str = ROUTER) -> Mapping[str, Any] | Row:
    """What is known of routers, or why nothing is."""
    if isinstance(facts.status, Unknown):
        return not_checked(check, facts.status)
    outside = facts.status["outside"]
    if outside["upnp"] is not None:
        told: Mapping[str, Any] = outside["upnp"]
        return told
    if not _shares(facts):
        return not_checked(check, _NOTHING_SHARED)
    if outside["only_here"]:
        return not_checked(check, Unknown("it listens for this computer only ([Node] bind)"))
    return not_checked(check, Unknown("no router is asked ([UPnP] enabled = no)"))


def _shares(facts: Facts) -> bool:
    """Something is served to others."""
    if isinstance(facts.status, Unknown):
        return False
    return any(one["state"] in ("serving", "stale") for one in facts.status["services"])


def _port(facts: Facts) -> str:
    """Where other nodes connect."""
    listens = [] if isinstance(facts.status, Unknown) else facts.status["node"]["p2p"]
    return str(listens[0]).rpartition(":")[2] if listens else "7008"


def _way_in(facts: Facts) -> str:
    """How visitors get in all the same, in words."""
    if isinstance(facts.status, Unknown):
        return ""
    outside = facts.status["outside"]
    if outside["state"] == "confirmed":
        return str(outside["sentence"])
    if isinstance(facts.dialled_back, tuple) and any(one.result == "came" for one in facts.dialled_back):
        return "a relay has connected to this computer"
    ipv4 = [one for one in outside["endpoints"] if _is_public(str(one["endpoint"]), 4)]
    if ipv4:
        return f"{ipv4[0]['endpoint']} is known ({ipv4[0]['by']})"
    by = _relayed(facts)
    return f"visitors come by the relay {by}" if by else ""


def _is_public(endpoint: str, version: int) -> bool:
    address = parse(endpoint.rpartition(":")[0].strip("[]"))
    return address is not None and address.version == version and kind_of(address) is Kind.PUBLIC


def _relayed(facts: Facts) -> str:
    used = [] if isinstance(facts.status, Unknown) else facts.status["relays"]["used"]
    return next((str(one["endpoint"]) for one in used if one["state"] == "registered" and one["tested"]), "")


def _cause(facts: Facts) -> str:
    """The row that explains why nobody gets in."""
    if is_shut(facts):
        return "local firewall"
    rows = (*router(facts), *double_nat(facts))
    return next((row.check for row in rows if row.state in (State.FAIL, State.WARN)), "")
