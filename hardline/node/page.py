"""What this node's page shows and does beyond what the command line asks for; loaded when a page, or its API, is.

services, what answers there, who may ─┐
what the LAN lists ────────────────────┼──▶ view(), follow(): while a page is open, and no longer
hosts that are known, and whether ─────┘
they are reached; why not
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from hardline import tables
from hardline.control import Held
from hardline.door.evidence import judge
from hardline.door.pages import Tried
from hardline.door.visits import way
from hardline.errors import ConfigError, HardlineError, NotKnown
from hardline.identity import Label
from hardline.node.actions import Actions
from hardline.node.changes import Changes
from hardline.node.probing import Probing
from hardline.node.snapshot import Json, LanOffer, Snapshot, Visitors, to_json, to_object
from hardline.settings.directory import Service
from hardline.target import read_target, refuse_everything
from hardline.tasks import OnceAWhile
from hardline.web.opened import Opened

FRESH = 0.5  # seconds: who asks sooner gets what there is
_PHONE_FOR = 3600.0  # seconds
LOOKS_EVERY = 2.0  # seconds, at what nobody tells of: whether something answers

Row = dict[str, Json]

# What became of the last visit to a host that is there (VisitState.status), as a person reads it.
_PROBLEMS = {
    "ServiceFailed": "hardline runs there, but nothing answers at its port: only its owner can start the program",
    "AccessRefused": "it needs an invitation from its owner",
    "PasswordRefused": "it wants another word before the key hash",
}


class Page:
    """Of one node.

    `services` by name are those that are offered; `tried` are visits that reached nobody, `offers` what the LAN lists
    now, `opened` the browsers that may ask.
    """

    def __init__(
        self,
        actions: Actions,
        changes: Changes,
        probing: Probing,
        opened: Opened,
        *,
        services: Callable[[], Mapping[str, Service]],
        tried: Callable[[], Mapping[Label, Tried]],
        offers: Callable[[], Awaitable[Sequence[LanOffer]]],
        door_port: Callable[[], int],
    ) -> None:
        self._actions, self._changes, self._probing, self._opened = actions, changes, probing, opened
        self._services, self._tried, self._offers, self._door_port = services, tried, offers, door_port
        self._view = OnceAWhile(self._look, FRESH)
        self._do: dict[str, Callable[[Mapping[str, Json]], Awaitable[Json | Held]]] = {
            "services": self._asked_services,
            "offers": self._asked_offers,
            "known": self._asked_known,
            "invites": self._asked_invites,
            "withdraw": self._withdraw,
            "share_typed": self._share,
            "change_typed": self._change,
            "phone_with_code": self._phone,
            "events": self._events,
            "open_page": self._open,
            "revoke_pages": self._revoke,
        }

    async def do(self, what: str, request: Mapping[str, Json]) -> Json | Held:
        """One of asked.OF_THE_PAGE."""
        return await self._do[what](request)

    async def view(self) -> Row:
        """All that the page shows but the log, as of the last half second."""
        return await self._view.get()

    async def follow(self) -> AsyncGenerator[Row, None]:
        """What of that is another than before, and what happens, until it is closed."""
        shown: Row = {}
        last = 0
        async with contextlib.aclosing(self._changes.watch(FRESH, LOOKS_EVERY)) as changes:
            async for _ in changes:
                view = await self.view()
                if different := {key: value for key, value in view.items() if shown.get(key) != value}:
                    shown = view
                    yield different
                if rows := self._actions.log(last):
                    last = rows[-1].number
                    yield {"log": to_json(rows)}

    async def _look(self) -> Row:
        snapshot, offers = await asyncio.gather(self._actions.snapshot(), self._offers())
        blocks = tables.ls_blocks(to_object(snapshot), [to_object(offer) for offer in offers])
        answers = await self._probing.answers(self._services().values())
        return {
            "version": snapshot.version,
            "computer": to_object(snapshot.node).get("computer", ""),
            "outside": {key: to_object(snapshot.outside)[key] for key in ("state", "sentence", "advice")},
            "services": [await self._service(one, snapshot, answers) for one in blocks["mine"]],
            "offers": list(blocks["network"]),
            "known": [self._known(one, snapshot, offers) for one in blocks["known"]],
            "notes": to_json(snapshot.notes),
        }

    # Rows.

    async def _service(self, row: Row, snapshot: Snapshot, answers: Mapping[str, bool]) -> Row:
        name = str(row["name"])
        key_hash = str(row.get("label", "")).rpartition("-")[2]
        here = [one for one in snapshot.sessions if one.role == "hosting" and key_hash and one.key_hash == key_hash]
        told: Row = {**row, "answers": answers.get(name), "visitors": len(here)}
        told |= {"for_invited": False, "let_in": [], "invited": []}
        service = self._services().get(name)
        if service is not None and service.settings.for_invited and service.file is not None:
            with contextlib.suppress(HardlineError):
                who = await self._actions.who(name)
                told |= {"for_invited": True, **_people(who, {one.client for one in here})}
        return told

    def _known(self, row: Row, snapshot: Snapshot, offers: Sequence[LanOffer]) -> Row:
        key_hash = str(row["key_hash"])
        named = next((one for one in snapshot.names if one.key_hash == key_hash), None)
        offer = next((one for one in offers if one.label.endswith(key_hash)), None)
        leading = sorted(snapshot.sessions, key=lambda one: (one.draining, one.spare is True))
        session = next((one for one in leading if one.role == "visiting" and one.key_hash == key_hash), None)
        label = session.label if session else named.label if named else offer.label if offer else key_hash
        tried = self._tried().get(Label.parse(label))
        last_seen = row["last_seen"]
        told: Row = {key: row[key] for key in ("key_hash", "name", "title", "last_seen")}
        told |= {"label": label, "url": f"http://{label}.localhost:{self._door_port()}/"}
        told |= {"since": None, "says": None, "state": "unknown"}
        visit = next((one for one in reversed(snapshot.visits) if one.key_hash == key_hash), None)
        told["problem"] = _PROBLEMS.get(visit.status) if visit is not None else None
        if session is not None:
            moved = (session.sent or 0) + (session.received or 0)
            told |= {"state": "connected", "says": way(to_object(session)), "streams": session.streams, "bytes": moved}
        elif tried is not None and isinstance(last_seen, int) and tried.when >= last_seen:
            told |= {"state": "away", "says": judge(tried.attempts).sentence, "since": tried.since}
        elif offer is not None:
            told |= {"state": "near", "says": "listed on this network"}
        return told

    # What is asked.

    async def _asked_services(self, request: Mapping[str, Json]) -> Json:
        return (await self._look())["services"]

    async def _asked_offers(self, request: Mapping[str, Json]) -> Json:
        return (await self._look())["offers"]

    async def _asked_known(self, request: Mapping[str, Json]) -> Json:
        return (await self._look())["known"]

    async def _asked_invites(self, request: Mapping[str, Json]) -> Json:
        return to_json(self._actions.inviting.open())

    async def _withdraw(self, request: Mapping[str, Json]) -> Json:
        number = str(request.get("number") or "")
        service = next((one.service for one in self._actions.inviting.open() if one.number == number), None)
        if service is None:
            raise NotKnown(f"no invitation {number[:20]!r} waits for anybody", hint="it may have been used")
        await self._actions.revoke(service, number)
        return {}

    async def _share(self, request: Mapping[str, Json]) -> Json:
        target = await asyncio.to_thread(_typed, str(request.get("target") or ""))
        title, name = (str(request.get(key) or "") for key in ("title", "name"))
        listed, invited = request.get("listed") is not False, request.get("invited") is True
        return to_json(await self._actions.share(target, title, name, listed=listed, invited=invited))

    async def _change(self, request: Mapping[str, Json]) -> Json:
        typed, title = str(request.get("target") or ""), request.get("title")
        listed, invited = (
            said if isinstance(said := request.get(key), bool) else None for key in ("listed", "invited")
        )
        return to_json(
            await self._actions.change(
                str(request.get("name") or ""),
                await asyncio.to_thread(_typed, typed) if typed else "",
                title=title if isinstance(title, str) else None,
                listed=listed,
                invited=invited,
            )
        )

    async def _phone(self, request: Mapping[str, Json]) -> Json:
        seconds = request.get("seconds")
        seconds = float(seconds) if isinstance(seconds, int | float) and not isinstance(seconds, bool) else _PHONE_FOR
        opened = await self._actions.phone(str(request.get("what") or ""), seconds)
        urls = opened.urls[0] if opened.urls else "", opened.away
        code, away = [await asyncio.to_thread(_scanned, url) if url else [] for url in urls]
        return {**to_object(opened), "code": code, "away_code": away}

    async def _events(self, request: Mapping[str, Json]) -> Held:
        news = self.follow()
        return Held({"every_s": LOOKS_EVERY}, _as_objects(news), news.aclose)

    # Browsers.

    async def _open(self, request: Mapping[str, Json]) -> Json:
        door = (await self._actions.snapshot()).node.door
        if not door:
            raise ConfigError("the daemon has no door", hint="set [Node] localport")
        url, file = await self._opened.open(f"http://localhost:{self._door_port()}/")
        return {"url": url, "file": file}

    async def _revoke(self, request: Mapping[str, Json]) -> Json:
        return {"revoked": await self._opened.revoke()}


def _people(who: Visitors, here: set[str | None]) -> Row:
    let_in: list[Json] = [{**to_object(row), "here": row.key_hash in here} for row in who.let_in]
    return {"let_in": let_in, "invited": to_json(who.invited)}


def _typed(text: str) -> str:
    """What a person typed as a target, seen from the home of the user that runs this.  Raises WrongArgument."""
    target = read_target(os.path.expanduser(text) if text.startswith("~/") else text)
    if target.startswith("/"):
        refuse_everything(str(Path(target)))
    return target


def _scanned(url: str) -> list[Json]:
    """The rows of a code that a phone's camera reads: 1 is dark."""
    import segno

    return ["".join("1" if dark else "0" for dark in row) for row in segno.make(url, error="m").matrix]


async def _as_objects(news: AsyncIterator[Row]) -> AsyncIterator[object]:
    async for one in news:
        yield one
