"""`hardlined`: the daemon's command line, signals and exit codes.

0    stopped in order          1   could not start: stderr says what and what to do
2    wrong arguments         130   a second signal while stopping
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import errno
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from hardline import __version__, log
from hardline.config import NodeSettings, parse_node
from hardline.daemon import Daemon
from hardline.errors import ConfigError, HardlineError
from hardline.places import Places, default_places
from hardline.servicedir import read_ini

_DESCRIPTORS = 10_240  # where the limit of all is none: what macOS allows a process
_OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a node until it is told to stop."""
    options = _parser().parse_args(arguments)
    try:
        settings, places = _settings(options)
        log.set_up(settings.log.level, settings.log.format)
        os.umask(0o077)  # whatever is written is the owner's alone: databases and their journals, copies of sites
        _raise_descriptor_limit()
        return _runner()(_run(settings, places))
    except HardlineError as failure:
        print(f"hardlined: error: {failure.message}", file=sys.stderr)
        if failure.hint:
            print(f"hardlined: hint: {failure.hint}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hardlined",
        description="Share local services under the hash of their certificates, and open others' in a browser.",
        epilog="Settings: docs/SETTINGS.md.  A flag wins over the settings file.",
    )
    parser.add_argument("--servicedir", type=Path, metavar="DIR", help="directory of the services' INI files")
    parser.add_argument("--datadir", type=Path, metavar="DIR", help="directory of what the node keeps")
    parser.add_argument("--localport", type=_port, metavar="PORT", help="the browser's door (7009; 0: none)")
    parser.add_argument("--p2pport", type=_port, metavar="PORT", help="where other nodes connect (7008; 0: any free)")
    parser.add_argument(
        "--bind",
        action="append",
        metavar="ADDRESS",
        help="address to listen on and to find others by (all); repeatable",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings file (DIR/hardline.ini if it exists)")
    parser.add_argument("--log-level", choices=log.LEVELS, help="how much is said (info)")
    parser.add_argument("--log-format", choices=("text", "json"), help="lines for people or for programs (text)")
    parser.add_argument("--version", action="version", version=f"hardlined {__version__}")
    return parser


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"port is {text!r}, expected a number from 0 to 65535")
    return int(text)


def _settings(options: argparse.Namespace) -> tuple[NodeSettings, Places]:
    """The settings file, then the flags."""
    defaults = default_places()
    config: Path = options.config or defaults.servicedir.parent / "hardline.ini"
    settings = NodeSettings()
    try:
        settings = parse_node(read_ini(config), str(config))
    except FileNotFoundError:
        if options.config is not None:
            raise ConfigError("there is no such file", file=str(config), hint="see docs/SETTINGS.md") from None
    flags: dict[str, Any] = {
        name: value for name in ("localport", "p2pport") if (value := getattr(options, name)) is not None
    }
    if options.bind:
        # Read as the settings file's key would be, so that mistakes are told the same way.
        flags["bind"] = parse_node(f"[Node]\nbind = {','.join(options.bind)}\n", "--bind").node.bind
    node = dataclasses.replace(settings.node, **flags)
    if node.localport and node.localport == node.p2pport:
        raise ConfigError(f"localport and p2pport are both {node.localport}", hint="give each a port of its own")
    logging = dataclasses.replace(
        settings.log,
        level=options.log_level or settings.log.level,
        format=options.log_format or settings.log.format,
    )
    places = Places(
        (options.servicedir or node.servicedir or defaults.servicedir).absolute(),
        (options.datadir or node.datadir or defaults.datadir).absolute(),
        config,
    )
    return dataclasses.replace(settings, node=node, log=logging), places


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


def _note_trouble(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Out of descriptors, asyncio's loop tells of every connection that waits, with a traceback; one line is enough."""
    failure = context.get("exception")
    if isinstance(failure, OSError) and failure.errno in _OUT_OF_RESOURCES:
        log.warning("accept.failed", reason=os.strerror(failure.errno).lower())
        return
    loop.default_exception_handler(context)


async def _run(settings: NodeSettings, places: Places) -> int:
    stop = asyncio.Event()

    def told() -> None:
        if stop.is_set():
            os._exit(130)
        stop.set()

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_note_trouble)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told)
    daemon = Daemon(settings, places)
    try:
        starting = asyncio.create_task(daemon.start(), name="hardlined.start")  # noqa: TID251  the root of all tasks
        told_to_stop = asyncio.create_task(stop.wait(), name="hardlined.stop")  # noqa: TID251
        await asyncio.wait([starting, told_to_stop], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            for title, service in daemon.offered:
                log.event("service.offered", title=title, service=service)
        await told_to_stop
        starting.cancel()
        await asyncio.wait([starting])
    finally:
        await daemon.stop()
    return 0


def _runner() -> Callable[[Coroutine[Any, Any, int]], int]:
    """uvloop's, where it is installed: its sockets cost half."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run
    return uvloop.run


if __name__ == "__main__":
    sys.exit(main())
