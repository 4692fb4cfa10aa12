"""What belongs to the process of a daemon, and not to the node in it: settings, limits, signals, the event loop.

SIGTERM and SIGINT stop it in order, and a second one at once; SIGHUP makes it read its settings file anew
(docs/SETTINGS.md).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import errno
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from hardline import log
from hardline.errors import ConfigError, HardlineError, WrongArgument
from hardline.files import why
from hardline.memory import keep_small
from hardline.node.limits import is_live
from hardline.node.node import Node
from hardline.notify import notify
from hardline.places import Places, default_places
from hardline.running import leave_note, of_users
from hardline.settings.directory import read_ini
from hardline.settings.node import NodeSettings, changed_keys, parse_node
from hardline.settings.units import Unreadable
from hardline.settings.values import group
from hardline.tasks import TaskSet
from hardline.transport.native import ENGINE, why_not
from hardline.watchdog import feed_watchdog, watchdog_interval

_DESCRIPTORS = 10_240  # where the limit of all is none: what macOS allows a process
_LEAST, _ULIMIT = 96, "ulimit -n  says how many one program may have"
_PATIENCE = 5.0  # seconds that the end of the process waits for threads
_OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


def run_daemon(options: argparse.Namespace) -> int:
    """Run a node until it is told to stop; returns the exit code."""
    settings, places = _settings(options)
    log.set_up(settings.log.level, settings.log.format)
    os.umask(0o077)  # whatever is written is the owner's alone: databases and their journals, copies of sites
    _raise_descriptor_limit()
    _judge_descriptor_limit()
    try:
        return _runner()(_until_it_ends(_run(settings, places, lambda: _settings(options)[0])))
    except OSError as failure:
        if failure.errno not in _OUT_OF_RESOURCES:
            raise
        hint = f"{_ULIMIT}, {_LEAST} are the least" if failure.errno == errno.EMFILE else ""
        raise HardlineError(f"cannot start: {why(failure)}", hint) from None
    except MemoryError:
        raise HardlineError("cannot start: there is not enough memory") from None


async def _until_it_ends(run: Awaitable[int]) -> int:
    """A thread that waits for a disk cannot be called back; loop and interpreter would wait for it, deaf to signals."""
    code = 1
    try:
        code = await run
        return code
    finally:
        timer = threading.Timer(_PATIENCE, os._exit, [code])
        timer.daemon = True
        timer.start()


def _settings(options: argparse.Namespace) -> tuple[NodeSettings, Places]:
    """The settings file, then the flags."""
    config: Path | None = options.config
    if config is None and not (options.servicedir and options.datadir):
        config = default_places().config
    elif config is None:
        with contextlib.suppress(ConfigError):  # whoever named both directories needs no home
            config = default_places().config
    settings = NodeSettings()
    try:
        if config is not None:
            settings = parse_node(read_ini(config), str(config))
    except FileNotFoundError:
        if options.config is not None:
            raise ConfigError("there is no such file", file=str(config), hint="see docs/SETTINGS.md") from None
    flags: dict[str, Any] = {
        name: value for name in ("localport", "p2pport") if (value := getattr(options, name)) is not None
    }
    if options.bind:
        flags["bind"] = _addresses(options.bind)
    if options.group:
        flags["group"] = _group(options.group)
    node = dataclasses.replace(settings.node, **flags)
    if node.localport and node.localport == node.p2pport:
        raise ConfigError(f"localport and p2pport are both {node.localport}", hint="give each a port of its own")
    logging = dataclasses.replace(
        settings.log,
        level=options.log_level or settings.log.level,
        format=options.log_format or settings.log.format,
    )
    places = Places(
        options.servicedir or node.servicedir or default_places().servicedir,
        options.datadir or node.datadir or default_places().datadir,
        config,
    )
    return dataclasses.replace(settings, node=node, log=logging), places


def _addresses(flags: Sequence[str]) -> tuple[str, ...]:
    """Read as the settings file's key would be, so that mistakes are told the same way."""
    try:
        return parse_node("[Node]\nbind =\n" + "".join(f" {flag}\n" for flag in flags), "").node.bind
    except ConfigError as wrong:
        raise WrongArgument(f"--{wrong.message}", hint="for this machine only: --bind 127.0.0.1") from None


def _group(flag: str) -> str:
    try:
        return group(flag)
    except Unreadable as wrong:
        raise WrongArgument(f"--group is {flag[:60]!r}, {wrong}") from None


def _raise_descriptor_limit() -> None:
    """As many descriptors as the system allows: what is usual, 1024, is less than a thousand visitors need.

    It is usual only for programs that still call select(); nothing here does.
    """
    try:
        import resource
    except ImportError:
        return  # Windows has no such limit
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (hard, _DESCRIPTORS):
        if wanted == resource.RLIM_INFINITY:
            continue  # macOS says so and then refuses it
        if soft != resource.RLIM_INFINITY and wanted > soft:
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
                return


def _judge_descriptor_limit() -> None:
    try:
        import resource
    except ImportError:
        return
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _LEAST:
        raise HardlineError(f"cannot start: {soft} open files are too few", f"{_ULIMIT}, {_LEAST} are the least")


def _note_trouble(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Out of descriptors, asyncio's loop tells of every connection that waits, with a traceback; one line is enough."""
    failure = context.get("exception")
    if isinstance(failure, OSError) and failure.errno in _OUT_OF_RESOURCES:
        log.warning("accept.failed", reason=os.strerror(failure.errno).lower())
        return
    loop.default_exception_handler(context)


async def _run(settings: NodeSettings, places: Places, read_again: Callable[[], NodeSettings]) -> int:
    stop, reload = asyncio.Event(), asyncio.Event()

    def told() -> None:
        if stop.is_set():
            os._exit(130)
        stop.set()

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_note_trouble)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told)
    loop.add_signal_handler(signal.SIGHUP, reload.set)
    log.event("process.engine", engine=ENGINE, reason=why_not or None)
    if not os.geteuid():
        for beside in of_users():
            hint = f"two have no room at the same ports; to have this one alone, as {beside.user_name}: end his"
            log.warning("node.beside", user=beside.user_name, pid=beside.pid, hint=hint)
    node, tasks, note = Node(settings, places), TaskSet("hardlined"), None
    try:
        starting = asyncio.create_task(_start(node), name="hardlined.start")  # noqa: TID251  the root of all tasks
        told_to_stop = asyncio.create_task(stop.wait(), name="hardlined.stop")  # noqa: TID251
        await asyncio.wait([starting, told_to_stop], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            note = leave_note(places.datadir)
            if not starting.result():
                tasks.start(_ready_once_tried(node), "ready")
            for service in node.offering.current:
                log.event("service.offered", title=service.title, service=service.key_hash.short)
            tasks.start(keep_small(), "memory")
            tasks.start(_keep_told(node), "status")
            if (interval := watchdog_interval(os.environ, os.getpid())) is not None:
                tasks.start(feed_watchdog(interval), "watchdog")
            tasks.start(_keep_reading(reload, node, settings, read_again), "settings")
        await told_to_stop
        starting.cancel()
        await asyncio.wait([starting])
    finally:
        notify(STOPPING="1", STATUS="stopping")
        if note is not None:
            with contextlib.suppress(OSError):
                note.unlink()
        await tasks.aclose()
        await node.stop()
    return 0


async def _start(node: Node) -> bool:
    """Ready is told at once: in the next turn of the loop much begins that somebody who waits need not wait for.

    False where it is not told yet, since links are to be tried first.
    """
    await node.start()
    if node.waits_for_links:
        return False
    notify(READY="1", STATUS=node.summary)
    return True


async def _ready_once_tried(node: Node) -> None:
    await node.links_tried()
    notify(READY="1", STATUS=node.summary)


async def _keep_told(node: Node) -> None:
    """Have the service manager show what the node does."""
    told = node.summary
    async for _ in node.changes.watch(pause=1.0):
        if node.summary != told:
            told = node.summary
            notify(STATUS=told)


async def _keep_reading(
    told: asyncio.Event, node: Node, settings: NodeSettings, read_again: Callable[[], NodeSettings]
) -> None:
    """Read the settings file whenever `told`; what can change while it runs does, and the log says what cannot.

    A file with a mistake changes nothing.
    """
    while True:
        await told.wait()
        told.clear()
        notify(RELOADING="1", MONOTONIC_USEC=str(time.monotonic_ns() // 1000))
        try:
            now = await asyncio.to_thread(read_again)
        except HardlineError as wrong:
            log.warning("settings.refused", reason=wrong.message, hint=wrong.hint or None)
        else:
            if now.log != settings.log:
                log.set_up(now.log.level, now.log.format)
            changed = changed_keys(settings, now)
            node.settings_changed(now)
            live = [key for key in changed if key.startswith("[Log]") or is_live(key)]
            waiting = [key for key in changed if key not in live]
            log.event("settings.read", changed=", ".join(live) or None)
            if waiting:
                log.warning("settings.waiting", changed=", ".join(waiting), hint="restart hardlined")
            relay = dataclasses.replace(settings.relay, allow=now.relay.allow, deny=now.relay.deny)
            gateway = dataclasses.replace(now.gateway, listen=settings.gateway.listen)
            settings = dataclasses.replace(settings, log=now.log, relay=relay, gateway=gateway, named=now.named)
        if not node.waits_for_links:
            notify(READY="1")


def _runner() -> Callable[[Coroutine[Any, Any, int]], int]:
    """uvloop's, where it is installed: its sockets cost half."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run
    return uvloop.run
