"""One router that speaks PCP or NAT-PMP, over UDP.

    speaks ── PCP? and NAT-PMP? ──▶ default gateway ──▶ Pcp, else NatPmp, else None
    hold   ── MAP, or address and port ──▶ ◀── Grant or RouterFailed

For an IPv6 address of ours, PCP opens the firewall: the port outside leads to the same address and port inside.
Source: RFC 6886 and RFC 6887; an answer for another version leads from one to the other (RFC 6887, section 9).
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
from collections.abc import Callable

from hardline import log
from hardline.upnp import natpmp, pcp
from hardline.upnp.asking import ask
from hardline.upnp.epoch import Epoch
from hardline.upnp.grants import Broken, Grant, Refused, RouterFailed, Silent, Way

_LOOK_EVERY, _REST, _GRACE = 60.0, 1.0, 0.5  # seconds


class NatPmp:
    """The Way of a router that speaks NAT-PMP."""

    kind = "NAT-PMP"
    look_every, rest = _LOOK_EVERY, _REST

    def __init__(self, router: str, own: str, clock: Callable[[], float]) -> None:
        self.router, self.own = router, own
        self._clock, self._epoch = clock, Epoch()

    @property
    def key(self) -> tuple[str, str, str]:
        """As Way.key."""
        return self.kind, self.router, self.own

    async def external(self) -> natpmp.ExternalAddress:
        """Ask for the router's address.  Raises RouterFailed."""
        return await ask(self.router, self.own, natpmp.ASK_ADDRESS, _external_address)

    async def hold(self, inside: int, wished: int, lease: float) -> Grant:
        """As Way.hold."""
        said = await self.external()
        if said.result:
            raise Refused(natpmp.RESULTS.get(said.result, f"it refused ({said.result})"), external="")
        mapped = await self._map(inside, wished, max(1, int(lease)), said.address)
        if not mapped.port or not mapped.lifetime:
            raise Broken("it granted a mapping that cannot be", external=said.address)
        return Grant(
            *(said.address, mapped.port, min(float(mapped.lifetime), lease), self.own),
            restarted=self._epoch.restarted(mapped.epoch, self._clock()),
        )

    async def release(self, inside: int, outside: int) -> None:
        """As Way.release."""
        await self._map(inside, 0, 0, None)

    async def _map(self, inside: int, wished: int, lifetime: int, external: str | None) -> natpmp.Mapped:
        def accept(packet: bytes) -> natpmp.Mapped | None:
            answer = natpmp.parse(packet)
            fits = isinstance(answer, natpmp.Mapped) and (answer.inside == inside or answer.result)
            return answer if fits and isinstance(answer, natpmp.Mapped) else None

        mapped = await ask(self.router, self.own, natpmp.ask_mapping(inside, wished, lifetime), accept)
        if mapped.result:
            raise Refused(natpmp.RESULTS.get(mapped.result, f"it refused ({mapped.result})"), external=external)
        return mapped


class Pcp:
    """The Way of a router that speaks PCP, for one IPv4 or IPv6 address of ours.

    `owner` is a text that stays the same over restarts: the nonce is made of it, so that a mapping outlives a crash
    of ours without being lost to us.
    """

    look_every, rest = _LOOK_EVERY, _REST

    def __init__(self, router: str, own: str, owner: str, clock: Callable[[], float]) -> None:
        self.router, self.own = router, own
        self.kind = "PCP for IPv6" if ":" in own else "PCP"
        self._owner, self._clock, self._epoch = owner, clock, Epoch()
        self._address = ipaddress.ip_address(own)
        self._external = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """As Way.key."""
        return self.kind, self.router, self.own

    async def hold(self, inside: int, wished: int, lease: float) -> Grant:
        """As Way.hold."""
        mapped = await self._map(inside, wished, max(1, int(lease)))
        if not mapped.port or not mapped.lifetime:
            raise Broken("it granted a mapping that cannot be", external=mapped.external)
        self._external = mapped.external
        return Grant(
            *(mapped.external, mapped.port, min(float(mapped.lifetime), lease), self.own),
            restarted=self._epoch.restarted(mapped.epoch, self._clock()),
        )

    async def release(self, inside: int, outside: int) -> None:
        """As Way.release."""
        try:
            await self._map(inside, 0, 0)
        except Refused:
            # miniupnpd forgets whose an IPv6 pinhole is when that is renewed; it still makes it end soon.
            await self._map(inside, outside, 1)

    async def _map(self, inside: int, wished: int, lifetime: int) -> pcp.Mapped:
        nonce = self._nonce(inside)
        external = self._external if lifetime else ""
        packet = pcp.ask_mapping(self._address, nonce, inside, wished, lifetime, external)

        def accept(raw: bytes) -> pcp.Mapped | None:
            answer = pcp.parse(raw)
            fits = isinstance(answer, pcp.Mapped) and answer.nonce == nonce and answer.inside == inside
            return answer if fits and isinstance(answer, pcp.Mapped) else None

        mapped = await ask(self.router, self.own, packet, accept)
        if mapped.result:
            reason = pcp.RESULTS.get(mapped.result, f"it refused ({mapped.result})")
            raise Refused(reason, external="" if mapped.result in pcp.NO_ADDRESS else None)
        return mapped

    def _nonce(self, inside: int) -> bytes:
        words = f"{self._owner} {self.own} {inside}".encode()
        return hashlib.blake2b(words, digest_size=pcp.NONCE_LENGTH, person=b"pcp nonce").digest()


async def speaks(router: str, own: str, owner: str, clock: Callable[[], float]) -> Way | None:
    """Ask a default gateway what it speaks, both at once; None where it speaks neither."""
    async with asyncio.TaskGroup() as group:
        new = group.create_task(_speaks_pcp(router, own), name="upnp PCP?")
        old = group.create_task(_speaks_natpmp(router, own, clock), name="upnp NAT-PMP?")
        await asyncio.wait([new, old], return_when=asyncio.FIRST_COMPLETED)
        # Whoever has answered in one tongue answers in the other about as soon.
        if not new.done():
            await asyncio.wait([new], timeout=_GRACE if old.result() else None)
        if new.done() and new.result():
            old.cancel()
            return Pcp(router, own, owner, clock)
        new.cancel()
        return NatPmp(router, own, clock) if await old else None


async def _speaks_pcp(router: str, own: str) -> bool:
    try:
        return await ask(router, own, pcp.ask_announce(ipaddress.ip_address(own)), _pcp_spoken)
    except RouterFailed as failure:
        _say(failure, router, "PCP")
        return False


async def _speaks_natpmp(router: str, own: str, clock: Callable[[], float]) -> bool:
    if ":" in own:
        return False  # it knows only IPv4
    try:
        return (await NatPmp(router, own, clock).external()).result in (0, 2, 3, 4)
    except RouterFailed as failure:
        _say(failure, router, "NAT-PMP")
        return False


def _say(failure: RouterFailed, router: str, kind: str) -> None:
    if not isinstance(failure, Silent):
        log.debug("upnp.probed", router=router, kind=kind, reason=failure.message)


def _pcp_spoken(packet: bytes) -> bool | None:
    if packet[:1] == bytes((natpmp.VERSION,)):
        return False  # RFC 6886, section 3.5: a router of NAT-PMP does not know our version
    return pcp.parse(packet).result != pcp.WRONG_VERSION


def _external_address(packet: bytes) -> natpmp.ExternalAddress | None:
    answer = natpmp.parse(packet)
    return answer if isinstance(answer, natpmp.ExternalAddress) else None
