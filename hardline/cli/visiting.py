"""Services of others: names for them, whether they answer, and ways to them for browsers and other programs."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from typing import Any

from hardline.cli.daemon import ask, follow, talk, write_told
from hardline.terminal import write

_NOT_REACHABLE = 4


def run(options: argparse.Namespace) -> int:
    """Run one of these; returns its exit code."""
    match options.command:
        case "ping":
            return _ping(options)
        case "open":
            from hardline.cli.becoming import or_become

            return or_become(options, lambda: _open_one(options))
        case "name":
            _name_one(options)
        case "forget":
            _forget(options)
        case "phone":
            _phone(options)
        case "nc":
            _connect(options)
        case "forward":
            _forward(options)
        case _:
            _write_proxy_file(options)
    return 0


def _ping(options: argparse.Namespace) -> int:
    from hardline import tables

    failed = 0
    for number in range(options.count):
        if number:
            time.sleep(1)
        answer = ask(options, "ping", what=options.what)
        failed += "failure" in answer
        if options.json:
            import json

            write(json.dumps(answer))
        else:
            for line in tables.ping_lines(options.what, answer):
                write(line)
        sys.stdout.flush()
    return _NOT_REACHABLE if failed == options.count else 0


def _open_one(options: argparse.Namespace) -> None:
    if options.revoke:
        count = ask(options, "revoke_pages")["revoked"]
        talk(f"{count} browser{'' if count == 1 else 's'} may not manage this node any more")
        return
    if options.what is None:
        opened = ask(options, "open_page")
        url, told = opened["url"], _as_uri(opened["file"])
        if not options.print:
            talk("for one browser, within a minute; for another one: hardline open --print")
    else:
        match = ask(options, "find", what=options.what)
        url = told = match["url"]
        talk(_who(match))
        if match["how"] == "named":
            # Every user of this computer sees what programs are started with, and a name is nobody's right to visit.
            told = f"http://{match['name']}.localhost:{url.rstrip('/').rpartition(':')[2]}/"
    if options.print or not told or not _browse(told):
        write_told(url)


def _as_uri(file: str | None) -> str:
    """The file that leads to the page: whose name the browser is started with, since all users see that."""
    from pathlib import Path

    return Path(file).as_uri() if file and os.access(file, os.R_OK) else ""


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


def _phone(options: argparse.Namespace) -> None:
    from hardline.showable import plain

    if options.stop:
        ask(options, "no_phone", what=options.what)
        talk("no phone gets in any more")
        return
    opened = ask(options, "phone", what=options.what, seconds=options.days * 86_400)
    shows, away = not options.no_code and sys.stdout.isatty(), opened.get("away", "")
    for url in opened["urls"]:
        write_told(url)
    if opened["urls"]:
        if shows:
            _show_code(opened["urls"][0])
        until = time.strftime("%H:%M", time.localtime(opened["until"]))
        talk(f"{plain(opened['title'] or 'it')} for phones of this network until {until}; --stop ends it before")
        talk("nothing is encrypted between phone and this computer, and camera and clipboard do not work there")
    if away:
        write_told(away)
        if shows:
            _show_code(away)
        talk("away from home, from anywhere and at any time: by the https address")
    elif advice := opened.get("advice", ""):
        talk(plain(advice))


def _show_code(url: str) -> None:
    import segno

    sys.stdout.flush()
    segno.make(url, error="m").terminal(out=sys.stdout, compact=True)


def _name_one(options: argparse.Namespace) -> None:
    match = ask(options, "name", what=options.what, name=options.name)
    write_told(match["url"])
    at = f"http://{match['name']}.localhost:{match['url'].rpartition(':')[2]}"
    talk(f"on this computer it is {match['name']} now: {at}")


def _forget(options: argparse.Namespace) -> None:
    ask(options, "forget", name=options.name)
    talk(f"nothing is called {options.name.lower()} any more")


def _connect(options: argparse.Namespace) -> None:
    found = ask(options, "door", address=options.label)  # which knows labels, too: ssh waits for all that is loaded
    from hardline import netcat

    (netcat.hand_over if options.fdpass else netcat.connect)(found["door"], found["host"])


def _forward(options: argparse.Namespace) -> None:
    from hardline.errors import HardlineError
    from hardline.showable import plain

    asked = {"address": options.label, "port": options.port, "pages": options.pages}
    with contextlib.closing(follow(options, "forward", **asked)) as news:
        write_told(next(news)["listen"])
        sys.stdout.flush()
        talk("leads there until Ctrl-C; every program of this computer can connect")
        for one in news:
            talk(plain(str(one)))
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
