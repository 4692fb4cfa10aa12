"""`hardline`: ask and tell the daemon that runs on a data directory.

Results go to stdout and nothing else does (url=$(hardline share 8123)); talk and errors go to stderr.

0  done   1  failed   2  wrong arguments   3  no daemon runs there   4  not reachable   141  whoever read has gone
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

# What only some commands need is imported by those: whoever types one waits for everything that is imported.
from hardline import __version__, terminal
from hardline.terminal import write

if TYPE_CHECKING:
    from pathlib import Path

    from hardline.cache.own import OwnFiles
    from hardline.identity import Label

_ANOTHER_VERSION = "the hardlined that runs is of another version"
_RESTART = "restart it"
_NOT_REACHABLE = 4
_OURS = "of a service here, as `hardline ls` shows it; or its title or address"
_ANY_NAME = "an address, a name that you gave, a title, or the name of a service here"
_LONGEST_LINE = 4096
_LONGEST_TITLE = 800  # characters that the daemon looks at; what it keeps of them is its own to say


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
        case "version":
            write(f"hardline {__version__}")
        case "relay" if options.use is not None:
            _use_relay(options)
        case "relay" if options.drain:
            _ask(options, "drain_relay")
            write("this relay takes nobody new: who has another way takes it, and the others stay until it is stopped")
        case "status" | "ls" | "lan" | "relay":
            _show(options)
        case "share":
            _share(options)
        case "change" | "pause" | "resume":
            _change(options)
        case "remove":
            _remove(options)
        case "ping":
            return _ping(options)
        case "invite":
            _invite(options)
        case "accept":
            _accept(options)
        case "who":
            _who_may(options)
        case "revoke":
            _revoke(options)
        case "open":
            _open(options)
        case "name":
            _name(options)
        case "forget":
            _forget(options)
        case "key":
            _show_key(options)
        case "gateway":
            _gateway(options)
        case "fileserver":
            _serve_directory(options)
        case "nc":
            _connect(options)
        case "forward":
            _forward(options)
        case "pac":
            _write_proxy_file(options)
    return 0


def _parser() -> terminal.Parser:
    parser = terminal.Parser(prog="hardline", description="Share services and see what a node does.")
    parser.add_argument("--version", action="version", version=f"hardline {__version__}")
    _add_datadir(parser)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Command)
    for name, (text, fill) in _COMMANDS.items():
        commands.add_parser(name, help=text, description=text).fill = fill
    return parser


class _Command(terminal.Parser):
    """A command's parser, which costs nothing as long as the command is only listed."""

    fill: Callable[[terminal.Parser], None]

    def __init__(self, **described: Any) -> None:
        self._described = described

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Become what was described, and parse."""
        parser = terminal.Parser(**self._described)
        self.fill(parser)
        if dashed := next((word for word in args or () if word.startswith("-") and os.path.lexists(word)), None):
            from hardline.showable import as_escapes

            parser.hint = f"for what lies here under this name, write ./{as_escapes(dashed)}"
        return parser.parse_known_args(args, namespace)


def _add_datadir(parser: terminal.Parser) -> None:
    parser.add_argument(
        "--datadir",
        type=terminal.whole_path,
        metavar="DIR",
        default=argparse.SUPPRESS,
        help="data directory of the daemon to talk to",
    )


def _add_json(parser: terminal.Parser) -> None:
    _add_datadir(parser)
    parser.add_argument("--json", action="store_true", help="for programs")


def _add_share(parser: terminal.Parser) -> None:
    _add_datadir(parser)
    parser.add_argument("target", metavar="TARGET", help="~/photos, 8000, nas:8080, https://192.168.1.5, unix:/run/app")
    parser.add_argument("--name", help="name of its file in the service directory")
    parser.add_argument("--title", help="what people read")
    parser.add_argument("--unlisted", action="store_true", help="the network does not list it")
    parser.add_argument("--invited", action="store_true", help="for those in NAME.ini.clients only")
    parser.add_argument("--yes", action="store_true", help="a home directory, too")


def _add_change(parser: terminal.Parser) -> None:
    _add_datadir(parser)
    parser.add_argument("name", metavar="NAME", help=_OURS)
    parser.add_argument("target", nargs="?", metavar="TARGET", help="where it leads from now on, by the same URL")
    parser.add_argument("--title", help="what people read; '' for its name")
    listed = parser.add_mutually_exclusive_group()
    listed.add_argument("--listed", action="store_true", default=None, help="the network lists it")
    listed.add_argument("--unlisted", dest="listed", action="store_false", help="the network does not list it")
    invited = parser.add_mutually_exclusive_group()
    invited.add_argument("--invited", action="store_true", default=None, help="for those in NAME.ini.clients only")
    invited.add_argument("--everyone", dest="invited", action="store_false", help="for everybody who has its address")
    parser.add_argument("--yes", action="store_true", help="a home directory, too")


def _add_pause(parser: terminal.Parser) -> None:
    _add_datadir(parser)
    parser.add_argument("name", metavar="NAME", help=_OURS)


def _add_remove(parser: terminal.Parser) -> None:
    _add_datadir(parser)
    parser.add_argument("name", metavar="NAME", help="as `hardline ls` shows it")


def _add_ping(parser: terminal.Parser) -> None:
    _add_json(parser)
    parser.add_argument("what", metavar="NAME", help=_ANY_NAME)
    parser.add_argument("-c", dest="count", type=_count, default=1, metavar="N", help="how often, a second apart (1)")


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:6]) <= 10_000:
        raise argparse.ArgumentTypeError(f"a count is {text[:60]!r}, expected a number from 1 to 10000")
    return int(text)


def _add_invite(parser: terminal.Parser) -> None:
    _add_datadir(parser)
    parser.add_argument("name", metavar="NAME", help=_OURS)
    parser.add_argument("--to", metavar="WHO", required=True, help="whom it is for, as you will read it")
    parser.add_argument("--expires", type=_days, default=7.0, metavar="TIME", help="7d, 12h: until when (7d)")


def _add_accept(parser: terminal.Parser) -> None:
    _add_datadir(parser)
    parser.add_argument("link", nargs="?", metavar="LINK", help="of the invitation; none: it is read from stdin")


def _add_who(parser: terminal.Parser) -> None:
    _add_json(parser)
    parser.add_argument("name", metavar="NAME", help=_OURS)


def _add_revoke(parser: terminal.Parser) -> None:
    _add_datadir(parser)
    parser.add_argument("name", metavar="NAME", help=_OURS)
    parser.add_argument("who", metavar="WHO", help="as `hardline who` shows him, or the first digits of his key")


def _days(text: str) -> float:
    unit = {"d": 1.0, "h": 24.0, "m": 1440.0}.get(text[-1:])
    if unit is None or not text[:-1].isascii() or not text[:-1].isdigit() or not int(text[:-1][:9]) > 0:
        raise argparse.ArgumentTypeError(f"a time is {text[:60]!r}, expected a number with d, h or m: 7d")
    return int(text[:-1][:9]) / unit


def _add_open(parser: terminal.Parser) -> None:
    _add_datadir(parser)
    parser.add_argument("what", nargs="?", metavar="NAME", help=f"{_ANY_NAME}; none: this node's own page")
    parser.add_argument("--print", action="store_true", help="print its URL instead")


def _add_name(parser: terminal.Parser) -> None:
    _add_datadir(parser)
    parser.add_argument("what", metavar="ADDRESS", help=_ANY_NAME)
    parser.add_argument("name", metavar="NAME", help="nas makes it http://nas.localhost:7009/ here")


def _add_forget(parser: terminal.Parser) -> None:
    _add_datadir(parser)
    parser.add_argument("name", metavar="NAME", help="that you gave; the service stays as it is")


def _add_fileserver(parser: terminal.Parser) -> None:
    _add_datadir(parser)
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
    _add_datadir(parser)
    parser.add_argument("label", metavar="LABEL", help="what stands before .localhost in its URL, or all")


def _add_forward(parser: terminal.Parser) -> None:
    _add_datadir(parser)
    parser.add_argument("label", type=_label, metavar="LABEL", help="what stands before .localhost in its URL, or all")
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


def _add_key(parser: terminal.Parser) -> None:
    _add_datadir(parser)
    parser.add_argument("address", nargs="?", metavar="ADDRESS", help="of a service; none: the node's own key")


def _add_gateway(parser: terminal.Parser) -> None:
    _add_datadir(parser)
    does = parser.add_subparsers(dest="do", metavar="user|key", required=True, parser_class=terminal.Parser)
    user = does.add_parser("user", help="print the line of a user for [Gateway:NAME] users")
    user.add_argument("name", metavar="NAME", help="of the user; the password is asked for, or read from stdin")
    key = does.add_parser("key", help="keys for programs that collect (scrapers)")
    _add_datadir(key)
    acts = key.add_subparsers(dest="act", metavar="add|list|remove", required=True, parser_class=terminal.Parser)
    add = acts.add_parser("add", help="make a key, and print it")
    _add_datadir(add)
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
    _add_datadir(remove)
    remove.add_argument("name", metavar="NAME")


def _as_typed(path: str) -> str:
    terminal.whole_path(path)
    return path


def _add_help(parser: terminal.Parser) -> None:
    parser.add_argument("about", nargs="?", metavar="COMMAND")


_COMMANDS: dict[str, tuple[str, Callable[[terminal.Parser], None]]] = {
    "share": ("share a service or a directory, and print its URL", _add_share),
    "change": ("change a service, and keep its URL", _add_change),
    "pause": ("serve nobody for now: visitors who are there are cut", _add_pause),
    "resume": ("serve again", _add_pause),
    "remove": ("stop sharing a service; its certificate stays", _add_remove),
    "ls": ("what is shared here, what the network offers, which hosts are known", _add_json),
    "ping": ("see whether a host answers, and by which path", _add_ping),
    "invite": ("invite somebody to a service for invited visitors: prints a link", _add_invite),
    "accept": ("accept an invitation", _add_accept),
    "who": ("who may visit a service", _add_who),
    "revoke": ("have somebody visit a service no more", _add_revoke),
    "open": ("open a service in the browser", _add_open),
    "name": ("give a service a name of yours, on this computer only", _add_name),
    "forget": ("forget a name that you gave", _add_forget),
    "lan": ("what the local network offers", _add_json),
    "status": ("services, sessions and the paths they use", _add_json),
    "relay": ("the relay that this node is, and those by which it is reached", _add_relay),
    "key": ("print the key by which a host knows this visitor, or a relay this node", _add_key),
    "gateway": ("users of the gateway, and keys for scrapers", _add_gateway),
    "fileserver": ("serve a directory on this machine, without any tunnel", _add_fileserver),
    "nc": ("connect stdin and stdout with a service: ssh -o ProxyCommand='hardline nc LABEL'", _add_nc),
    "forward": ("lead a port of this computer to a service, until Ctrl-C", _add_forward),
    "pac": ("print the proxy file for programs that do not know *.localhost", _add_pac),
    "version": ("print the version", lambda parser: None),
    "help": ("explain a command", _add_help),
}


def _port(text: str, least: int = 0) -> int:
    if not text.isascii() or not text.isdigit() or not least <= int(text[:9]) <= 65_535:
        raise argparse.ArgumentTypeError(f"port is {text[:60]!r}, expected a number from {least} to 65535")
    return int(text)


def _local_port(text: str) -> int:
    return _port(text, least=1)


def _label(text: str) -> Label:
    from hardline.errors import HardlineError
    from hardline.identity import label_of

    try:
        return label_of(text)
    except HardlineError as failure:
        raise argparse.ArgumentTypeError(failure.message) from None


def _host_name(text: str) -> str:
    from hardline.http.hosts import is_name

    if not is_name(text):
        raise argparse.ArgumentTypeError(f"name is {text[:60]!r}, expected a host name without port, such as nas.lan")
    return text


def _ask(options: argparse.Namespace, do: str, **arguments: object) -> Any:
    from hardline.asking import ask

    return ask(_datadir(options), do, **arguments)


def _datadir(options: argparse.Namespace) -> Path:
    from pathlib import Path

    from hardline.places import default_places

    named: str | None = getattr(options, "datadir", None)
    return Path(named) if named else default_places().datadir


def _help(parser: argparse.ArgumentParser, about: str | None) -> None:
    if about is None:
        parser.print_help()
    else:
        parser.parse_args([about, "--help"])  # which ends the program


def _show(options: argparse.Namespace) -> None:
    whole: Any = _ask(options, "lan" if options.command == "lan" else "status")
    from hardline import tables
    from hardline.errors import ConfigError

    if options.command != "lan" and (version := whole.get("version")) != __version__:
        _talk(f"the hardlined that runs is version {version}, this is {__version__}: {_RESTART}")
    try:
        match options.command:
            case "status":
                lines = tables.status_lines(whole)
            case "lan":
                lines = tables.offer_lines(whole)
            case "relay":
                lines, whole = tables.relay_lines(whole), whole["relays"]
            case _:
                status, offers = whole, _ask(options, "lan")
                whole = tables.ls_blocks(status, offers)
                lines = tables.ls_lines(whole, status["sessions"], time.time())
        told = [] if options.json else list(lines)
    except KeyError as missing:
        raise ConfigError(f"{_ANOTHER_VERSION}: it does not tell {missing}", hint=_RESTART) from None
    if options.json:
        import json

        write(json.dumps(whole, indent=2))
        return
    for line in told:
        write(line)


def _remove(options: argparse.Namespace) -> None:
    from hardline.showable import plain

    removed = _ask(options, "remove", name=options.name)
    write(f"removed {plain(removed['name'])}; its certificate stays: share the same again, and its URL comes back")


def _change(options: argparse.Namespace) -> None:
    from hardline.showable import plain
    from hardline.target import read_target, refuse_everything

    if options.command != "change":
        changed = _ask(options, "change", name=options.name, paused=options.command == "pause")
        write(changed["url"])
        _talk(f"{plain(changed['name'])} is {'paused' if options.command == 'pause' else 'served'}")
        return
    target = read_target(options.target) if options.target is not None else None
    if target is not None and target.startswith("/") and not options.yes:
        refuse_everything(target)
    title: str | None = options.title
    asked = {"title": title and title[:_LONGEST_TITLE], "listed": options.listed, "invited": options.invited}
    changed = _ask(options, "change", name=options.name, target=target, **asked)
    write(changed["url"])
    _talk(f"{plain(changed['name'])}: {plain(changed['title'])} → {plain(changed['target'])}")


def _ping(options: argparse.Namespace) -> int:
    from hardline import tables

    failed = 0
    for number in range(options.count):
        if number:
            time.sleep(1)
        answer = _ask(options, "ping", what=options.what)
        failed += "failure" in answer
        if options.json:
            import json

            write(json.dumps(answer))
        else:
            for line in tables.ping_lines(options.what, answer):
                write(line)
        sys.stdout.flush()
    return _NOT_REACHABLE if failed == options.count else 0


def _invite(options: argparse.Namespace) -> None:
    from hardline.showable import plain

    made = _ask(options, "invite", name=options.name, who=options.to, days=options.expires)
    write(made["link"])
    until = time.strftime("%Y-%m-%d %H:%M", time.localtime(made["until"]))
    _talk(f"for {plain(made['who'])}, one computer, until {until}: send the link, and how to get hardline with it")
    _talk("whoever opens it first is let in; hardline who  shows it, hardline revoke  takes it back")


def _accept(options: argparse.Namespace) -> None:
    from hardline.showable import plain

    link = options.link if options.link is not None else _line_of_stdin()
    accepted = _ask(options, "accept", link=link)
    write(accepted["url"])
    if accepted["waits"] is not None:
        _talk(f"accepted; it takes effect when its host can be reached: {plain(accepted['waits'])}")
    else:
        _talk(f"let in: {plain(accepted['title']) or '(untitled)'}; every user of this computer can open it")


def _line_of_stdin() -> str:
    if sys.stdin is None:  # it was closed
        return ""
    if sys.stdin.isatty():
        _talk("paste the link:")
    return sys.stdin.buffer.readline(_LONGEST_LINE).decode("utf-8", "replace").strip()


def _who_may(options: argparse.Namespace) -> None:
    from hardline import tables

    told = _ask(options, "who", name=options.name)
    if options.json:
        import json

        write(json.dumps(told, indent=2))
        return
    for line in tables.who_lines(told, _ask(options, "status")["sessions"], time.time()):
        write(line)


def _revoke(options: argparse.Namespace) -> None:
    from hardline.showable import plain

    gone = _ask(options, "revoke", name=options.name, who=options.who)
    for row in gone:
        _talk(f"{plain(row['who']) or row['key_hash'][:8]} may not visit any more")
    if not gone:
        _talk("the invitation is withdrawn")


def _open(options: argparse.Namespace) -> None:
    if options.what is None:
        url = told = _own_page(_ask(options, "status"))
    else:
        match = _ask(options, "find", what=options.what)
        url = told = match["url"]
        _talk(_who(match))
        if match["how"] == "named":
            # Every user of this computer sees what programs are started with, and a name is nobody's right to visit.
            told = f"http://{match['name']}.localhost:{url.rstrip('/').rpartition(':')[2]}/"
    if options.print or not _browse(told):
        write(url)


def _own_page(status: Any) -> str:
    from hardline.errors import ConfigError

    if not (doors := status["node"]["door"]):
        raise ConfigError("the daemon has no door", hint="set [Node] localport")
    return f"http://localhost:{doors[0].rpartition(':')[2]}/"


def _browse(url: str) -> bool:
    """Have the user's browser show `url`; False where there is none, or none but one of this terminal."""
    import webbrowser

    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return False
    # A plain GenericBrowser runs in this terminal; xdg-open and its kind are BackgroundBrowsers.
    in_terminal = type(browser) is webbrowser.GenericBrowser and not os.environ.get("BROWSER")
    return not in_terminal and browser.open(url)


def _who(match: Any) -> str:
    from hardline.showable import plain

    called = match["name"] or plain(match["title"]) or "(untitled)"
    return f"{called}, {plain(match['how'])}: {match['key_hash'][:4]}…{match['key_hash'][-4:]}"


def _name(options: argparse.Namespace) -> None:
    match = _ask(options, "name", what=options.what, name=options.name)
    write(match["url"])
    _talk(
        f"on this computer it is {match['name']} now: http://{match['name']}.localhost:{match['url'].rpartition(':')[2]}"
    )


def _forget(options: argparse.Namespace) -> None:
    _ask(options, "forget", name=options.name)
    _talk(f"nothing is called {options.name.lower()} any more")


def _show_key(options: argparse.Namespace) -> None:
    if options.address is None:
        write(_ask(options, "status")["node"]["key_hash"])
        _talk("the owner of a relay pastes it there: [Relay] allow in hardline.ini")
        return
    write(_ask(options, "key", address=options.address)["key"])
    _talk("whoever shares the service pastes it into NAME.ini.clients there, with clients = invited in NAME.ini")


def _gateway(options: argparse.Namespace) -> None:
    from hardline.gateway import commands

    match options.do, getattr(options, "act", ""):
        case "user", _:
            commands.add_user(options.name, _talk)
        case _, "add":
            begins, ends = getattr(options, "from"), options.until
            commands.add_key(_datadir(options), options.name, begins, ends, options.service, _talk)
        case _, "list":
            commands.list_keys(_datadir(options), _talk, as_json=options.json)
        case _:
            commands.remove_key(_datadir(options), options.name, _talk)


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
        _talk("restart hardlined to be registered there")
    with contextlib.suppress(HardlineError):
        node = certificates.load(_datadir(options) / "node.cert").key_hash
        _talk(f"the relay's owner has to allow this node: in hardline.ini there, [Relay] allow = {node}")


def _share(options: argparse.Namespace) -> None:
    from hardline.showable import plain
    from hardline.target import read_target, refuse_everything

    target = read_target(options.target)
    if target.startswith("/") and not options.yes:
        refuse_everything(target)
    title: str | None = options.title
    shared = _ask(
        options,
        "share_for_fewer" if options.unlisted or options.invited else "share",
        target=target,
        name=options.name,
        title=title and title[:_LONGEST_TITLE],
        listed=not options.unlisted,
        invited=options.invited,
    )
    write(shared["url"])
    if not shared.keys() >= {"name", "title", "target", "file"}:
        _talk(f"{_ANOTHER_VERSION}: {_RESTART}")
        return
    how = "shared already" if shared.get("already") else "shared again" if shared.get("back") else "shared"
    _talk(f"{how} as {plain(shared['name'])}: {plain(shared['title'])} → {plain(shared['target'])}")
    if title and plain(shared["title"]) != plain(title):
        if how != "shared":
            _talk(f"its title stays as it was; to change it, edit {plain(shared['file'])}")
        elif len(shared["title"]) < len(title):
            _talk(f"its title has {len(shared['title'])} of {len(title)} characters: the rest cannot be shown")
        else:
            _talk("some characters of its title cannot be shown")
    if not shared.get("lists", True):
        _talk(f"what is in its directories is not shown; to change it, allowListing = yes in {plain(shared['file'])}")


def _talk(text: str) -> None:
    terminal.say("hardline", text)


def _serve_directory(options: argparse.Namespace) -> None:
    import asyncio  # only here: they take a while to load
    from pathlib import Path

    from hardline.cache.fileserver import serve_directory
    from hardline.target import refuse_everything

    if not options.yes:
        refuse_everything(os.path.realpath(options.directory))
    root = Path(options.directory).absolute()
    asyncio.run(
        serve_directory(
            root,
            options.bind,
            options.port,
            _own_files(options),
            allow_listing=not options.no_listing,
            hidden=options.hidden,
            names=options.name,
            ready=lambda url: _tell_url(options.directory, url),
        )
    )


def _connect(options: argparse.Namespace) -> None:
    found = _ask(options, "door", address=options.label)  # which knows labels, too: ssh waits for all that is loaded
    from hardline.netcat import connect

    connect(found["door"], found["host"])


def _forward(options: argparse.Namespace) -> None:
    from hardline.asking import follow
    from hardline.errors import HardlineError
    from hardline.showable import plain

    asked = {"address": str(options.label), "port": options.port, "pages": options.pages}
    with contextlib.closing(follow(_datadir(options), "forward", **asked)) as news:
        write(next(news)["listen"])
        sys.stdout.flush()
        _talk("leads there until Ctrl-C; every program of this computer can connect")
        for one in news:
            _talk(plain(str(one)))
    raise HardlineError("the hardlined has ended, and the port with it", hint="start it, and this command again")


def _write_proxy_file(options: argparse.Namespace) -> None:
    """From a file, never from the door: while no daemon runs, another user of the machine can answer at its port."""
    from pathlib import Path

    from hardline.door import pac
    from hardline.errors import ConfigError
    from hardline.files import hint_for, why

    script = pac.script(f"127.0.0.1:{options.localport}")
    if options.file is None:
        write(script.removesuffix("\n"))
        return
    file = Path(options.file)
    try:
        file.write_text(script, encoding="ascii")
    except OSError as failure:
        raise ConfigError(why(failure), file=str(file), hint=hint_for(failure) or "choose another place") from None
    write(file.absolute().as_uri())


def _own_files(options: argparse.Namespace) -> OwnFiles:
    """What is shown to nobody: the files of the node that runs here, else of the one that its settings describe."""
    from pathlib import Path

    from hardline.cache.own import OwnFiles
    from hardline.errors import HardlineError
    from hardline.places import Places, default_places
    from hardline.settings.directory import certificate_files, read_ini
    from hardline.settings.node import parse_node

    places = Places(Path(os.devnull), Path(os.devnull))  # of who has no home, and so no node
    with contextlib.suppress(HardlineError, OSError):
        places = default_places()
        if places.config is not None:
            node = parse_node(read_ini(places.config), str(places.config)).node
            places = places._replace(
                servicedir=node.servicedir or places.servicedir, datadir=node.datadir or places.datadir
            )
    with contextlib.suppress(HardlineError, OSError):
        running = _ask(options, "status")["node"]
        places = places._replace(servicedir=Path(running["servicedir"]), datadir=Path(running["datadir"]))
    own = OwnFiles(places.servicedir, places.datadir)
    own.also([*certificate_files(places.servicedir), *filter(None, [places.config])])
    return own


def _tell_url(directory: str, url: str) -> None:
    from hardline.showable import plain

    write(f"serving {plain(directory)} at {url}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
