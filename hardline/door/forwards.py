"""Ports of this computer that lead to the services of others: [Forward:NAME], and what `hardline forward` asks for.

    client ── TCP ──▶ LocalPort ──▶ tunnel.visitor ──▶ the service: bytes as they come, and both ends

A client whose service cannot be reached is cut at once: there is no page that it would understand.
"""

from __future__ import annotations

import asyncio

from hardline.door.carrier import ANSWER_TIMEOUT, Carrier
from hardline.door.localport import LocalPort
from hardline.door.pageguard import PageGuard
from hardline.errors import HardlineError
from hardline.identity import Label
from hardline.routes import Endpoint
from hardline.transport.tcp import TcpStream


class Forward(LocalPort):
    """One port that leads to the service of `label`; `name` is its section's, empty where a command asked for it.

    Pages of other sites that a browser shows get through only with `pages`; a head of theirs may take `patience`
    seconds.
    """

    def __init__(
        self,
        name: str,
        label: Label,
        listen: Endpoint,
        most: int,
        carrier: Carrier,
        *,
        patience: float,
        pages: bool = False,
    ) -> None:
        super().__init__(f"[Forward:{name}] listen" if name else "port", listen, most, self._carry)
        self.name, self.label = name, label
        self._carrier, self._patience, self._pages = carrier, patience, pages

    async def _carry(self, client: TcpStream) -> HardlineError | None:
        guard = None if self._pages else PageGuard(self._patience)
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT) as limit:
                await self._carrier.tunnel(client, self.label, limit, gate=guard)
        except TimeoutError:
            raise HardlineError(f"no answer after {ANSWER_TIMEOUT:g} s") from None
        if guard is not None and guard.over:
            lets_in = "pages = yes" if self.name else "--pages"
            return HardlineError(f"a web page of another site asked, and was refused ({lets_in} lets it in)")
        return None
