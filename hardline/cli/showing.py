"""What a node says of itself, as it is shown: status, ls, lan, relay, key."""

from __future__ import annotations

import argparse
import contextlib
from typing import Any

from hardline import __version__
from hardline.cli.daemon import ANOTHER_VERSION, RESTART, ask, datadir, talk
from hardline.terminal import write


def run(options: argparse.Namespace) -> None:
    """Run one of these."""
    match options.command:
        case "key":
            _show_key(options)
        case "relay" if options.use is not None:
            _use_relay(options)
        case "relay" if options.drain:
            ask(options, "drain_relay")
            write("this relay takes nobody new: who has another way takes it, and the others stay until it is stopped")
        case "ls" if options.names is not None:
            from hardline.cli import names

            names.show(options)
        case "ls" if options.watch:
            from hardline.cli import listing

            listing.watch(options)
        case _:
            _show(options)


def _show(options: argparse.Namespace) -> None:
    whole: Any = ask(options, "lan" if options.command == "lan" else "status")
    from hardline import tables
    from hardline.errors import ConfigError

    if options.command != "lan" and (version := whole.get("version")) != __version__:
        talk(f"the hardlined that runs is version {version}, this is {__version__}: {RESTART}")
    try:
        match options.command:
            case "status":
                lines = tables.status_lines(whole)
            case "lan":
                lines = tables.offer_lines(whole)
            case "relay":
                lines, whole = tables.relay_lines(whole), whole["relays"]
            case _:
                from hardline.cli import listing

                listing.show(options, whole)
                return
        told = [] if options.json else list(lines)
    except KeyError as missing:
        raise ConfigError(f"{ANOTHER_VERSION}: it does not tell {missing}", hint=RESTART) from None
    if options.json:
        import json

        write(json.dumps(whole, indent=2))
        return
    for line in told:
        write(line)


def _show_key(options: argparse.Namespace) -> None:
    if options.address is None:
        write(ask(options, "status")["node"]["key_hash"])
        talk("the owner of a relay pastes it there: [Relay] allow in hardline.ini")
        return
    write(ask(options, "key", address=options.address)["key"])
    talk("whoever shares the service pastes it into NAME.ini.clients there, with clients = invited in NAME.ini")


def _use_relay(options: argparse.Namespace) -> None:
    from pathlib import Path

    from hardline import certificates
    from hardline.errors import ConfigError, HardlineError
    from hardline.places import default_places
    from hardline.settings.relays import use_relay
    from hardline.showable import plain

    config = Path(options.config) if options.config else default_places().config
    if config is None:
        raise ConfigError("there is no place for a settings file", hint="name one: --config FILE")
    new = use_relay(config, options.use)
    write(f"{'written into' if new else 'already in'} {plain(str(config))}")
    if new:
        talk("restart hardlined to be registered there")
    with contextlib.suppress(HardlineError):
        node = certificates.load(datadir(options) / "node.cert").key_hash
        talk(f"the relay's owner has to allow this node: in hardline.ini there, [Relay] allow = {node}")
