"""What comes over the control socket, as actions: JSON in, JSON out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from hardline.control import Handler, Held
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

_BROWSE_WAIT = 0.5  # seconds
_USUAL_DAYS = 7.0
_MAX_PORT = 65_535
_USUAL_DOOR = 3600.0  # seconds
_USUAL_DRAIN, _LONGEST_DRAIN = 300, 86_400


def handlers(actions: Actions, ready: asyncio.Event) -> dict[str, Handler]:
    """The requests of docs/STATUS.md's commands, by name; who asks too early waits until the node is `ready`."""

    async def status(request: Mapping[str, Json]) -> Json:
        return to_json(await actions.snapshot())

    async def share(request: Mapping[str, Json]) -> Json:
        target, title, name = (_text(request, key) for key in ("target", "title", "name"))
        listed, invited = request.get("listed") is not False, request.get("invited") is True
        return to_json(await actions.share(target, title, name, listed=listed, invited=invited))

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
            )
        )

    async def remove(request: Mapping[str, Json]) -> Json:
        return to_json(await actions.remove(_text(request, "name")))

    async def lan(request: Mapping[str, Json]) -> Json:
        return to_json(await actions.browse(_BROWSE_WAIT))

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
            return {"failure": failure.message, "tried": [*tried, *failure.reasons]}
        except (AccessRefused, PasswordRefused, ConnectionLost, PeerError, ServiceFailed, TimeoutError) as failure:
            reason = failure.message if isinstance(failure, HardlineError) else "it did not answer in time"
            return {"failure": reason, "tried": []}

    async def phone(request: Mapping[str, Json]) -> Json:
        seconds = request.get("seconds")
        seconds = float(seconds) if isinstance(seconds, int | float) and not isinstance(seconds, bool) else _USUAL_DOOR
        return to_json(await actions.phone(_text(request, "what"), seconds))

    async def no_phone(request: Mapping[str, Json]) -> Json:
        return {"label": await actions.no_phone(_text(request, "what"))}

    async def find(request: Mapping[str, Json]) -> Json:
        return to_json(await actions.find(_text(request, "what")))

    async def name(request: Mapping[str, Json]) -> Json:
        return to_json(await actions.name(_text(request, "what"), _text(request, "name")))

    async def forget(request: Mapping[str, Json]) -> Json:
        return {"label": await actions.forget(_text(request, "name"))}

    async def door(request: Mapping[str, Json]) -> Json:
        at, host = await actions.door_to(_text(request, "address"))
        return {"door": at, "host": host}

    async def forward(request: Mapping[str, Json]) -> Held:
        port = request.get("port")
        if type(port) is not int or not 0 <= port <= _MAX_PORT:
            raise WrongArgument("the port is none", hint=f"a number from 0 to {_MAX_PORT}")
        opened = await actions.forward(_text(request, "address"), port, pages=request.get("pages") is True)
        return Held({"listen": str(opened.listen)}, opened.failures(), opened.aclose)

    def once_ready(handler: Handler) -> Handler:
        async def answer(request: Mapping[str, Json]) -> object:
            await ready.wait()
            return await handler(request)

        return answer

    named: dict[str, Handler] = {"status": status, "share": share, "remove": remove, "lan": lan}
    named["share_for_fewer"] = share  # not known to an earlier hardlined, which would share it with everybody
    named |= {"change": change, "invite": invite, "accept": accept, "who": who, "revoke": revoke, "ping": ping}
    named |= {"key": key, "find": find, "name": name, "forget": forget}
    named |= {"phone": phone, "no_phone": no_phone}
    named |= {"drain_relay": drain_relay, "door": door, "forward": forward}
    return {name: once_ready(handler) for name, handler in named.items()}


def _yes_or_no(request: Mapping[str, Json], key: str) -> bool | None:
    said = request.get(key)
    return said if isinstance(said, bool) else None


def _text(request: Mapping[str, Json], key: str) -> str:
    return str(request.get(key) or "")
