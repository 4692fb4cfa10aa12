"""[Peer:NAME] listen: a port that leads plain HTTP/1.1 clients to the one service of a warm link.

It is a gateway with one name: heads are cleaned of what belongs to one connection, bodies pass as they come, and while
the link is down the answer is 503 at once.  Unlike a gateway it stands between programs of one owner: what they say of
each other (Forwarded, cookies for a whole domain) passes as it came.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hardline.gateway.listing import Remembered
from hardline.gateway.names import OneService
from hardline.gateway.pages import CLIENT
from hardline.gateway.requests import Tells
from hardline.gateway.server import Gateway
from hardline.routes import Candidate
from hardline.settings.gateway import GatewaySection, NamedSection
from hardline.settings.peers import PeerSection
from hardline.transport.listener import Listener
from hardline.tunnel.visitor import Visitor
from hardline.tunnel.warmlink import State


class PeerLink:
    """The link `name`, which the `visitor` keeps, and its port, where it has one; `known` are ways to its host, and the
    rest is as a Gateway has it."""

    def __init__(
        self,
        name: str,
        settings: PeerSection,
        visitor: Visitor,
        known: Sequence[Candidate],
        remembered: Remembered,
        datadir: Path,
    ) -> None:
        assert settings.label is not None, "the settings were checked"
        self.name, self.settings = name, settings
        self.warm = visitor.keep_warm(settings.label, known, settings.connect_interval)
        self._gateway = _gateway(name, settings, visitor, remembered, datadir) if settings.listen else None

    @property
    def clients(self) -> int:
        """How many are connected to its port."""
        return self._gateway.clients if self._gateway is not None else 0

    @property
    def summary(self) -> str:
        """How it is, in a few words."""
        why = f" ({self.warm.why})" if self.warm.why else ""
        return f"{self.name} is {self.warm.state.value}{why if self.warm.state is State.DOWN else ''}"

    async def listen(self) -> Listener | None:
        """Open its port.  Raises ConfigError where that cannot be had."""
        at = self.settings.listen
        if self._gateway is None or at is None:
            return None
        what = f"[Peer:{self.name}] listen"
        return await Listener.open((at.host,), at.port, self._gateway.accepted, what=what, resets=True)

    async def aclose(self) -> None:
        """Dial no more, and end every connection to its port."""
        await self.warm.aclose()
        if self._gateway is not None:
            await self._gateway.aclose()


def _gateway(name: str, settings: PeerSection, visitor: Visitor, remembered: Remembered, datadir: Path) -> Gateway:
    limits = GatewaySection(
        access_log=False,
        head_timeout=settings.head_timeout,
        max_head=settings.max_head,
        answer_timeout=settings.answer_timeout,
        idle_timeout=settings.stall_timeout,
        max_connections=settings.max_connections,
        max_per_source=settings.max_connections,
    )
    named = {name: NamedSection(label=settings.label)}
    names = OneService(name, settings.hosts)
    tells = Tells(settings.forwarded)
    return Gateway(limits, named, visitor, remembered, datadir, names=names, side=CLIENT, tells=tells)
