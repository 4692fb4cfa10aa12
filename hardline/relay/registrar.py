"""Who may register what at a relay, and what comes of it.

    register ─ may it? ─ is it proven? ─ a free port ─▶ Registry ──▶ registered, and whoever waits is called
    unregister, or its connection ends ─▶ what it carries goes on for a while, a public port or a domain ends at once

Source: docs/PROTOCOL.md, sections 9.3 and 9.6.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from hardline import log
from hardline.allowance import Allowance
from hardline.deadlines import Deadlines
from hardline.errors import HardlineError
from hardline.identity import KeyHash
from hardline.relay.access import Access
from hardline.relay.control import Control
from hardline.relay.controls import Controls
from hardline.relay.dnsproof import DnsProofs
from hardline.relay.messages import Bye, Kind, Leave, Refused, Register, Registered, Why
from hardline.relay.named import NamedServices
from hardline.relay.parking import Parking
from hardline.relay.ports import Ports
from hardline.relay.proofs import NODE, check_registration
from hardline.relay.registry import Registration, Registry, RegistryLimits, holder_of_port, pool_of
from hardline.routes import Endpoint
from hardline.tasks import TaskSet

PROOFS = 1024, 50  # signatures that are checked of a source at once, and in a second
OUTLIVES = 60.0  # seconds that pairs go on without a control connection of their name
RETRY = 60  # seconds after which another attempt at what is full makes sense
PORT_RETRY = 15  # the same for a public port, which is free again when somebody stops wanting his
TELL_UNKNOWN_EVERY = 600.0  # seconds between two lines of the log about one node that is not allowed
_MAX_TOLD = 1024

_LISTED = (Kind.PORT, Kind.DOMAIN)  # only for nodes that the owner names, and shut at once


class Registrar:
    """That of one relay, which serves those of `access`.

    Of `ports` it leases public ones, `dns` finds out whose a domain is: None is without.  `registered` is called with
    what is found from now on, `cut` with a name of which nothing is to be carried any more.  `tasks` are the relay's,
    and what is refused is counted in `refusals`.
    """

    def __init__(
        self,
        limits: RegistryLimits,
        access: Access,
        controls: Controls,
        parking: Parking,
        *,
        ports: Ports | None,
        dns: DnsProofs | None,
        registered: Callable[[Registration[Control]], None],
        cut: Callable[[str], None],
        tasks: TaskSet,
        refusals: Counter[str],
    ) -> None:
        self._access, self._controls, self._parking, self._ports, self._dns = access, controls, parking, ports, dns
        self._registered, self._cut, self._tasks, self._refusals = registered, cut, tasks, refusals
        self._registry: Registry[Control] = Registry(limits)
        self._named = NamedServices()
        self._proofs = Allowance(*PROOFS)
        self._orphans: Deadlines[str] = Deadlines(OUTLIVES, self._nobody_came_back)
        self._whose: dict[str, KeyHash | None] = {}  # of those: which node had it
        self._looked_up: dict[tuple[Control, int], Register] = {}  # what is: by number, the last that was asked
        self._unknown: dict[KeyHash, float] = {}  # nodes that are not allowed, and when that was told

    def __len__(self) -> int:
        return len(self._registry)

    def __contains__(self, name: str) -> bool:
        return name in self._registry

    @property
    def leased_ports(self) -> int:
        """How many public ones are somebody's."""
        return self._ports.leased if self._ports is not None else 0

    def meant_by(self, server_name: str, day: int) -> str:
        """The registered name that a visitor's server name stands for on a UTC day."""
        return self._named.find(server_name, day)

    def find(self, name: str) -> Registration[Control] | None:
        """Who serves the next visitor of `name`; None where nobody does."""
        return self._registry.find(name)

    def set_access(self, access: Access) -> None:
        """From now on these are served; who is no more, is cut off with what it carries."""
        self._access = access
        for control in [one for one in self._controls if self._registry.held_by(one) and not access.serves(one.node)]:
            names = [one.name for one in self._registry.held_by(control)]
            control.end("it is not allowed any more")
            for name in names:
                self._cut(name)
        for name in [name for name, node in self._whose.items() if not access.serves(node)]:
            self._orphans.discard(name)
            self._nobody_came_back(name)
        for control in self._controls:
            for one in self._registry.held_by(control):
                if one.kind in _LISTED and not self._may_have(control.node, one.kind, one.name):
                    self.unregister(control, one.number)
                    self._refuse(control, one.number, _not_listed(one.kind))

    def may_prove(self, control: Control) -> bool:
        """Whether one signature more of its source is checked now."""
        return self._proofs.take(control.source, asyncio.get_running_loop().time())

    def register(self, control: Control, asked: Register, *, looked: bool = False) -> None:
        """It wants a name, or a public port; `looked` says that the DNS was asked for it.  Raises PeerError."""
        is_port = asked.kind is Kind.PORT
        if is_port and self._ports is None:
            self._refuse(control, asked.number, Why.PORTS)
            return
        if self._dns is not None and not looked and self._access.may_prove_domain(control.node, asked.domain):
            self._looked_up[control, asked.number] = asked
            self._tasks.start(self._look_up(self._dns, control, asked), "record")
            return
        if not looked:
            self._looked_up.pop((control, asked.number), None)
        if not self._may_have(control.node, asked.kind, asked.domain):
            if control.node is None:
                control.say(Refused(asked.number, Why.ALLOW, RETRY))  # it comes back and says who it is
                return
            key = {Kind.PORT: "public_allow =", Kind.DOMAIN: f"domains = {asked.domain}"}.get(asked.kind, "allow =")
            self._tell_unknown(control.node, key)
            self._refuse(control, asked.number, _not_listed(asked.kind))
            return
        if not self.may_prove(control):
            self._refuse(control, asked.number, Why.RATE)
            return
        key_hash = check_registration(asked.proof, control.tls.exporter(NODE))
        name, at = asked.domain or pool_of(asked.kind, str(key_hash)), ""
        one = Registration(control, asked.number, asked.kind, name, asked.instance)
        if is_port and self._ports is not None:
            port = self._ports.lease(str(key_hash), asked.port)
            if port is None:
                self._refuse(control, asked.number, Why.PORTS)
                return
            at = str(Endpoint(control.tls.local, port))
        result = self._registry.register(one)
        if isinstance(result, Why):
            self._release(one)
            self._refuse(control, asked.number, result)
            return
        if asked.kind is Kind.NAMED:
            self._named.add(key_hash, plain=asked.legacy)
        self._controls.has_registered(control)
        self._orphans.discard(name)
        self._whose.pop(name, None)
        control.say(Registered(asked.number, str(key_hash), at))
        if not is_port:
            self._parking.begin(control)
        self._registered(one)
        for replaced in result:
            if replaced.name != name:
                self._lose(replaced)
            if replaced.holder is not control and not self._registry.held_by(replaced.holder):
                replaced.holder.say(Bye(Leave.REPLACED))
                replaced.holder.end("replaced")

    def unregister(self, control: Control, number: int) -> None:
        """A handle's pairs may go on for a while; a public port, or a domain, is to be shut now."""
        self._looked_up.pop((control, number), None)
        if (found := self._registry.unregister(control, number)) is None:
            return
        self._lose(found)
        if found.kind in _LISTED:
            self._orphans.discard(found.name)
            self._nobody_came_back(found.name)
        if not self._registry.held_by(control):
            self._controls.has_nothing(control)

    def left(self, control: Control) -> int:
        """Its connection has ended.  Returns how much it had."""
        names = self._registry.leave(control)
        for one in names:
            self._lose(one)
        return len(names)

    def close(self) -> None:
        """Nobody is waited for any more."""
        self._orphans.close()

    def _may_have(self, node: KeyHash | None, kind: Kind, name: str) -> bool:
        """Whether `node` may register that."""
        if kind is Kind.PORT:
            return self._access.may_have_port(node)
        if kind is Kind.DOMAIN:
            proven = self._dns is not None and self._dns.has(node, name)
            access = self._access
            return access.may_have_domain(node, name) or (proven and access.may_prove_domain(node, name))
        return self._access.serves(node)

    async def _look_up(self, dns: DnsProofs, control: Control, asked: Register) -> None:
        assert control.node is not None, "it has said who it is"
        mine = control, asked.number
        try:
            looked = await dns.look(control.node, asked.domain, control.source)
        finally:
            is_wanted = self._looked_up.get(mine) is asked
            if is_wanted:
                del self._looked_up[mine]
        if control.gone or not is_wanted:
            return
        if looked is None:
            self._refuse(control, asked.number, Why.RATE)
            return
        try:
            self.register(control, asked, looked=True)
        except HardlineError as failure:
            control.end(failure.message)  # as where it need not be looked up

    def _release(self, one: Registration[Control]) -> None:
        if one.kind is Kind.PORT and one.name not in self._registry and one.name not in self._orphans:
            self._free(one.name)

    def _free(self, pool: str) -> None:
        if self._ports is not None and (holder := holder_of_port(pool)):
            self._ports.release(holder)

    def _lose(self, one: Registration[Control]) -> None:
        """It is registered no more; what it carries may go on for a while."""
        if one.name not in self._registry:
            self._named.discard(one.name)
            self._orphans.add(one.name)
            self._whose[one.name] = one.holder.node

    def _nobody_came_back(self, name: str) -> None:
        self._whose.pop(name, None)
        if name not in self._registry:
            self._cut(name)
            self._free(name)

    def _refuse(self, control: Control, number: int, why: Why) -> None:
        self._refusals[why] += 1
        control.say(Refused(number, why, PORT_RETRY if why is Why.PORTS else RETRY))

    def _tell_unknown(self, node: KeyHash | None, key: str) -> None:
        """An owner is to be able to allow it: the line that does is what the log says."""
        now = asyncio.get_running_loop().time()
        if node is None or now - self._unknown.get(node, -TELL_UNKNOWN_EVERY) < TELL_UNKNOWN_EVERY:
            return
        self._unknown.pop(node, None)
        self._unknown[node] = now
        if len(self._unknown) > _MAX_TOLD:
            del self._unknown[next(iter(self._unknown))]
        hint = "[Relay] deny names it" if node in self._access.deny else f"[Relay] {key} {node}"
        log.event("relay.node_unknown", node=node.short, hint=log.Public(hint))


def _not_listed(kind: Kind) -> Why:
    return Why.DOMAINS if kind is Kind.DOMAIN else Why.ALLOW
