"""Everything that goes wrong in the town.  A fault is a generator: it breaks something, yields for how long it stays
broken, and mends it.  Before it breaks anything it opens a window in the ledger, which says whom it may hurt.

    window = town.begin("host killed", …, recovery=3)      what is not named in a window must not fail at all
    kill · yield seconds · start · healed(window)           `recovery`: seconds after which everything must work again
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from hardline.discovery.lpd import MAX_DAYS_OFF
from tests.soak.ledger import Window
from tests.soak.town import Resident, Town
from tests.soak.web import HANG_LIMIT
from tests.support.waiting import wait_until

BACK = 3.0  # seconds until a daemon or a service that was started again is used again
NOTICED = 25.0  # a session without traffic pings every 15 s and waits 3 s for the answer (docs/PROTOCOL.md 5.3)
UNFROZEN = 5.0
FOUND_AGAIN = 7.0  # what could not be found is known as absent for 5 s (docs/PROTOCOL.md 7.1)
RETRANSMITTED = 5.0  # a lost SYN is sent again after 1 s, then after 2
SHORT_FREEZE = 2.0  # nobody may give up a peer after so short a silence
TAKEN_UP = 5.0  # a change of a file

Course = Iterator[float]


@dataclass(frozen=True, slots=True)
class Fault:
    """One that can happen.  Two faults of the same subject never overlap."""

    name: str
    subject: str
    weight: float
    run: Callable[[Town, random.Random], Course]


def faults_of(town: Town) -> list[Fault]:
    """All that can happen here."""
    faults = [Fault("guest", "sand", 2, guest_goes)]
    for mortal in (town.sand, town.leaf):
        faults += [
            Fault("kill", mortal.name, 3, partial(daemon_dies, mortal, in_order=False)),
            Fault("stop", mortal.name, 2, partial(daemon_dies, mortal, in_order=True)),
            Fault("stillborn", mortal.name, 1, partial(daemon_dies_young, mortal)),
        ]
    for host in town.hosts:
        faults += [
            Fault("title", host.name, 1, partial(title_changes, host)),
            Fault("port", host.name, 1, partial(port_changes, host)),
            Fault("mistake", host.name, 1, partial(file_breaks, host)),
        ]
        faults += [Fault("origin", service, 1, partial(service_dies, host, service)) for service in host.services]
    for resident in town.residents:
        faults += [
            Fault("cut", resident.name, 1, partial(cable_is_cut, resident)),
            Fault("loss", resident.name, 0.5, partial(link_is_bad, resident, how="loses packets")),
            Fault("slow", resident.name, 0.5, partial(link_is_bad, resident, how="is slow")),
            Fault("freeze", resident.name, 1, partial(daemon_freezes, resident)),
            Fault("move", resident.name, 0.7, partial(machine_moves, resident)),
        ]
        if town.has_clocks:
            faults.append(Fault("clock", resident.name, 0.7, partial(clock_jumps, resident)))
    return faults


def healed(town: Town, *windows: Window) -> None:
    """From now on the seconds of recovery count."""
    with town.lock:
        for window in windows:
            window.healed = time.monotonic()


# ── programs that die ────────────────────────────────────────────────────────────────────────────────────────


def daemon_dies(who: Resident, town: Town, numbers: random.Random, *, in_order: bool) -> Course:
    """kill -9, or SIGTERM; back after some seconds."""
    role = "host" if who in town.hosts else "visitor"
    what = f"{role} stopped" if in_order else f"{role} killed"
    window = town.begin(what, **town.everything_of(who, door=True), recovery=BACK)
    if in_order:
        who.stop_in_order()
    else:
        who.node.kill()
    yield numbers.uniform(0.1, 5)
    who.node.start()
    healed(town, window)


def daemon_dies_young(who: Resident, town: Town, numbers: random.Random) -> Course:
    """Killed, started, and killed again before it is ready."""
    window = town.begin("killed at start", **town.everything_of(who, door=True), recovery=BACK)
    who.node.kill()
    for _ in range(numbers.randint(1, 3)):
        who.node.launch()
        yield numbers.uniform(0.05, 1.2)
        who.node.kill()
    who.node.start()
    healed(town, window)


def service_dies(host: Resident, service: str, town: Town, numbers: random.Random) -> Course:
    """kill -9 of the local server, of all its copies."""
    window = town.begin(
        "service killed",
        visitors=town.visitor_names,
        services=[service],
        recovery=BACK,
        ends_in_order=True,
        detail=service,
    )
    for origin in host.origins[service]:
        origin.kill()
    yield numbers.uniform(0.1, 5)
    for origin in host.origins[service]:
        origin.start()
    healed(town, window)


def daemon_freezes(who: Resident, town: Town, numbers: random.Random) -> Course:
    """SIGSTOP and SIGCONT; a short one hurts nobody."""
    seconds = numbers.choice((numbers.uniform(0.1, SHORT_FREEZE), numbers.uniform(5, 12)))
    if seconds <= SHORT_FREEZE:
        window = town.begin("short freeze", detail=who.name)
    else:
        window = town.begin("freeze", **town.everything_of(who, door=True), recovery=UNFROZEN, detail=who.name)
    who.frozen = True
    who.node.signal(signal.SIGSTOP)
    yield seconds
    who.node.signal(signal.SIGCONT)
    who.frozen = False
    healed(town, window)


# ── the network ──────────────────────────────────────────────────────────────────────────────────────────────


def cable_is_cut(who: Resident, town: Town, numbers: random.Random) -> Course:
    """Nothing gets through, and no machine sees why.  In the longest of them whoever does not give up hangs."""
    window = town.begin("cable cut", **town.everything_of(who, door=False), recovery=NOTICED, detail=who.name)
    who.machine.cut()
    yield numbers.choice((numbers.uniform(0.5, 5), numbers.uniform(5, 15), HANG_LIMIT + 5))
    who.machine.heal()
    healed(town, window)


def machine_moves(who: Resident, town: Town, numbers: random.Random) -> Course:
    """To the other segment, and back.  A visitor that stays there long enough must get by on its memory."""
    hurt = town.everything_of(who, door=False)
    away = town.begin("moved away", **hurt, recovery=NOTICED, detail=who.name)
    who.machine.move(2)
    if who in town.visitors:
        healed(town, away)
    yield numbers.choice((numbers.uniform(1, 5), NOTICED + 10 if who in town.visitors else 10))
    back = town.begin("moved back", **hurt, recovery=NOTICED, detail=who.name)
    who.machine.move(1)
    healed(town, back, *([] if who in town.visitors else [away]))


def link_is_bad(who: Resident, town: Town, numbers: random.Random, *, how: str) -> Course:
    """Slow or losing packets, for a while: TCP's affair, and nobody is hurt; only other faults take longer to mend."""
    window = town.begin(f"link {how}", **town.everything_of(who, door=False), delays=RETRANSMITTED, detail=who.name)
    if how == "is slow":
        who.machine.throttle(numbers.choice((10, 30)))
    else:
        who.machine.lose(numbers.choice((1, 2)))
    yield numbers.uniform(3, 12)
    who.machine.mend()
    healed(town, window)


# ── clocks and files ─────────────────────────────────────────────────────────────────────────────────────────


def clock_jumps(who: Resident, town: Town, numbers: random.Random) -> Course:
    """The clock of one daemon is wrong for a while.  By more than a day: what is not listed cannot be found.

    Two that are wrong at once are never further apart than nodes still find each other (docs/PROTOCOL.md, section 6.4).
    """
    minutes = numbers.choice((-1, 1)) * numbers.choice((1, 50, 3 * 1440, MAX_DAYS_OFF // 2 * 1440))
    hurt = {}
    if abs(minutes) > 1000 and who is not town.rock:
        hurt = {"visitors": town.everything_of(who, door=False)["visitors"], "services": ["hidden"]}
    window = town.begin("clock jump", **hurt, recovery=FOUND_AGAIN, detail=f"{who.name} {minutes:+d} min")
    who.set_clock(f"{60 * minutes:+d}")
    yield numbers.uniform(3, 15)
    who.set_clock("+0")
    healed(town, window)


def guest_goes(town: Town, numbers: random.Random) -> Course:
    """A service's file is removed, and written again."""
    window = town.begin("service removed", visitors=town.visitor_names, services=["guest"], recovery=FOUND_AGAIN)
    file = town.sand.node.services / "guest.ini"
    file.rename(file.with_suffix(".away"))
    wait_until(lambda: town.sand.node.service("guest") is None, "the service is gone", TAKEN_UP)
    yield numbers.uniform(0.1, 8)
    file.with_suffix(".away").rename(file)
    town.sand.node.serves("guest")
    healed(town, window)


def title_changes(host: Resident, town: Town, numbers: random.Random) -> Course:
    """Nobody is hurt, and the daemon knows it."""
    service = numbers.choice(_plain(host))
    window = town.begin("title changed", detail=service)
    title = f"The {service} of {numbers.randint(1, 10**6)}"
    town.share(host, service, title=title)
    wait_until(lambda: (host.node.service(service) or {}).get("title") == title, f"{service} is {title}", TAKEN_UP)
    yield 0.0
    healed(town, window)


def port_changes(host: Resident, town: Town, numbers: random.Random) -> Course:
    """To the other copy of the service: new connections go there, and those that are open go on."""
    service = next(name for name in host.services if len(host.origins[name]) == 2)
    copy = numbers.randrange(2)
    window = town.begin("port changed", detail=service)
    town.share(host, service, copy=copy)
    target = f"127.0.0.1:{host.origins[service][copy].port}"
    wait_until(lambda: (host.node.service(service) or {}).get("target") == target, f"{service} is {target}", TAKEN_UP)
    yield 0.0
    healed(town, window)


def file_breaks(host: Resident, town: Town, numbers: random.Random) -> Course:
    """A mistake in a file: what was served goes on, also after a while."""
    service = numbers.choice(_plain(host))
    window = town.begin("file broken", detail=service)
    host.node.write(service, "[Service]\nservice = 127.0.0.1\nport = http\n")
    wait_until(lambda: host.node.service(service, state="stale"), f"{service} is stale", TAKEN_UP)
    yield numbers.uniform(0.1, 3)
    town.share(host, service)
    healed(town, window)


def _plain(host: Resident) -> list[str]:
    """Services whose files nothing else changes."""
    return [service for service in host.services if service != "guest"]
