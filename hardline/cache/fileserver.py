"""`hardline fileserver DIR --port N`: a directory on a port of this machine, without any tunnel."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import signal
import socket
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from aiohttp import web

from hardline.cache.files.files import FileService
from hardline.cache.files.texts import Texts
from hardline.cache.files.tree import Tree
from hardline.cache.own import OwnFiles
from hardline.disks import Disk, DiskHangs
from hardline.errors import ConfigError
from hardline.files import hint_for
from hardline.http.hosts import Hosts
from hardline.http.serving.pages import misdirected, nothing_here
from hardline.http.serving.server import StreamServer

_BIND = "--bind takes an address of this machine: 127.0.0.1 is this machine only, 0.0.0.0 its whole network"


async def serve_directory(
    root: Path,
    address: str,
    port: int,
    own: OwnFiles,
    *,
    allow_listing: bool,
    hidden: bool = False,
    names: Sequence[str] = (),
    ready: Callable[[str], None],
) -> None:
    """Serve `root` until SIGINT or SIGTERM; `ready` gets its URL.  Raises ConfigError when that cannot begin.

    Nobody is answered under other host names than `names`, the `address` itself and, on it, this machine's own.
    """
    disk = Disk(root.name or str(root))
    try:
        if not await disk.run(root.is_dir, bool):
            raise ConfigError(f"{root} is no directory")
        forbidden = await disk.run(partial(own.judge, root), bool)
        tree = Tree(root, forbidden=forbidden, ours=own.gives_away, hidden=hidden, disk=disk)
    except DiskHangs:
        raise ConfigError(f"{root} cannot be shared: its disk does not answer") from None
    texts = Texts()
    files = FileService(tree, allow_listing=allow_listing, texts=texts)

    hosts: Hosts

    async def respond(request: web.BaseRequest) -> web.StreamResponse:
        if not hosts.answers(request.headers.get("Host", "")):
            return misdirected(request)
        return await files.respond(request) or nothing_here(request)

    server = StreamServer(respond, root.name)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        listening = await loop.create_server(server.protocol_factory, address, port, start_serving=False)
    except OSError as failure:
        reason = (failure.strerror or str(failure)).lower()
        not_ours = isinstance(failure, socket.gaierror) or failure.errno == errno.EADDRNOTAVAIL
        hint = _BIND if not_ours else hint_for(failure) or "choose another with --port"
        raise ConfigError(f"port {port} of {address} cannot be used: {reason}", hint=hint) from None
    async with listening:
        listened, taken = listening.sockets[0].getsockname()[:2]
        hosts = Hosts(listened.partition("%")[0], taken, [*names, *_as_name(address)])
        await listening.start_serving()
        shown = f"[{address}]" if ":" in address else address
        ready(f"http://{shown}:{taken}/")
        await stop.wait()
    await server.aclose()
    await texts.aclose()


def _as_name(address: str) -> list[str]:
    """What somebody wrote for an address, where it is a name."""
    try:
        ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return [address]
    return []
