"""Judgements about the network that this computer is in, without I/O.

Local firewall, multicast, neighbours, other hardline, interfaces.
"""

from __future__ import annotations

from collections import defaultdict

from hardline.doctor.clocks import at_least_apart, in_words, most_against
from hardline.doctor.facts import Facts, Lan, Voice
from hardline.doctor.rows import Row, State, Unknown, fail, named, not_checked, ok, warn

FIREWALL, MULTICAST, NEIGHBOURS = "local firewall", "multicast", "neighbours"
OTHERS, INTERFACES = "other hardline", "interfaces"

LAN_PORT = 6771


def firewall(facts: Facts) -> list[Row]:
    """Whether this computer itself lets others in."""
    found = facts.firewall
    if isinstance(found, Unknown):
        return [not_checked(FIREWALL, found)]
    shut = [f"{one.port}/{one.protocol}" for one in found.ports if one.passes is False]
    if shut:
        return [fail(FIREWALL, f"{found.tool} lets nothing in to {named(shut)}", found.open_it)]
    unclear = [f"{one.port}/{one.protocol}" for one in found.ports if one.passes is None]
    if unclear:
        sentence = f"{found.tool} has rules for {named(unclear)} that depend on more than the port"
        return [not_checked(FIREWALL, Unknown(sentence, "sudo nft list ruleset"))]
    return [ok(FIREWALL, f"{found.tool} lets hardline in" if found.tool else "there is none that keeps anybody out")]


def multicast(facts: Facts) -> list[Row]:
    """Whether what is said to all gets out of this computer and back."""
    lan = facts.lan
    if isinstance(lan, Unknown):
        return [not_checked(MULTICAST, lan)]
    if lan.off:
        return [not_checked(MULTICAST, Unknown(lan.off))]
    if _shut(facts):
        return [not_checked(MULTICAST, Unknown("the local firewall keeps out what would tell"))]
    if lan.deaf:
        return [fail(MULTICAST, f"nothing is heard on {LAN_PORT}/udp: {lan.deaf}", "see ports")]
    if not lan.voices:
        return [fail(MULTICAST, "no interface with an address is up", "connect this computer to a network")]
    by_interface = defaultdict[str, list[Voice]](list)
    for voice in lan.voices:
        by_interface[voice.interface].append(voice)
    rows = []
    for interface, voices in by_interface.items():
        if any(voice.heard for voice in voices):
            continue
        why = next((f" ({voice.problem})" for voice in voices if voice.problem), "")
        rows.append(fail(MULTICAST, f"own packets are not heard back on {interface}{why}", _BLOCKED))
    return rows or [ok(MULTICAST, f"own packets are heard back on {named(list(by_interface))}")]


_BLOCKED = 'a VPN with "block LAN", an interface that is down, a firewall on this computer'


def neighbours(facts: Facts) -> list[Row]:
    """Whether others on the network are heard at all."""
    if (lan := _heard(facts, NEIGHBOURS)) is None or isinstance(lan, Row):
        return [lan or not_checked(NEIGHBOURS, Unknown("multicast does not work here"))]
    if lan.devices:
        return [ok(NEIGHBOURS, f"others on this network answer, at {_counted(len(lan.devices), 'address', 'es')}")]
    apart = "a guest network, AP isolation or IGMP snooping keeps devices apart: try a cable"
    if lan.missed:
        sentence = f"multicast works, but nobody answers, not even {named(lan.missed)}, known from this network"
        return [fail(NEIGHBOURS, sentence, apart)]
    return [warn(NEIGHBOURS, "multicast works, but nobody answers", f"where others are on this network, {apart}")]


def others(facts: Facts) -> list[Row]:
    """Which nodes of hardline answer, and whether their clocks can be right."""
    if (lan := _heard(facts, OTHERS)) is None or isinstance(lan, Row):
        return [lan or not_checked(OTHERS, Unknown("multicast does not work here"))]
    if not lan.others:
        return [ok(OTHERS, "no other node of hardline lists anything on this network")]
    off = []
    for other in lan.others:
        hours = 0.0 if other.day is None else at_least_apart(other.day, lan.now)
        if abs(hours) >= 1:
            way = "ahead" if hours > 0 else "behind"
            off.append(f"{other.title or 'one'} ({other.source}) at least {in_words(abs(hours))} {way}")
    count = _counted(len(lan.others), "node")
    if most_against(apart_from(lan)):
        return [ok(OTHERS, f"{count} answered, and most clocks agree against this one")]
    if off:
        clocks = "a clock that differs" if len(off) == 1 else "clocks that differ"
        sentence = f"{count} answered, {len(off)} with {clocks}: {named(off)}"
        return [warn(OTHERS, sentence, "set the clock there", [other.title for other in lan.others])]
    return [ok(OTHERS, f"{count} answered")]


def interfaces(facts: Facts) -> list[Row]:
    """By which interface this computer sends to the world."""
    routes = facts.routes
    if isinstance(routes, Unknown):
        return [not_checked(INTERFACES, routes)]
    if not routes.default:
        return [warn(INTERFACES, "there is no default route: this network only", "connect it to the internet")]
    first = routes.default[0]
    if first.tunnel:
        sentence = f"a VPN ({first.interface}) has the default route"
        return [warn(INTERFACES, sentence, 'allow LAN traffic in it ("local network sharing"), or except hardline')]
    return [ok(INTERFACES, f"{first.interface} has the default route")]


def apart_from(lan: Lan) -> list[float]:
    """How many hours at the least the clock of each computer of the LAN is ahead; one with many voices counts once."""
    days = {other.source: other.day for other in lan.others if other.day is not None}
    return [at_least_apart(day, lan.now) for day in days.values()]


def is_shut(facts: Facts) -> bool:
    """The local firewall lets nobody in."""
    return any(row.state is State.FAIL for row in firewall(facts))


def _shut(facts: Facts) -> bool:
    found = facts.firewall
    return not isinstance(found, Unknown) and any(one.port == LAN_PORT and one.passes is False for one in found.ports)


def _heard(facts: Facts, check: str) -> Lan | Row | None:
    """The LAN, where it can be heard; None where multicast fails, a row where it is not known."""
    lan = facts.lan
    if isinstance(lan, Unknown):
        return not_checked(check, lan)
    if lan.off:
        return not_checked(check, Unknown(lan.off))
    states = {row.state for row in multicast(facts)}
    if State.NOT_CHECKED in states:
        return not_checked(check, Unknown("the local firewall keeps out what would tell"))
    return None if not any(voice.heard for voice in lan.voices) or lan.deaf else lan


def _counted(number: int, what: str, more: str = "s") -> str:
    return f"{number} {what}{'' if number == 1 else more}"
