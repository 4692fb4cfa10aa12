"""This node's own pages put together: what they show, what they do, and who may ask; loaded when one is asked for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from hardline.control import Handler
from hardline.door.pages import Tried
from hardline.errors import HardlineError
from hardline.identity import Label
from hardline.node import rows
from hardline.node.actions import Actions
from hardline.node.changes import Changes
from hardline.node.page import Page
from hardline.node.probing import Probing
from hardline.node.snapshot import LanOffer, to_object
from hardline.node.telling import Telling
from hardline.node.witness import Witness
from hardline.settings.directory import Service
from hardline.tasks import OnceAWhile, TaskSet
from hardline.transport.own import OwnListeners
from hardline.web import home
from hardline.web.assets import assets
from hardline.web.opened import Opened
from hardline.web.server import Web
from hardline.web.tokens import Tokens

_TOKENS = "page-tokens"
_FIRST_LOOK = 0.06  # seconds that a page waits for the LAN


class OwnPages:
    """Those of one node; `telling` knows what it is, `offers` what the LAN lists."""

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        actions: Actions,
        changes: Changes,
        witness: Witness,
        own_listeners: OwnListeners,
        datadir: Path,
        *,
        telling: Callable[[], Telling | None],
        services: Callable[[], Mapping[str, Service]],
        tried: Callable[[], Mapping[Label, Tried]],
        offers: OnceAWhile[tuple[LanOffer, ...]],
        door_port: Callable[[], int],
        metrics: bool,
        ready: asyncio.Event,
    ) -> None:
        self._actions, self._witness, self._telling = actions, witness, telling
        self._offers, self._door_port, self._ready = offers, door_port, ready
        self._tasks = TaskSet("page")
        tokens = Tokens(datadir / _TOKENS, time.time)
        self.web = Web(
            handlers,
            tokens,
            self._home,
            metrics=self._metrics if metrics else None,
            is_ready=ready.is_set,
            tell=lambda sentence: witness.tell("page", sentence),
        )
        self._opened = Opened(datadir, tokens, self.web.end_streams)
        self.page = Page(
            actions,
            changes,
            Probing(own_listeners),
            self._opened,
            services=services,
            tried=tried,
            offers=offers.get,
            door_port=door_port,
        )

    async def aclose(self) -> None:
        """Nobody asks any more."""
        await self._tasks.aclose()
        await self.web.aclose()
        await self._opened.aclose()

    async def _home(self, html: bool, head_only: bool, ours: bool) -> bytes:
        await self._ready.wait()
        if (telling := self._telling()) is None:
            raise HardlineError("this node is stopping")
        offers = [to_object(offer) for offer in await (self._offers_now() if html else self._offers.get())]
        states = [to_object(state) for state in await telling.services()] if ours else None
        visits = [rows.visited(session, self._door_port()) for session in telling.visiting()] if ours else []
        outside = to_object(telling.outside())
        look = assets() if html else None
        return home.home_page(states, offers, outside, visits, assets=look, head_only=head_only)

    async def _offers_now(self) -> tuple[LanOffer, ...]:
        """What has been heard of the LAN when it was asked a moment ago: nobody waits for all who may still answer."""
        self._tasks.start(self._offers.get(), "offers", expects=HardlineError)
        await asyncio.sleep(_FIRST_LOOK)
        return await self._actions.browse(0)

    async def _metrics(self) -> tuple[str, str]:
        from hardline.web.metrics import exposition

        snapshot = await self._actions.snapshot()
        states = [one.state for one in snapshot.services]
        return exposition(snapshot.version, states, snapshot.sessions, self._witness.happened.counts)
