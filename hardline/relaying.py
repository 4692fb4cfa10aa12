"""What a node has to do with relays: being one for others, and being reached by those of others.

    Listener ─▶ Porter ─┬─▶ Host                     [Relay] use ─▶ RelayUses ─▶ Host
                        ├─▶ Relay
                        └─▶ Expected

What is switched off is not there, is not even imported, and costs nothing: without `enabled`, and while nothing else is
expected, connections go to the host as they come.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hardline import log
from hardline.certificates import Identity
from hardline.errors import ConfigError
from hardline.identity import KeyHash
from hardline.proof import Prover
from hardline.routes import Endpoint, Via
from hardline.settings.directory import Service
from hardline.settings.node import RelaySection
from hardline.signatures import CannotSign, signing_key
from hardline.tasks import TaskSet, keep_running
from hardline.transport.listener import Listener
from hardline.transport.tcp import TcpStream

if TYPE_CHECKING:
    from hardline.relay.access import Access
    from hardline.relay.askedback import DialledBack
    from hardline.relay.dnsproof import DnsProofs
    from hardline.relay.expected import Expected
    from hardline.relay.joins import Joined
    from hardline.relay.limits import RelayLimits
    from hardline.relay.monthly import Monthly
    from hardline.relay.needed import Reaching
    from hardline.relay.porter import Porter
    from hardline.relay.ports import Ports
    from hardline.relay.server import Relay, RelayState
    from hardline.relay.tlsrelay.server import TlsRelay
    from hardline.relay.uses import Offered, RelayUses

NEWCOMERS, OF_A_SOURCE = 1024, 64  # that have not said what they are
GOES = 5  # seconds that nodes have to go elsewhere before this one ends


@dataclass(frozen=True, slots=True)
class UsedRelay:
    """A relay that this host is reached by; `since` is seconds since 1970."""

    endpoint: Endpoint
    key_hash: KeyHash
    state: str
    problem: str
    since: float
    names: int
    tested: int
    saw: str
    contact: str


class Relaying:
    """One node's.  `open`, then `start`; `aclose` at the end.

    `node` is who this node is, `instance` the secret that tells it from others with the same services; `services` are
    those offered now; `host` gets connections of its own visitors, `answers_to` tells their server names, `joined` gets
    those that relays bring, `named` who asks this node, as a relay, for a domain of its own; `changed` is
    called when `via` is another, `drains` with a relay that is going to stop.

    `port` is the one that others connect to, `told` what the world is told of where this node is, `busy` tells whether
    visitors are here by a relay; `found` is called when `reached` is another; `count` is the file that holds what the
    relay has passed this month; `clock` is seconds since 1970.
    """

    def __init__(
        self,
        settings: RelaySection,
        node: Identity,
        instance: str,
        *,
        services: Callable[[], Sequence[Service]],
        host: Callable[[TcpStream], None],
        answers_to: Callable[[str], bool],
        joined: Callable[[Joined], None],
        named: Callable[[TcpStream, str], bool],
        changed: Callable[[], None],
        drains: Callable[[Endpoint], None],
        port: Callable[[], int],
        told: Callable[[], Sequence[Endpoint]],
        found: Callable[[], None],
        busy: Callable[[Endpoint], bool],
        count: Path,
        timeout: float,
        clock: Callable[[], float],
    ) -> None:
        self._settings, self._services, self._host = settings, services, host
        self._told, self._port = told, port
        self._tasks = TaskSet("relaying")
        self._listeners: list[Listener] = []
        self._monthly: Monthly | None = None
        self.relay: Relay | None = None
        self._porter: Porter | None = None
        self._ports: Ports | None = None
        self._tlsrelay: TlsRelay | None = None
        self._expected: Expected | None = None
        self._timeout = timeout
        me = Prover(node.der, signing_key(node.private_key_pem))
        if settings.enabled:
            from hardline.relay.monthly import Monthly
            from hardline.relay.page import page
            from hardline.relay.porter import Porter
            from hardline.relay.server import Relay

            if settings.public_ports:
                from hardline.relay.ports import Ports

                self._ports = Ports(settings.public_ports, count.with_name("relay-ports.json"))
            dns: DnsProofs | None = None
            if settings.domains_by_dns:
                dns = _dns_proofs(settings.dns)
            self.relay = Relay(
                me,
                _limits(settings, timeout),
                access(settings),
                clock=clock,
                contact=settings.contact,
                ports=self._ports,
                dns=dns,
            )
            volume = self.relay.rates
            self._monthly = Monthly(count, settings.monthly, lambda: volume.volume, self._used_up, clock)
            self._porter = Porter(
                self.relay,
                host,
                answers_to,
                lambda: page(settings.contact),
                self.expected,
                most=NEWCOMERS,
                of_a_source=OF_A_SOURCE,
                timeout=timeout,
                named=named,
            )
        others = [one for one in settings.use if one.key_hash != node.key_hash]
        for one in settings.use:
            if one not in others:
                log.warning("relay.is_itself", relay=one.endpoint, hint="[Relay] use names this node itself")
        self._uses: RelayUses | None = None
        if others:
            from hardline.relay.uses import RelayUses

            reaching: Reaching | None = None
            if settings.when == "needed":
                from hardline.relay.needed import Reaching

                reaching = Reaching(self.expected, told, port, busy, found)
            self._uses = RelayUses(
                others,
                lambda: me,
                instance,
                services=self._offered,
                joined=joined,
                changed=changed,
                clock=clock,
                proxy=settings.proxy,
                drains=drains,
                reaching=reaching,
            )

    @property
    def expected(self) -> Expected:
        """The lines that connections at the P2P port are to begin with."""
        if self._expected is None:
            from hardline.relay.expected import Expected

            self._expected = Expected(most=NEWCOMERS, of_a_source=OF_A_SOURCE, timeout=self._timeout)
        return self._expected

    def accepted(self, tcp: TcpStream) -> None:
        """A connection came in at the P2P port, or another one of the relay."""
        if self._porter is not None:
            self._porter.accepted(tcp)
        elif self._expected is not None:
            self._expected.accepted(tcp, self._host)
        else:
            self._host(tcp)

    async def open(self, addresses: Sequence[str]) -> None:
        """Listen on the relay's other ports.  Raises ConfigError."""
        for port in dict.fromkeys(self._settings.ports) if self.relay is not None else ():
            self._listeners.append(await Listener.open(addresses, port, self.accepted, what="[Relay] ports"))
        if self.relay is not None and self._ports is not None:
            await self._ports.open(addresses, self.relay.public)
        if self.relay is not None and self._settings.tlsrelay:
            from hardline.relay.tlsrelay.server import TlsRelay

            beside = self.relay.visits, self.relay.rates
            self._tlsrelay = await TlsRelay.open(addresses, self._settings, *beside, self._timeout)
        if self.relay is not None:
            everybody = None in self._settings.allow
            also = " ".join(map(str, self.endpoints)) or None
            allowed = "everybody" if everybody else len({*self._settings.allow, *self._settings.public_allow})
            public, lines = (
                f"{ports[0]}-{ports[-1]}" if ports else None
                for ports in (self._settings.public_ports, self._settings.tlsrelay)
            )
            log.event("relay.serving", allow=allowed, also_at=also, public_ports=public, tlsrelay=lines)

    def _used_up(self, over: bool) -> None:
        assert self.relay is not None, "it is counted for one"
        self.relay.used_up(over)
        if over and self._tlsrelay is not None:
            self._tlsrelay.cut()

    def start(self) -> None:
        """Register at the relays of others, and count what passes the own one."""
        if self._monthly is not None:
            self._tasks.start(keep_running(self._monthly.run, "relay.count"), "count")
        if self._uses is not None:
            self._tasks.start(keep_running(self._uses.run, "relays"), "uses")

    @property
    def endpoints(self) -> list[Endpoint]:
        """Where nodes and their visitors find the relay besides the P2P port."""
        return [at for listener in self._listeners for at in listener.endpoints]

    @property
    def listens_at(self) -> list[Endpoint]:
        """The same, and its public ports."""
        public = self._ports.endpoints if self._ports is not None else []
        return self.endpoints + public + (self._tlsrelay.endpoints if self._tlsrelay is not None else [])

    def via(self, service: KeyHash) -> tuple[Via, ...]:
        """By which relays a service is reached now."""
        return self._uses.via(service) if self._uses is not None else ()

    @property
    def nat(self) -> str | None:
        """What kind of router is before this node, for people; None where relays have not shown it."""
        found = self._uses.nat if self._uses is not None else None
        return None if found is None else found.value

    def seen_at(self) -> set[str]:
        """The addresses at which relays see this node now."""
        clients = self._uses.clients if self._uses is not None else ()
        return {client.seen.host for client in clients if client.seen is not None}

    def named(self, service: KeyHash) -> tuple[Endpoint, ...]:
        """The relays at which a service is found by its own name now."""
        return self._uses.named(service) if self._uses is not None else ()

    @property
    def reached(self) -> tuple[Endpoint, ...]:
        """Where relays have reached this node when it asked them to."""
        return self._uses.reached if self._uses is not None else ()

    def services_changed(self) -> None:
        """Others are offered than before."""
        if self._uses is not None:
            self._uses.services_changed()

    def access_changed(self, settings: RelaySection) -> None:
        """Others are served than before."""
        if self.relay is not None:
            self.relay.set_access(access(settings))

    def network_changed(self) -> None:
        """This machine is in another network."""
        if self._uses is not None:
            self._uses.network_changed()

    def whereabouts_changed(self) -> None:
        """The world sees this machine elsewhere."""
        if self._uses is not None:
            self._uses.whereabouts_changed()

    def used(self) -> tuple[UsedRelay, ...]:
        """What became of `use`."""
        return tuple(
            UsedRelay(
                client.relay.endpoint,
                client.relay.key_hash,
                client.state,
                client.problem or ("this firewall passes only TLS: joins go inside TLS" if client.inside_tls else ""),
                client.since,
                client.registered,
                client.tested,
                client.saw,
                client.contact,
            )
            for client in (self._uses.clients if self._uses is not None else ())
        )

    async def dial_back(self) -> tuple[DialledBack, ...]:
        """Have every relay that is used connect to this node, for its owner; takes 12 s at most.  Safe to cancel."""
        if self._uses is None:
            return ()
        from hardline.relay.askedback import ask_back

        asked = (ask_back(client, self.expected, self._told(), self._port()) for client in self._uses.clients)
        return tuple(await asyncio.gather(*asked))

    def public(self, service: Service) -> tuple[tuple[Endpoint, ...], tuple[str, ...]]:
        """At which public ports of relays a service is reached, and of the other relays why it is not."""
        if service.settings.public_port is None:
            return (), ()
        if self._uses is None:
            return (), ("[Relay] use names no relay",)
        return self._uses.public(_offered(service))

    @property
    def passed_this_month(self) -> int:
        """Bytes that have passed the relay of this node."""
        return self._monthly.passed if self._monthly is not None else 0

    def served(self) -> RelayState | None:
        """What the relay of this node does; None where it is none."""
        if self.relay is None:
            return None
        state = self.relay.describe()
        return state if self._tlsrelay is None else self._tlsrelay.describe(state)

    def drain(self, seconds: int) -> None:
        """Have the relay of this node take nobody new, and those that it serves go elsewhere.  Raises ConfigError."""
        if self.relay is None:
            raise ConfigError("this node is no relay", hint="[Relay] enabled = yes makes it one")
        log.event("relay.drains", seconds=seconds)
        self.relay.drain(seconds)

    async def stop_accepting(self) -> None:
        """Nobody new, and those who are registered go elsewhere."""
        for listener in self._listeners:
            await listener.aclose()
        if self._ports is not None:
            await self._ports.stop_accepting()
        if self._tlsrelay is not None:
            await self._tlsrelay.stop_accepting()
        if self.relay is not None:
            self.relay.drain(GOES)

    async def aclose(self) -> None:
        """End everything."""
        await asyncio.gather(*(listener.aclose() for listener in self._listeners))
        await self._tasks.aclose()
        if self._porter is not None:
            self._porter.close()
        if self._expected is not None:
            self._expected.close()
        if self._tlsrelay is not None:
            await self._tlsrelay.aclose()
        if self.relay is not None:
            await self.relay.aclose()
        if self._ports is not None:
            await self._ports.aclose()

    def domain(self, service: KeyHash, name: str) -> tuple[tuple[Endpoint, ...], tuple[str, ...]]:
        """The relays that bring visitors of a public name to a service, and of the others why they do not."""
        there, refused = self._uses.domain(service, name) if self._uses is not None else ((), ())
        return (*self.endpoints, *there), refused  # a relay has the names of its own services without a list

    def _offered(self) -> list[Offered]:
        services = self._services()
        owners = {one.settings.public.name: one for one in reversed(services)}  # of services with one name, the first
        return [_offered(one, named=owners[one.settings.public.name] is one) for one in services]


def _offered(service: Service, *, named: bool = True) -> Offered:
    from hardline.relay.uses import Offered

    pem, prover = service.identity.private_key_pem, None
    with contextlib.suppress(CannotSign):
        prover = Prover(service.identity.der, signing_key(pem))
    settings, name = service.settings, service.settings.public.name if named else ""
    asked = settings.public_port, settings.public_relays, name
    return Offered(service.key_hash, pem, prover, service.legacy, *asked)


def _dns_proofs(server: Endpoint | None) -> DnsProofs:
    from hardline.relay.dnsproof import DnsProofs, resolver_at

    try:
        return DnsProofs(resolver_at(server))
    except ImportError:
        hint = "pip install 'hardline-tunnel[https]'"
        raise ConfigError("[Relay] domains_by_dns takes a library that is not installed", hint=hint) from None


def access(settings: RelaySection) -> Access:
    """Who is served."""
    from hardline.relay.access import Access

    allowed = frozenset(one for one in settings.allow if one is not None)
    return Access(
        allow=allowed,
        everybody=None in settings.allow,
        deny=frozenset(settings.deny),
        ports=frozenset(settings.public_allow),
        domains=dict(settings.domains),
    )


def _limits(settings: RelaySection, timeout: float) -> RelayLimits:
    from hardline.relay.limits import RelayLimits
    from hardline.relay.rates import RateLimits
    from hardline.relay.registry import RegistryLimits

    return RelayLimits(
        registry=RegistryLimits(
            settings.max_registrations, settings.max_per_address, settings.max_per_network, settings.max_names
        ),
        pairs=settings.max_pairs,
        pairs_per_source=settings.max_pairs_per_source,
        pairs_of_port=settings.max_pairs_per_port,
        new_pairs=settings.new_pairs,
        rates=RateLimits(settings.rate, settings.rate_per_source, settings.rate_per_pair),
        hello_timeout=timeout,
    )
