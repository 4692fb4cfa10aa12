"""What comes over the control socket, as actions: JSON in, JSON out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from hardline.control import Handler, Held
from hardline.errors import WrongArgument
from hardline.node.actions import Actions
from hardline.node.snapshot import Json, to_json

_BROWSE_WAIT = 0.5  # seconds
_MAX_PORT = 65_535
_USUAL_DRAIN, _LONGEST_DRAIN = 300, 86_400


def handlers(actions: Actions, ready: asyncio.Event) -> dict[str, Handler]:
    """The requests of docs/STATUS.md's commands, by name; who asks too early waits until the node is `ready`."""

    async def status(request: Mapping[str, Json]) -> Json:
        return to_json(await actions.snapshot())

    async def share(request: Mapping[str, Json]) -> Json:
        target, title, name = (_text(request, key) for key in ("target", "title", "name"))
        return to_json(await actions.share(target, title, name))

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
    named |= {"drain_relay": drain_relay, "key": key, "door": door, "forward": forward}
    return {name: once_ready(handler) for name, handler in named.items()}


def _text(request: Mapping[str, Json], key: str) -> str:
    return str(request.get(key) or "")
