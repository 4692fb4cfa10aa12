"""What comes over the control socket, as actions: JSON in, JSON out."""

from __future__ import annotations

import asyncio
import time
from base64 import b64decode
from collections.abc import AsyncIterator, Callable, Mapping
from math import inf
from typing import TYPE_CHECKING, Protocol, TypedDict

from hardline.control import Handler, Held
from hardline.door.evidence import judge
from hardline.errors import (
    AccessRefused,
    ConnectionLost,
    HardlineError,
    PasswordRefused,
    PeerError,
    ServiceFailed,
    WrongArgument,
)
from hardline.node.actions import Actions
from hardline.node.snapshot import Json, to_json
from hardline.routes import NoRoute

if TYPE_CHECKING:
    from hardline.doctor.rows import Row

_BROWSE_WAIT = 0.5  # seconds
_USUAL_DAYS = 7.0
_LONGEST_SHARE = 3650 * 86_400.0  # seconds
_NOT_FASTER, _LONGEST = 0.2, 60.0  # seconds between two looks of who watches
_MAX_PORT = 65_535
_USUAL_DOOR = 3600.0  # seconds
_USUAL_DRAIN, _LONGEST_DRAIN = 300, 86_400


# What node/page.py does: it is loaded when one of them is asked for.
OF_THE_PAGE = (
    *("services", "offers", "known", "invites", "withdraw", "share_typed", "change_typed"),
    *("phone_with_code", "events", "open_page", "revoke_pages"),
)


class DoesForPage(Protocol):
    """The actions of this node's page, by their names."""

    async def do(self, what: str, request: Mapping[str, Json]) -> Json | Held: ...


def handlers(actions: Actions, ready: asyncio.Event, page: Callable[[], DoesForPage]) -> dict[str, Handler]:
    """The requests of docs/STATUS.md's commands and docs/API.md's rows, by name; who asks too early waits until the
    node is `ready`."""

    async def status(request: Mapping[str, Json]) -> Json:
        return to_json(await actions.snapshot())

    async def share(request: Mapping[str, Json]) -> Json:
        return to_json(await actions.share(_text(request, "target"), **_how(request)))

    async def share_once(request: Mapping[str, Json]) -> Held:
        held = await actions.share_once(_text(request, "target"), **_how(request))
        return Held(to_json(held.shared), held.ended(), held.aclose)

    async def change(request: Mapping[str, Json]) -> Json:
        title = request.get("title")
        listed, invited, paused = (_yes_or_no(request, key) for key in ("listed", "invited", "paused"))
        return to_json(
            await actions.change(
                _text(request, "name"),
                _text(request, "target"),
                title=title if isinstance(title, str) else None,
                listed=listed,
                invited=invited,
                paused=paused,
                until=inf if request.get("forever") is True else _until(request),
            )
        )

    async def remove(request: Mapping[str, Json]) -> Json:
        return to_json(await actions.remove(_text(request, "name"), forget_url=request.get("forget_url") is True))

    async def lan(request: Mapping[str, Json]) -> Json:
        return to_json(await actions.browse(_BROWSE_WAIT, soon=request.get("soon") is True))

    async def names(request: Mapping[str, Json]) -> Json:
        mine, named = actions.names()
        return {"mine": list(mine), "named": list(named)}

    async def drain_relay(request: Mapping[str, Json]) -> Json:
        seconds = request.get("seconds")
        await actions.drain_relay(seconds if type(seconds) is int and 0 <= seconds <= _LONGEST_DRAIN else _USUAL_DRAIN)
        return {}

    async def key(request: Mapping[str, Json]) -> Json:
        return {"key": await actions.key_for(_text(request, "address"))}

    async def invite(request: Mapping[str, Json]) -> Json:
        days = request.get("days")
        days = float(days) if isinstance(days, int | float) and not isinstance(days, bool) else _USUAL_DAYS
        return to_json(await actions.invite(_text(request, "name"), _text(request, "who"), days))

    async def accept(request: Mapping[str, Json]) -> Json:
        return to_json(await actions.accept(_text(request, "link")))

    async def who(request: Mapping[str, Json]) -> Json:
        return to_json(await actions.who(_text(request, "name")))

    async def revoke(request: Mapping[str, Json]) -> Json:
        return to_json(await actions.revoke(_text(request, "name"), _text(request, "who")))

    async def ping(request: Mapping[str, Json]) -> Json:
        try:
            return to_json(await actions.ping(_text(request, "what")))
        except NoRoute as failure:
            tried = [
                f"{one.candidate.endpoint}, by {one.candidate.found_by.name}: {one.failure}" for one in failure.attempts
            ]
            verdict = judge(failure.attempts)
            told = {"why": verdict.sentence, "step": verdict.step}
            return {"failure": failure.message, **told, "tried": [*tried, *failure.reasons]}
        except (AccessRefused, PasswordRefused, ConnectionLost, PeerError, ServiceFailed, TimeoutError) as failure:
            reason = failure.message if isinstance(failure, HardlineError) else "it did not answer in time"
            return {"failure": reason, "tried": []}

    async def log(request: Mapping[str, Json]) -> Json | Held:
        after = request.get("after")
        after = after if type(after) is int and after >= 0 else 0
        rows = actions.log(after)
        if request.get("follow") is not True:
            return to_json(rows)
        news = actions.follow_log(rows[-1].number if rows else after)
        return Held(to_json(rows), _as_json(news), news.aclose)

    async def phone(request: Mapping[str, Json]) -> Json:
        seconds = request.get("seconds")
        seconds = float(seconds) if isinstance(seconds, int | float) and not isinstance(seconds, bool) else _USUAL_DOOR
        return to_json(await actions.phone(_text(request, "what"), seconds))

    async def no_phone(request: Mapping[str, Json]) -> Json:
        return {"label": await actions.no_phone(_text(request, "what"))}

    async def examine(request: Mapping[str, Json]) -> Held:
        rows = actions.examine()
        return Held({}, _rows_as_json(rows), rows.aclose)

    async def examine_visit(request: Mapping[str, Json]) -> Held:
        rows = actions.examine_visit(_text(request, "what"))
        first = await anext(rows)  # what is meant, or why nothing is

        async def all_rows() -> AsyncIterator[Row]:
            yield first
            async for row in rows:
                yield row

        return Held({}, _rows_as_json(all_rows()), rows.aclose)

    async def inspect(request: Mapping[str, Json]) -> Held:
        name = _text(request, "name")
        news, end = await actions.inspect(name)

        async def rows() -> AsyncIterator[object]:
            async for one in news:
                yield to_json(one)

        return Held({"name": name}, rows(), end)

    async def inspected(request: Mapping[str, Json]) -> Json:
        number = request.get("number")
        if type(number) is not int:
            return to_json(await actions.inspected(_text(request, "name")))
        secrets = request.get("secrets") is True
        return to_json(await actions.inspected_whole(_text(request, "name"), number, secrets=secrets))

    async def replay(request: Mapping[str, Json]) -> Json:
        number, fields, body = (request.get(key) for key in ("number", "fields", "body"))
        if type(number) is not int:
            raise WrongArgument("which one?", hint="hardline inspect NAME --replay NUMBER")
        lines = [str(one) for one in fields] if isinstance(fields, list) else []
        try:
            data = b64decode(body, validate=True) if isinstance(body, str) else None
        except ValueError:
            raise WrongArgument("the body is no base64") from None
        changes = {"method": _text(request, "method"), "target": _text(request, "target")}
        return to_json(await actions.replay(_text(request, "name"), number, data, **changes, fields=lines))

    async def find(request: Mapping[str, Json]) -> Json:
        return to_json(await actions.find(_text(request, "what")))

    async def name(request: Mapping[str, Json]) -> Json:
        return to_json(await actions.name(_text(request, "what"), _text(request, "name")))

    async def forget(request: Mapping[str, Json]) -> Json:
        return {"label": await actions.forget(_text(request, "name"))}

    async def door(request: Mapping[str, Json]) -> Json:
        at, host = await actions.door_to(_text(request, "address"))
        return {"door": at, "host": host}

    async def changes(request: Mapping[str, Json]) -> Held:
        seconds = request.get("every")
        every = min(max(float(seconds), _NOT_FASTER), _LONGEST) if isinstance(seconds, int | float) else _LONGEST
        return Held({}, _each(actions.changes.watch(_NOT_FASTER, every)), _nothing)

    async def doctor(request: Mapping[str, Json]) -> Json:
        return await actions.facts(_text(request, "about"))

    async def trace(request: Mapping[str, Json]) -> Held:
        steps = actions.trace(_text(request, "what"))
        first = await anext(steps)  # what is meant, or why nothing is
        return Held(to_json(first), _as_json(steps), steps.aclose)

    async def forward(request: Mapping[str, Json]) -> Held:
        port = request.get("port")
        if type(port) is not int or not 0 <= port <= _MAX_PORT:
            raise WrongArgument("the port is none", hint=f"a number from 0 to {_MAX_PORT}")
        opened = await actions.forward(_text(request, "address"), port, pages=request.get("pages") is True)
        return Held({"listen": str(opened.listen)}, opened.failures(), opened.aclose)

    def of_the_page(what: str) -> Handler:
        async def answer(request: Mapping[str, Json]) -> object:
            return await page().do(what, request)

        return answer

    def once_ready(handler: Handler) -> Handler:
        async def answer(request: Mapping[str, Json]) -> object:
            await ready.wait()
            return await handler(request)

        return answer

    named: dict[str, Handler] = {"status": status, "share": share, "remove": remove, "lan": lan}
    # Not known to an earlier hardlined, which would share it with everybody, or for ever.
    named |= {"share_for_fewer": share, "share_until": share, "share_once": share_once, "change_until": change}
    named |= {"change": change, "invite": invite, "accept": accept, "who": who, "revoke": revoke, "ping": ping}
    named |= {"names": names, "log": log, "key": key, "find": find, "name": name, "forget": forget}
    named |= {"doctor": doctor, "trace": trace, "examine": examine, "examine_visit": examine_visit}
    named |= {"phone": phone, "no_phone": no_phone}
    named |= {"inspect": inspect, "inspected": inspected, "replay": replay}
    named |= {"drain_relay": drain_relay, "door": door, "forward": forward, "changes": changes}
    named |= {what: of_the_page(what) for what in OF_THE_PAGE}
    return {name: once_ready(handler) for name, handler in named.items()}


async def _each(changes: AsyncIterator[None]) -> AsyncIterator[Json]:
    async for _ in changes:
        yield {}


async def _as_json(news: AsyncIterator[object]) -> AsyncIterator[Json]:
    async for one in news:
        yield to_json(one)


async def _rows_as_json(rows: AsyncIterator[Row]) -> AsyncIterator[object]:
    from hardline.doctor.rows import as_json

    async for row in rows:
        yield as_json(row)


async def _nothing() -> None:
    """Nothing was opened."""


class _How(TypedDict):
    """What Sharing.share may be told besides the target."""

    title: str
    name: str
    listed: bool
    invited: bool
    until: float | None
    hidden: bool
    uploads: str
    host: str


def _how(request: Mapping[str, Json]) -> _How:
    return _How(
        title=_text(request, "title"),
        name=_text(request, "name"),
        listed=request.get("listed") is not False,
        invited=request.get("invited") is True,
        until=_until(request),
        hidden=request.get("hidden") is True,
        uploads=_text(request, "uploads"),
        host=_text(request, "host"),
    )


def _until(request: Mapping[str, Json]) -> float | None:
    seconds = request.get("seconds")
    known = isinstance(seconds, int | float) and 0 < seconds <= _LONGEST_SHARE
    return time.time() + float(seconds) if known and isinstance(seconds, int | float) else None


def _yes_or_no(request: Mapping[str, Json], key: str) -> bool | None:
    said = request.get(key)
    return said if isinstance(said, bool) else None


def _text(request: Mapping[str, Json], key: str) -> str:
    return str(request.get(key) or "")
