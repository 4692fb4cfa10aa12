"""Judgements about this computer, without I/O: daemon, survives logout, ports, resolver, keys, clock, disk."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from hardline.addresses import Kind, kind_of, parse
from hardline.doctor.clocks import in_words, most_against
from hardline.doctor.facts import Facts, Place
from hardline.doctor.nearby import apart_from
from hardline.doctor.rows import Row, Unknown, fail, named, not_checked, ok, warn

DAEMON, LOGOUT, PORTS, RESOLVER = "daemon", "survives logout", "ports", "resolver"
KEYS, CLOCK, DISK = "keys", "clock", "disk"

FULL = 0.98
ROOM = 1 << 30  # bytes: a disk with so much left is not full, however large it is


def daemon(facts: Facts) -> list[Row]:
    """Whether it runs, and is what is installed."""
    running = facts.daemon
    if isinstance(running, Unknown):
        return [fail(DAEMON, running.reason, running.do)]
    if running.version != facts.installed:
        sentence = f"hardline {facts.installed} is installed, {running.version} is running"
        return [warn(DAEMON, sentence, _restart(running.manager, running.unit))]
    by = f" as {running.user}" if running.user else ""
    return [ok(DAEMON, f"hardlined {running.version} runs{by}, pid {running.pid}", private=_person(running.user))]


def logout(facts: Facts) -> list[Row]:
    """Whether it goes on when its user has left."""
    running, lingering = facts.daemon, facts.lingering
    if isinstance(running, Unknown):
        return [not_checked(LOGOUT, lingering if isinstance(lingering, Unknown) else running)]
    if running.manager == "system":
        return [ok(LOGOUT, f"the system keeps it running ({running.unit})")]
    if isinstance(lingering, Unknown):
        return [not_checked(LOGOUT, lingering)]
    if not lingering.systemd:
        return [not_checked(LOGOUT, Unknown("there is no systemd here: whatever started hardlined decides"))]
    if running.manager == "user" and not lingering.lingers:
        do = f"loginctl enable-linger {lingering.user}"
        return [fail(LOGOUT, "hardline stops when you log out", do, _person(lingering.user))]
    if running.manager == "user":
        sentence = f"{lingering.user} lingers: hardline goes on after a logout"
        return [ok(LOGOUT, sentence, private=_person(lingering.user))]
    sentence = "hardlined was started by hand: it does not come back when this computer is restarted"
    return [warn(LOGOUT, sentence, "have systemd start it: hardline service install")]


def _person(user: str) -> tuple[str, ...]:
    """A user who is somebody, and not the system's."""
    return () if user in ("root", "hardline") else (user,)


def _restart(manager: str, unit: str) -> str:
    if manager == "user":
        return f"systemctl --user restart {unit}"
    return (
        f"sudo systemctl restart {unit}" if manager == "system" else "stop the hardlined that runs, and start it again"
    )


def ports(facts: Facts) -> list[Row]:
    """Whether hardline has those that it needs."""
    known = facts.ports
    if isinstance(known, Unknown):
        return [not_checked(PORTS, known)]
    rows = []
    for port in known:
        if port.holder:
            other = f", or write [Node] {port.setting} = another one into hardline.ini" if port.setting else ""
            also = " and tell the new URL" if port.setting == "localport" else ""
            sentence = f"{port.number}/{port.protocol} ({port.what}) is taken by {port.holder}"
            rows.append(fail(PORTS, sentence, f"stop it{other}{also}"))
    numbers = named([f"{one.number}/{one.protocol}" for one in known])
    whose = "nobody else has them" if isinstance(facts.daemon, Unknown) else "hardline has them"
    return rows or [ok(PORTS, f"{numbers}: {whose}")]


def resolver(facts: Facts) -> list[Row]:
    """Whether programs find names below .localhost on this computer."""
    found = facts.resolving
    if isinstance(found, Unknown):
        return [not_checked(RESOLVER, found)]
    elsewhere = [text for text in found.system if not _is_loopback(text)]
    if elsewhere:
        sentence = f"names below .localhost lead to {named(elsewhere)} here, and not to this computer"
        return [fail(RESOLVER, sentence, "visit nothing but by browser until that is mended: docs/BROWSERS.md")]
    lost = [who for who, finds in (("curl", found.curl), ("the system", bool(found.system))) if finds is False]
    if lost:
        sentence = f"x.localhost does not lead here in: {named(lost)} (browsers do it themselves)"
        return [warn(RESOLVER, sentence, "install nss-myhostname, or use a proxy setting: docs/BROWSERS.md")]
    return [ok(RESOLVER, "names below .localhost lead to this computer in every program")]


def _is_loopback(text: str) -> bool:
    address = parse(text)
    return address is not None and kind_of(address) is Kind.LOOPBACK


def keys(facts: Facts) -> list[Row]:
    """Whether private keys are their owner's alone, and would outlive this computer."""
    found = facts.keys
    if isinstance(found, Unknown):
        return [not_checked(KEYS, found)]
    if found.open:
        return [fail(KEYS, f"{one.file}: {one.problem}", one.do) for one in found.open]
    if not found.services:
        return [ok(KEYS, "nothing is shared, so none can be lost")]
    many = f"{found.services} key{'' if found.services == 1 else 's'}"
    if found.backed_up is None:
        return [warn(KEYS, f"no backup of {many} was made: who loses a key loses its URL", _BACKUP)]
    day = datetime.fromtimestamp(found.backed_up, UTC).strftime("%Y-%m-%d")
    if found.newer:
        sentence = f"no backup since {day}, and {found.newer} of {many} {'is' if found.newer == 1 else 'are'} newer"
        return [warn(KEYS, sentence, _BACKUP)]
    return [ok(KEYS, f"private keys can be read by their owner only; backed up on {day}")]


_BACKUP = "hardline backup FILE"


def clock(facts: Facts) -> list[Row]:
    """Whether this computer's clock is right, as far as others and the system know."""
    kept = facts.clock.kept if not isinstance(facts.clock, Unknown) else None
    apart = [] if isinstance(facts.lan, Unknown) else apart_from(facts.lan)
    if off := most_against(apart):
        word = "behind" if off[0] > 0 else "ahead of"
        least = in_words(min(abs(hours) for hours in off))
        sentence = f"this clock is at least {least} {word} those of {len(off)} of {len(apart)} other nodes"
        if kept:
            return [warn(CLOCK, f"{sentence}, though the system says that it keeps it right", _ASK)]
        return [fail(CLOCK, sentence, "set it: timedatectl set-ntp true")]
    if kept:
        return [ok(CLOCK, "the system keeps it right")]
    if any(abs(hours) < 1 for hours in apart):
        return [ok(CLOCK, f"as on {sum(abs(hours) < 1 for hours in apart)} of {len(apart)} other nodes")]
    if apart:
        return [not_checked(CLOCK, Unknown("another clock differs, and nothing here tells which one is right", _ASK))]
    return [not_checked(CLOCK, Unknown("nobody is here to compare it with", _ASK))]


_ASK = "timedatectl"


def disk(facts: Facts) -> list[Row]:
    """Whether the node can write down what it learns."""
    places = facts.places
    if isinstance(places, Unknown):
        return [not_checked(DISK, places)]
    return _full(places) or [ok(DISK, f"{named([_used(one) for one in places])}")]


def _full(places: Sequence[Place]) -> list[Row]:
    rows, seen = list[Row](), set[tuple[int, int]]()
    for one in places:
        if one.size and one.size - one.free >= FULL * one.size and one.free < ROOM:
            if (one.size, one.free) not in seen:  # one disk for several places
                rows.append(fail(DISK, f"the disk of {_used(one)}", f"free some of it: df -h {one.path}"))
            seen.add((one.size, one.free))
        elif one.problem:
            rows.append(
                fail(DISK, f"{one.what} {one.path}: {one.problem}", "what is changed or learned is lost at the end")
            )
    return rows


def _used(one: Place) -> str:
    full = 100 * (one.size - one.free) / one.size if one.size else 0
    return f"{one.what} is {full:.0f} % full"
