"""Visitors whom somebody brings, rather than that they come by themselves: by relays, and through routers.

    RelayClient ──Joined───▶ ┐                                      ┌─▶ Punching: a way past the relay
    Punching ─────Punched──▶ ┴─ Arrival ─▶ Host ─ control stream ───┘
                             └─ by a public port ─▶ PublicVisits

Source: docs/PROTOCOL.md, sections 9.4 and 10.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from hardline.routes import Endpoint
from hardline.session.controlstream import ControlStream
from hardline.transport.sources import source_of
from hardline.tunnel.arrival import Arrival, By
from hardline.tunnel.host import Host

if TYPE_CHECKING:
    from hardline.node.draining import Moving
    from hardline.node.publicvisits import PublicVisits
    from hardline.punch.hosting import Punched
    from hardline.punching import Punching
    from hardline.relay.joins import Joined
    from hardline.relaying import UsedRelay


class Brought:
    """Those of one node.

    `host` and `punching` are looked up when somebody comes, None for no punching; `named` gets who comes by a domain.
    """

    def __init__(
        self, host: Callable[[], Host], punching: Callable[[], Punching | None], named: Callable[[Joined], None]
    ) -> None:
        self._host, self._punching, self._named = host, punching, named
        self._by_ports: PublicVisits | None = None

    def _those_by_ports(self) -> PublicVisits:
        if self._by_ports is None:
            from hardline.node.publicvisits import PublicVisits

            self._by_ports = PublicVisits(self._host)
        return self._by_ports

    @property
    def moving(self) -> list[Moving]:
        """What passes by public ports."""
        return [self._by_ports] if self._by_ports is not None else []

    def services_changed(self) -> None:
        """Others are offered than before."""
        if self._by_ports is not None:
            self._by_ports.services_changed()

    async def aclose(self) -> None:
        """End the visits by public ports; the others are the host's."""
        if self._by_ports is not None:
            await self._by_ports.aclose()

    def joined(self, joined: Joined) -> None:
        """A relay brought a visitor."""
        if joined.domain:
            self._named(joined)
            return
        if joined.public is not None:
            self._those_by_ports().came(joined, joined.public)
            return
        between = _between(joined.relay)
        arrival = Arrival(joined.tcp, joined.source, By.RELAY, joined.service, joined.name, between, joined.saw)
        self._host().arrived(arrival)

    def controlled(self, control: ControlStream, arrival: Arrival) -> None:
        """A visitor whom a relay brought takes a `control` stream."""
        punching = self._punching()
        if punching is not None and arrival.only is not None and arrival.saw is not None:
            from hardline.punch.hosting import Half

            whose = f"{arrival.between} {source_of(arrival.source.host)}"
            punching.hosts(control, arrival.only, Half(arrival.tcp.local, arrival.saw, arrival.source, whose))

    def punched(self, punched: Punched) -> None:
        """A visitor got through to us, whom a relay had brought before."""
        arrival = Arrival(
            punched.tcp,
            punched.tcp.peer,
            By.PUNCH,
            punched.service,
            punched.name,
            once=punched.taken,
            for_whom=punched.whose,
        )
        self._host().arrived(arrival)

    def are_here_by(self, relay: Endpoint) -> bool:
        """Whether visitors are here whom it brought."""
        between = _between(relay)
        return any(guest.between == between for guest in self._host().guests)

    def drains(self, relay: Endpoint, used: Iterable[UsedRelay], *, known_elsewhere: bool) -> None:
        """Those who came by it go another way, where there is one; else they stay while it lasts."""
        others = [one for one in used if one.endpoint != relay and one.tested and one.state == "registered"]
        if others or known_elsewhere:
            self._host().go_away_by(_between(relay))


def _between(relay: Endpoint) -> str:
    """Who stands between this host and those whom a relay brings."""
    return f"relay {relay}"
