"""The relays by which a host is reached: a control connection to each, and what visitors are told of that.

    [Relay] use ─▶ RelayClient, one each ─▶ Joined ─▶ the host          via(service) ─▶ hello, record

A relay is told to others while the service is registered there and this host has visited itself by it.
Source: docs/PROTOCOL.md, section 9.3.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hardline.identity import KeyHash, instance_name, utc_day
from hardline.proof import Prover
from hardline.relay.client import RelayClient
from hardline.relay.dial import RelayDialer, proxy_of_environment
from hardline.relay.handles import make_domain_name, make_handle, make_port_name, periods
from hardline.relay.joins import Joined
from hardline.relay.messages import Kind, Why
from hardline.relay.nat import Nat
from hardline.relay.router import RouterWatch
from hardline.relay.wanted import Wanted
from hardline.routes import MAX_VIA, Endpoint, RelayAddress, Via
from hardline.tasks import TaskSet, keep_running

if TYPE_CHECKING:
    from hardline.relay.needed import Need, Reaching

_LOOK_AGAIN = 3600.0  # seconds: handles change once in many days

_FOR_EVER = -1  # in place of a period

_NO_PORT = {
    Why.ALLOW: "its owner has to write this node's key hash into [Relay] public_allow there",
    Why.PORTS: "it has none, none is left, or the wanted one is another's",
    Why.VERSION: "its hardline is too old for public ports",
}


@dataclass(frozen=True, slots=True)
class Offered:
    """A service; `prover` holds its own key, None for a kind of key that signs nothing here.

    `public_port` is the one that it wants, 0 for any, None for none; `public_relays` are those that are asked, none
    for all; `domain` is what browsers ask for, "" for none.
    """

    key_hash: KeyHash
    private_key_pem: bytes = field(repr=False)
    prover: Prover | None
    legacy: bool
    public_port: int | None = None
    public_relays: tuple[Endpoint, ...] = ()
    domain: str = ""

    def is_public_at(self, relay: Sequence[Endpoint]) -> bool:
        """Whether it wants a port of the relay that is at these endpoints."""
        return self.public_port is not None and self.asks(relay)

    def asks(self, relay: Sequence[Endpoint]) -> bool:
        """Whether the relay that is at these endpoints is asked for what it wants for everybody."""
        return not self.public_relays or any(at in self.public_relays for at in relay)


class RelayUses:
    """All of a host's.  `services` are those that are offered now.

    `me` is who this node is, `instance` the secret that tells it from others with the same services; `joined` gets the
    visitors that relays bring; `changed` is called when `via` is another; `proxy` is a web proxy to get to them;
    `drains` is called with one that is going to stop; by `reaching` those are left that are not needed.
    """

    def __init__(
        self,
        relays: Sequence[RelayAddress],
        me: Callable[[], Prover],
        instance: str,
        *,
        services: Callable[[], Sequence[Offered]],
        joined: Callable[[Joined], None],
        changed: Callable[[], None],
        clock: Callable[[], float],
        proxy: Endpoint | None = None,
        drains: Callable[[Endpoint], None] = lambda relay: None,
        reaching: Reaching | None = None,
    ) -> None:
        self._services, self._instance, self._clock = services, instance, clock
        self._made: dict[tuple[KeyHash, KeyHash, int | str], Prover] = {}
        self._router = RouterWatch(lambda: self.clients, clock)
        clients = list[RelayClient]()
        # One relay may be reached at several endpoints; it is one, or they would replace each other there.
        for key_hash in dict.fromkeys(relay.key_hash for relay in relays):
            its = [relay for relay in relays if relay.key_hash == key_hash]
            endpoints = tuple(dict.fromkeys(one.endpoint for one in its))
            relay = RelayAddress(endpoints[0], key_hash, any(one.named for one in its))
            clients.append(
                RelayClient(
                    relay,
                    me,
                    lambda relay=relay, at=endpoints: self._wanted(relay, at),  # type: ignore[misc]
                    joined,
                    changed,
                    clock=clock,
                    dialer=RelayDialer(*endpoints, proxy=proxy, fallback=proxy_of_environment()),
                    drains=drains,
                    greets=self._router.greeted,
                    need=_need(relay.endpoint, reaching),
                )
            )
            clients[-1].endpoints = endpoints
        self.clients: tuple[RelayClient, ...] = tuple(clients)

    def via(self, service: KeyHash) -> tuple[Via, ...]:
        """By which relays `service` is reached now, most wanted first."""
        named = [(client, client.name_of(service)) for client in self.clients]
        first = [Via(client.endpoints[0], name) for client, name in named if name]
        also = [Via(endpoint, name) for client, name in named if name for endpoint in client.endpoints[1:]]
        return tuple(first + also)[:MAX_VIA]

    def named(self, service: KeyHash) -> tuple[Endpoint, ...]:
        """The relays at which `service` is found by its own name now."""
        return tuple(client.relay.endpoint for client in self.clients if client.is_named(service))

    def public(self, service: Offered) -> tuple[tuple[Endpoint, ...], tuple[str, ...]]:
        """Where anybody reaches `service`, and of each relay that has no port for it why not, for people."""
        ports, without = list[Endpoint](), list[str]()
        for client in self.clients:
            if not service.is_public_at(client.endpoints):
                continue
            at = client.endpoints[0]
            match client.port_of(service.key_hash):
                case Why() as why:
                    without.append(f"{at}: {_NO_PORT.get(why, why.value)}")
                case int(port):
                    ports.append(Endpoint(at.host, port))
                case None:
                    without.append(f"{at}: {client.problem or 'not asked yet'}")
        used = [at for client in self.clients for at in client.endpoints]
        without += [f"{at}: [Relay] use does not name it" for at in service.public_relays if at not in used]
        return tuple(ports), tuple(without)

    def domain(self, service: KeyHash, domain: str) -> tuple[tuple[Endpoint, ...], tuple[str, ...]]:
        """The relays that bring visitors of `domain` to `service`, and why not, of each that refuses."""
        found = [(client.endpoints[0], client.has_domain(service, domain)) for client in self.clients]
        there = tuple(at for at, has in found if has is True)
        return there, tuple(f"{at}: {why.value}" for at, why in found if isinstance(why, Why))

    @property
    def nat(self) -> Nat | None:
        """What kind of router is before this node; None where that is not known yet."""
        return self._router.nat

    @property
    def reached(self) -> tuple[Endpoint, ...]:
        """Where relays have reached this host when it asked them to."""
        found = [client.need.reached for client in self.clients if client.need is not None]
        return tuple(dict.fromkeys(at for at in found if at is not None))

    async def run(self) -> None:
        """Be registered everywhere, until cancelled."""
        tasks = TaskSet("relays")
        try:
            for client in self.clients:
                tasks.start(keep_running(client.run, f"relay.{client.relay.endpoint}"), "run")
            tasks.start(keep_running(self._router.run, "router"), "router")
            while True:
                await asyncio.sleep(_LOOK_AGAIN)
                self.services_changed()
        finally:
            await tasks.aclose()

    def services_changed(self) -> None:
        """Others are offered than before."""
        for client in self.clients:
            client.services_changed()

    def network_changed(self) -> None:
        """This machine is in another network."""
        for client in self.clients:
            client.network_changed()

    def whereabouts_changed(self) -> None:
        """The world sees this machine elsewhere."""
        for client in self.clients:
            if client.need is not None:
                client.need.whereabouts_changed()

    def _wanted(self, relay: RelayAddress, endpoints: Sequence[Endpoint]) -> list[Wanted]:
        """The names of everything that is offered, at one relay, which is at these endpoints."""
        services, now, at = self._services(), periods(utc_day(self._clock())), relay.key_hash
        keys = {
            (at, service.key_hash, what)
            for service in services
            for what in (*now, _FOR_EVER, *filter(None, [service.domain]))
        }
        for key in [key for key in self._made if key[0] == at and key not in keys]:
            del self._made[key]
        wanted = list[Wanted]()
        for service in services:
            wanted += [Wanted(service.key_hash, self._prover(at, service, period)) for period in now]
            if (port := service.public_port) is not None and service.is_public_at(endpoints):
                wanted.append(Wanted(service.key_hash, self._prover(at, service, _FOR_EVER), Kind.PORT, port=port))
            if (domain := service.domain) and service.asks(endpoints):
                wanted.append(Wanted(service.key_hash, self._prover(at, service, domain), Kind.DOMAIN, domain=domain))
            if relay.named and service.prover is not None:
                instance = instance_name(self._instance, service.key_hash)
                wanted.append(Wanted(service.key_hash, service.prover, Kind.NAMED, instance, service.legacy))
        return wanted

    def _prover(self, relay: KeyHash, service: Offered, what: int | str) -> Prover:
        """Of a period's handle, of a public port, or of a domain."""
        key = relay, service.key_hash, what
        if (known := self._made.get(key)) is not None:
            return known
        whose = service.private_key_pem, self._instance, relay
        if isinstance(what, str):
            made = make_domain_name(*whose, what)
        else:
            made = make_port_name(*whose) if what == _FOR_EVER else make_handle(*whose, what)
        self._made[key] = made
        return made


def _need(relay: Endpoint, reaching: Reaching | None) -> Need | None:
    if reaching is None:
        return None
    from hardline.relay.needed import Need

    return Need(relay, reaching)
