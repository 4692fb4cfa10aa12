"""What each command may be told: loaded when it is one of these that was typed."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from math import inf

from hardline import terminal
from hardline.cli.daemon import add_datadir

_LONGEST_SHARE = 3650 * 86_400  # seconds
_MOST_DIGITS = 15
_OURS = "of a service here, as `hardline ls` shows it; or its title or address"
_ANY_NAME = "an address, a name that you gave, a title, or the name of a service here"


def _add_json(parser: terminal.Parser) -> None:
    add_datadir(parser)
    parser.add_argument("--json", action="store_true", help="for programs")


def _add_ls(parser: terminal.Parser) -> None:
    _add_json(parser)
    shows = parser.add_mutually_exclusive_group()
    shows.add_argument("--watch", action="store_true", help="show it anew whenever something changes, until Ctrl-C")
    kinds = "what can be typed for NAME, for shells: of services here (mine), names that you gave (named), or both"
    shows.add_argument("--names", choices=("mine", "named", "known"), help=kinds)


def _add_log(parser: terminal.Parser) -> None:
    _add_json(parser)
    parser.add_argument("what", nargs="?", metavar="NAME", help=f"only of this one: {_ANY_NAME}")
    parser.add_argument("-f", "--follow", action="store_true", help="then what happens, until Ctrl-C")


def _add_share(parser: terminal.Parser) -> None:
    add_datadir(parser)
    parser.add_argument("target", metavar="TARGET", help="~/photos, 8000, nas:8080, https://192.168.1.5, unix:/run/app")
    parser.add_argument("--name", help="name of its file in the service directory")
    parser.add_argument("--title", help="what people read")
    parser.add_argument("--unlisted", action="store_true", help="the network does not list it")
    parser.add_argument("--invited", action="store_true", help="for those in NAME.ini.clients only")
    lasts = parser.add_mutually_exclusive_group()
    lasts.add_argument("--once", action="store_true", help="for as long as this command runs: until Ctrl-C")
    lasts.add_argument("--for", dest="seconds", type=_seconds, metavar="TIME", help="30m, 2h, 7d: then it ends")
    parser.add_argument("--hidden", action="store_true", help="of a directory also names that begin with a dot")
    brought = parser.add_mutually_exclusive_group()
    brought.add_argument("--upload", dest="uploads", action="store_const", const="yes", help="visitors may add files")
    brought.add_argument("--drop", dest="uploads", action="store_const", const="drop", help="the same, and see none")
    parser.add_argument("--host", metavar="HOST", help="the host name by which the web server there knows itself")
    parser.add_argument("--yes", action="store_true", help="a home directory, too")


def _add_change(parser: terminal.Parser) -> None:
    add_datadir(parser)
    parser.add_argument("name", metavar="NAME", help=_OURS)
    parser.add_argument("target", nargs="?", metavar="TARGET", help="where it leads from now on, by the same URL")
    parser.add_argument("--title", help="what people read; '' for its name")
    listed = parser.add_mutually_exclusive_group()
    listed.add_argument("--listed", action="store_true", default=None, help="the network lists it")
    listed.add_argument("--unlisted", dest="listed", action="store_false", help="the network does not list it")
    invited = parser.add_mutually_exclusive_group()
    invited.add_argument("--invited", action="store_true", default=None, help="for those in NAME.ini.clients only")
    invited.add_argument("--everyone", dest="invited", action="store_false", help="for everybody who has its address")
    until = "30m, 2h, 7d from now: then it ends; forever: it does not"
    parser.add_argument("--for", dest="seconds", type=_seconds_or_forever, metavar="TIME", help=until)
    parser.add_argument("--yes", action="store_true", help="a home directory, too")


def _add_pause(parser: terminal.Parser) -> None:
    add_datadir(parser)
    parser.add_argument("name", metavar="NAME", help=_OURS)


def _add_remove(parser: terminal.Parser) -> None:
    add_datadir(parser)
    parser.add_argument("name", metavar="NAME", help="as `hardline ls` shows it")
    parser.add_argument("--forget-url", action="store_true", help="for good: its URL never comes back")


def _add_ping(parser: terminal.Parser) -> None:
    _add_json(parser)
    parser.add_argument("what", metavar="NAME", help=_ANY_NAME)
    parser.add_argument("-c", dest="count", type=_count, default=1, metavar="N", help="how often, a second apart (1)")


def _add_invite(parser: terminal.Parser) -> None:
    add_datadir(parser)
    parser.add_argument("name", metavar="NAME", help=_OURS)
    parser.add_argument("--to", metavar="WHO", required=True, help="whom it is for, as you will read it")
    parser.add_argument("--expires", type=_days, default=7.0, metavar="TIME", help="7d, 12h: until when (7d)")


def _add_accept(parser: terminal.Parser) -> None:
    add_datadir(parser)
    parser.add_argument("link", nargs="?", metavar="LINK", help="of the invitation; none: it is read from stdin")


def _add_who(parser: terminal.Parser) -> None:
    _add_json(parser)
    parser.add_argument("name", metavar="NAME", help=_OURS)


def _add_revoke(parser: terminal.Parser) -> None:
    add_datadir(parser)
    parser.add_argument("name", metavar="NAME", help=_OURS)
    parser.add_argument("who", metavar="WHO", help="as `hardline who` shows him, or the first digits of his key")


def _add_open(parser: terminal.Parser) -> None:
    add_datadir(parser)
    parser.add_argument("what", nargs="?", metavar="NAME", help=f"{_ANY_NAME}; none: this node's own page")
    parser.add_argument("--print", action="store_true", help="print its URL instead")
    parser.add_argument("--revoke", action="store_true", help="have no browser manage this node any more")


def _add_phone(parser: terminal.Parser) -> None:
    add_datadir(parser)
    parser.add_argument("what", metavar="NAME", help=_ANY_NAME)
    parser.add_argument(
        "--for", dest="days", type=_days, default=1 / 24, metavar="TIME", help="30m, 2h, 1d at most (1h)"
    )
    parser.add_argument("--stop", action="store_true", help="let none in any more")
    parser.add_argument("--no-code", action="store_true", help="print the addresses only")


def _add_name(parser: terminal.Parser) -> None:
    add_datadir(parser)
    parser.add_argument("what", metavar="ADDRESS", help=_ANY_NAME)
    parser.add_argument("name", metavar="NAME", help="nas makes it http://nas.localhost:7009/ here")


def _add_forget(parser: terminal.Parser) -> None:
    add_datadir(parser)
    parser.add_argument("name", metavar="NAME", help="that you gave; the service stays as it is")


def _add_fileserver(parser: terminal.Parser) -> None:
    add_datadir(parser)
    parser.add_argument("directory", type=_as_typed, metavar="DIR")
    parser.add_argument("--port", type=_port, default=8000, metavar="N", help="where to listen (8000); 0: any free one")
    parser.add_argument(
        "--bind", default="127.0.0.1", metavar="ADDRESS", help="for whom: this machine only (127.0.0.1)"
    )
    parser.add_argument(
        "--name",
        action="append",
        type=_host_name,
        default=[],
        metavar="HOST",
        help="a host name that it is reached by; repeatable",
    )
    parser.add_argument("--no-listing", action="store_true", help="only who knows a file's name finds it")
    parser.add_argument("--hidden", action="store_true", help="names that begin with a dot, too")
    parser.add_argument("--yes", action="store_true", help="a home directory, too")


def _add_nc(parser: terminal.Parser) -> None:
    add_datadir(parser)
    parser.add_argument("label", metavar="LABEL", help="what stands before .localhost in its URL, or all")
    parser.add_argument("-F", "--fdpass", action="store_true", help="for ssh -o ProxyUseFdpass=yes, which is faster")


def _add_forward(parser: terminal.Parser) -> None:
    add_datadir(parser)
    parser.add_argument("label", metavar="LABEL", help="of its URL, or all of it, or the name that you gave")
    parser.add_argument("port", type=_port, metavar="PORT", help="of this computer, on 127.0.0.1; 0: any free one")
    parser.add_argument("--pages", action="store_true", help="pages of other sites in a browser may connect, too")


def _add_pac(parser: terminal.Parser) -> None:
    parser.add_argument("file", nargs="?", type=_as_typed, metavar="FILE", help="write it there, and print its address")
    parser.add_argument(
        "--localport", type=_local_port, default=7009, metavar="N", help="the daemon's localport (7009)"
    )


def _add_relay(parser: terminal.Parser) -> None:
    _add_json(parser)
    instead = parser.add_mutually_exclusive_group()
    use = "be reached by that relay: write it into the settings"
    instead.add_argument("--use", metavar="HOST:PORT#KEYHASH", help=use)
    instead.add_argument("--drain", action="store_true", help="take nobody new, before it is stopped")
    parser.add_argument("--config", type=terminal.whole_path, metavar="FILE", help="the daemon's settings file")


def _add_doctor(parser: terminal.Parser) -> None:
    _add_json(parser)
    parser.add_argument("name", nargs="?", metavar="NAME", help=f"a visit to it, step by step: {_ANY_NAME}")
    parser.add_argument(
        "--report", type=terminal.whole_path, metavar="FILE", help="write it there, too, without what is secret"
    )
    parser.add_argument("--config", type=terminal.whole_path, metavar="FILE", help="the settings, where no daemon runs")


def _add_key(parser: terminal.Parser) -> None:
    add_datadir(parser)
    parser.add_argument("address", nargs="?", metavar="ADDRESS", help="of a service; none: the node's own key")


def _add_gateway(parser: terminal.Parser) -> None:
    add_datadir(parser)
    does = parser.add_subparsers(dest="do", metavar="user|key", required=True, parser_class=terminal.Parser)
    user = does.add_parser("user", help="print the line of a user for [Gateway:NAME] users")
    user.add_argument("name", metavar="NAME", help="of the user; the password is asked for, or read from stdin")
    key = does.add_parser("key", help="keys for programs that collect (scrapers)")
    add_datadir(key)
    acts = key.add_subparsers(dest="act", metavar="add|list|remove", required=True, parser_class=terminal.Parser)
    add = acts.add_parser("add", help="make a key, and print it")
    add_datadir(add)
    add.add_argument("name", metavar="NAME", help="what it is called in lists and logs")
    add.add_argument("--from", default="0", metavar="WHEN", help="a date, a time, or how long from now (now)")
    add.add_argument("--until", default="30d", metavar="WHEN", help="the same, or how long it holds: 30d at most (30d)")
    add.add_argument(
        "--service",
        action="append",
        default=[],
        metavar="NAME",
        help="[Gateway:NAME] that it is for; repeatable (all that are listed and have no users)",
    )
    _add_json(acts.add_parser("list", help="which there are"))
    remove = acts.add_parser("remove", help="let a key be none")
    add_datadir(remove)
    remove.add_argument("name", metavar="NAME")


def _add_inspect(parser: terminal.Parser) -> None:
    _add_json(parser)
    parser.add_argument("name", metavar="NAME", help=_OURS)
    parser.add_argument("--show", type=_number, metavar="NUMBER", help="heads and bodies of one that was seen")
    parser.add_argument("--replay", type=_number, metavar="NUMBER", help="ask the service the same again, or with:")
    parser.add_argument("--method", default="", help="another method")
    parser.add_argument("--path", default="", help="another path, with its query")
    parser.add_argument("--header", action="append", default=[], metavar="LINE", help="'Name: value'; repeatable")
    parser.add_argument("--data", metavar="TEXT", help="another body; @FILE reads it")
    parser.add_argument("--secrets", action="store_true", help="show passwords, keys and cookies, too")


def _add_service(parser: terminal.Parser) -> None:
    parser.add_argument("do", choices=("install", "uninstall", "status"))
    parser.add_argument("--system", action="store_true", help="the computer's, as a user of its own; by root")


def _add_backup(parser: terminal.Parser) -> None:
    add_datadir(parser)
    parser.add_argument("file", type=_as_typed, metavar="FILE", help="the copy; its passphrase is asked for")
    parser.add_argument(
        "--servicedir", type=terminal.whole_path, metavar="DIR", help="where the INI files of the services are"
    )
    parser.add_argument("--yes", action="store_true", help="what is there already is replaced")


def _add_completion(parser: terminal.Parser) -> None:
    eval_it = 'eval "$(hardline completion bash)" in ~/.bashrc; a package has them in their places'
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help=eval_it)


def _add_help(parser: terminal.Parser) -> None:
    parser.add_argument("about", nargs="?", metavar="COMMAND")


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:6]) <= 10_000:
        raise argparse.ArgumentTypeError(f"a count is {text[:60]!r}, expected a number from 1 to 10000")
    return int(text)


def _number(text: str) -> int:
    """Of a request: a service that is looked at for a day has millions."""
    if not text.isascii() or not text.isdigit() or len(text) > _MOST_DIGITS or not int(text):
        raise argparse.ArgumentTypeError(f"a number is {text[:60]!r}, expected one behind # in  hardline inspect")
    return int(text)


def _days(text: str) -> float:
    unit = {"d": 1.0, "h": 24.0, "m": 1440.0}.get(text[-1:])
    if unit is None or not text[:-1].isascii() or not text[:-1].isdigit() or not int(text[:-1][:9]) > 0:
        raise argparse.ArgumentTypeError(f"a time is {text[:60]!r}, expected a number with d, h or m: 7d")
    return int(text[:-1][:9]) / unit


def _seconds(text: str) -> float:
    unit = {"s": 1, "m": 60, "h": 3600, "d": 86_400}.get(text[-1:])
    digits = text[:-1]
    if unit is None or not digits.isascii() or not digits.isdigit() or not 0 < int(digits[:9]) * unit <= _LONGEST_SHARE:
        raise argparse.ArgumentTypeError(f"a time is {text[:60]!r}, expected a number with d, h, m or s: 2h")
    return float(int(digits[:9]) * unit)


def _seconds_or_forever(text: str) -> float:
    return inf if text == "forever" else _seconds(text)


def _as_typed(path: str) -> str:
    terminal.whole_path(path)
    return path


def _port(text: str, least: int = 0) -> int:
    if not text.isascii() or not text.isdigit() or not least <= int(text[:9]) <= 65_535:
        raise argparse.ArgumentTypeError(f"port is {text[:60]!r}, expected a number from {least} to 65535")
    return int(text)


def _local_port(text: str) -> int:
    return _port(text, least=1)


def _host_name(text: str) -> str:
    from hardline.http.hosts import is_name

    if not is_name(text):
        raise argparse.ArgumentTypeError(f"name is {text[:60]!r}, expected a host name without port, such as nas.lan")
    return text


def whole_parser() -> terminal.Parser:
    """The parser with all that each command may be told: for manuals and shells, which want all of it at once."""
    from hardline.cli import COMMANDS, DESCRIPTION

    parser = terminal.Parser(prog="hardline", description=DESCRIPTION)
    parser.add_argument("--version", action="store_true", help="print the version")
    add_datadir(parser)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=terminal.Parser)
    for name, text in COMMANDS.items():
        FILL[name](commands.add_parser(name, help=text, description=text))
    return parser


FILL: dict[str, Callable[[terminal.Parser], None]] = {
    "share": _add_share,
    "change": _add_change,
    "pause": _add_pause,
    "resume": _add_pause,
    "remove": _add_remove,
    "ls": _add_ls,
    "ping": _add_ping,
    "invite": _add_invite,
    "accept": _add_accept,
    "who": _add_who,
    "revoke": _add_revoke,
    "open": _add_open,
    "phone": _add_phone,
    "name": _add_name,
    "forget": _add_forget,
    "watch": _add_json,
    "log": _add_log,
    "lan": _add_json,
    "status": _add_json,
    "doctor": _add_doctor,
    "relay": _add_relay,
    "key": _add_key,
    "gateway": _add_gateway,
    "fileserver": _add_fileserver,
    "inspect": _add_inspect,
    "service": _add_service,
    "backup": _add_backup,
    "restore": _add_backup,
    "nc": _add_nc,
    "forward": _add_forward,
    "pac": _add_pac,
    "completion": _add_completion,
    "version": lambda parser: None,
    "help": _add_help,
}
