"""HTTPS end to end, of one node: its public names, each with its certificate, and who comes by them.

    services ─▶ replace ─▶ Named, Keeper ─┐
    relays ──▶ arrived ──▶ Front ─────────┴─▶ the service

Two services cannot have one name: the first, in the order of their files, has it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hardline.allowance import Allowance
from hardline.errors import HardlineError
from hardline.https.front import Front, Named
from hardline.https.keeper import Issuer, Keeper
from hardline.https.store import Store
from hardline.identity import KeyHash
from hardline.relay.joins import Joined
from hardline.routes import Endpoint
from hardline.settings.directory import Service
from hardline.settings.node import AcmeSection
from hardline.tasks import TaskSet, keep_running
from hardline.transport.tcp import TcpStream
from hardline.tunnel.host import Host

BURST = 10  # seconds of `rate` that may come at once: a page has many parts

_EXTRA = "pip install 'hardline-tunnel[https]'"

Relays = Callable[[KeyHash, str], tuple[Sequence[Endpoint], Sequence[str]]]


@dataclass(frozen=True, slots=True)
class PublicName:
    """What became of one.  `until` is when its certificate ends, `again` when the next is asked for after a refusal:
    seconds since 1970, 0 for never; `relays` bring its visitors, `refused` says which do not, and why."""

    name: str
    state: str
    problem: str
    until: float
    again: float
    account: str
    relays: tuple[str, ...]
    refused: tuple[str, ...]


class Https:
    """Those of a node.  `replace`, at the end `aclose`.

    `directory` keeps keys and certificates; `relays` says which bring visitors of a name to a service; `clock` is
    seconds since 1970; `timeout` seconds are for a handshake; `changed` is called when `describe` says another thing.
    """

    def __init__(
        self,
        settings: AcmeSection,
        directory: Path,
        host: Host,
        *,
        relays: Relays,
        clock: Callable[[], float],
        timeout: float,
        changed: Callable[[], None],
    ) -> None:
        self._settings, self._relays, self._clock, self._changed = settings, relays, clock, changed
        self._store = Store(directory)
        self._tasks = TaskSet("https")
        self._named: dict[str, Named] = {}
        self._keeping: dict[str, asyncio.Task[None]] = {}
        self._taken: dict[KeyHash, str] = {}  # services whose name is another's
        self._issuer: Issuer | None = None
        self._front = Front(host, self._named.get, timeout)
        self.arrived = self._front.arrived
        self.moving = self._front

    def replace(self, services: Iterable[Service]) -> None:
        """These are offered from now on."""
        before, self._taken = dict(self._named), {}
        self._named.clear()
        for service in services:
            public = service.settings.public
            if not public.name:
                continue
            if public.name in self._named:
                self._taken[service.key_hash] = public.name
                continue
            known = before.get(public.name)
            if known is None or (known.service, known.public) != (service.key_hash, public):
                known = self._name(service, known.keeper if known is not None else self._keeper(public.name))
                known.keeper.forgive()
            self._named[public.name] = known
        self._front.names_changed()
        for name in before.keys() - self._named.keys():
            self._keeping.pop(name).cancel()
        for name, one in self._named.items():
            if name not in self._keeping:
                self._keeping[name] = self._tasks.start(keep_running(one.keeper.run, f"https.{name}"), "keep")

    def came(self, tcp: TcpStream, name: str) -> bool:
        """Somebody asks this node, which is a relay, for `name`: whether it is one of its own, and he is taken."""
        if (named := self._named.get(name)) is None:
            return False
        self.arrived(Joined(tcp, tcp.peer, named.service, "", tcp.local, None, tcp.local, name))
        return True

    def relays_changed(self) -> None:
        """Others than before bring visitors."""
        for one in self._named.values():
            one.keeper.wake()

    def describe(self, service: Service) -> PublicName | None:
        """Of one that has a public name."""
        if not (name := service.settings.public.name):
            return None
        named = self._named.get(name)
        if named is None or named.service != service.key_hash:
            return PublicName(name, "refused", "another service has this name", 0.0, 0.0, "", (), ())
        kept, (relays, refused) = named.keeper.kept, self._relays(service.key_hash, name)
        state, problem = kept.state, kept.problem
        if state in ("waiting", "serving") and not relays:
            state = "waiting"  # a certificate alone is reached by nobody
            problem = "no relay of [Relay] use brings visitors of this name" + (f": {refused[0]}" if refused else "")
        account = getattr(self._issuer, "account", "")
        return PublicName(
            name, state, problem, kept.until, kept.again, account, tuple(map(str, relays)), tuple(refused)
        )

    async def aclose(self) -> None:
        """End everything."""
        await self._front.aclose()
        await self._tasks.aclose()

    def _name(self, service: Service, keeper: Keeper) -> Named:
        public = service.settings.public
        allowance = Allowance(BURST * public.rate, public.rate) if public.rate else None
        return Named(public.name, service.key_hash, public, keeper, allowance)

    def _keeper(self, name: str) -> Keeper:
        return Keeper(
            name,
            self._store,
            self._authority,
            registered=lambda: self._is_registered(name),
            clock=self._clock,
            changed=self._changed,
        )

    def _is_registered(self, name: str) -> bool:
        named = self._named.get(name)
        return named is not None and bool(self._relays(named.service, name)[0])

    async def _authority(self) -> Issuer:
        """One for all names: an account is made once.  Raises HardlineError where its library is not there."""
        if self._issuer is None:
            settings = self._settings
            try:
                made = await asyncio.to_thread(_made, settings.directory, settings.contact, settings.trust, self._store)
            except ImportError:
                raise HardlineError("the library that gets certificates is not installed", _EXTRA) from None
            self._issuer = self._issuer or made
        return self._issuer


def _made(url: str, contact: str, trust: Path | None, store: Store) -> Issuer:
    """In a thread: the library takes a while to load."""
    from hardline.https.authority import Authority

    return Authority(url, contact, trust, store)
