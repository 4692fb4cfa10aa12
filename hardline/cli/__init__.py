"""`hardline`: ask and tell the daemon that runs on a data directory.

    what was typed ─ arguments ─▶ one of showing, sharing, people, visiting, files ─ daemon ─▶ the control socket

Results go to stdout and nothing else does (url=$(hardline share 8123)); talk and errors go to stderr.  What only some
commands need is loaded by those: whoever types one waits for everything that is.

0  done   1  failed   2  wrong arguments   3  no daemon runs there   4  not reachable   141  whoever read has gone
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any

from hardline import __version__, terminal
from hardline.cli.daemon import add_datadir
from hardline.terminal import write

DESCRIPTION = "Share services and see what a node does."
COMMANDS = {
    "share": "share a service or a directory, and print its URL",
    "change": "change a service, and keep its URL",
    "pause": "serve nobody for now: visitors who are there are cut",
    "resume": "serve again",
    "remove": "stop sharing a service; its certificate stays",
    "ls": "what is shared here, what the network offers, which hosts are known",
    "watch": "what happens here, as it happens",
    "log": "what happened here lately",
    "ping": "see whether a host answers, and by which path",
    "invite": "invite somebody to a service for invited visitors: prints a link",
    "accept": "accept an invitation",
    "who": "who may visit a service",
    "revoke": "have somebody visit a service no more",
    "open": "open a service in the browser",
    "phone": "let phones of this network into a service, for an hour: shows a code to scan",
    "name": "give a service a name of yours, on this computer only",
    "forget": "forget a name that you gave",
    "lan": "what the local network offers",
    "status": "services, sessions and the paths they use",
    "doctor": "what keeps this node, or a visit, from working, and what to do",
    "relay": "the relay that this node is, and those by which it is reached",
    "key": "print the key by which a host knows this visitor, or a relay this node",
    "gateway": "users of the gateway, and keys for scrapers",
    "fileserver": "serve a directory on this machine, without any tunnel",
    "inspect": "look at the requests of a service here as they pass, and ask one again",
    "service": "have systemd keep hardlined running",
    "backup": "copy this node into a file: keys, services, names",
    "restore": "bring it back, here or on another computer",
    "nc": "connect stdin and stdout with a service: ssh -o ProxyCommand='hardline nc LABEL'",
    "forward": "lead a port of this computer to a service, until Ctrl-C",
    "pac": "print the proxy file for programs that do not know *.localhost",
    "completion": "print what completes commands in a shell",
    "version": "print the version",
    "help": "explain a command",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command."""
    return terminal.run("hardline", lambda: _run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    match options.command:
        case None:
            parser.print_help()
        case "help":
            _help(parser, options.about)
        case "completion":
            _completion(options.shell)
        case "version":
            write(f"hardline {__version__}")
        case "status" | "ls" | "lan" | "relay" | "key":
            from hardline.cli import showing

            showing.run(options)
        case "share" | "change" | "pause" | "resume" | "remove":
            from hardline.cli import sharing

            return sharing.run(options)
        case "invite" | "accept" | "who" | "revoke":
            from hardline.cli import people

            people.run(options)
        case "watch" | "log":
            from hardline.cli import happening

            happening.run(options)
        case "doctor":
            from hardline.cli import doctor

            return doctor.run(options)
        case "gateway":
            _gateway(options)
        case "inspect":
            from hardline.cli import inspecting

            inspecting.run(options)
        case "service":
            from hardline.cli import service

            return service.run(options)
        case "backup" | "restore":
            from hardline.cli import backup

            backup.run(options)
        case "fileserver":
            from hardline.cli import files

            files.serve(options)
        case _:
            from hardline.cli import visiting

            return visiting.run(options)
    return 0


def _parser() -> terminal.Parser:
    parser = terminal.Parser(prog="hardline", description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"hardline {__version__}")
    add_datadir(parser)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Command)
    for name, text in COMMANDS.items():
        commands.add_parser(name, help=text, description=text).name = name
    return parser


class _Command(terminal.Parser):
    """A command's parser, which costs nothing as long as the command is only listed."""

    name: str

    def __init__(self, **described: Any) -> None:
        self._described = described

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Become what was described, and parse."""
        from hardline.cli.arguments import FILL

        parser = terminal.Parser(**self._described)
        FILL[self.name](parser)
        if dashed := next((word for word in args or () if word.startswith("-") and os.path.lexists(word)), None):
            from hardline.showable import as_escapes

            parser.hint = f"for what lies here under this name, write ./{as_escapes(dashed)}"
        return parser.parse_known_args(args, namespace)


def _help(parser: argparse.ArgumentParser, about: str | None) -> None:
    if about is None:
        parser.print_help()
    else:
        parser.parse_args([about, "--help"])  # which ends the program


def _completion(shell: str) -> None:
    from pathlib import Path

    name = {"bash": "hardline", "zsh": "_hardline", "fish": "hardline.fish"}[shell]
    write((Path(__file__).parent / "completions" / name).read_text(encoding="utf-8").removesuffix("\n"))


def _gateway(options: argparse.Namespace) -> None:
    from hardline.cli.daemon import datadir, talk
    from hardline.gateway import commands

    match options.do, getattr(options, "act", ""):
        case "user", _:
            commands.add_user(options.name, talk)
        case _, "add":
            begins, ends = getattr(options, "from"), options.until
            commands.add_key(datadir(options), options.name, begins, ends, options.service, talk)
        case _, "list":
            commands.list_keys(datadir(options), talk, as_json=options.json)
        case _:
            commands.remove_key(datadir(options), options.name, talk)
