"""Sharing a service, changing it, and sharing it no more."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from math import inf
from typing import Any

from hardline.cli.daemon import ANOTHER_VERSION, RESTART, ask, follow, talk, write_told
from hardline.terminal import write

_LONGEST_TITLE = 800  # characters that the daemon looks at; what it keeps of them is its own to say


def run(options: argparse.Namespace) -> int:
    """Run one of these; returns its exit code."""
    match options.command:
        case "share":
            from hardline.cli.becoming import or_become

            return or_become(options, lambda: _share(options))
        case "remove":
            _remove(options)
        case _:
            _change(options)
    return 0


def _share(options: argparse.Namespace) -> None:
    from hardline.target import read_target, refuse_everything

    target = read_target(options.target)
    if target.startswith("/") and not options.yes:
        refuse_everything(target, hidden=options.hidden)
    title: str | None = options.title
    asked = {
        "target": target,
        "name": options.name,
        "title": title and title[:_LONGEST_TITLE],
        "listed": not options.unlisted,
        "invited": options.invited,
        "seconds": options.seconds,
        "hidden": options.hidden,
        "uploads": options.uploads,
        "host": options.host,
    }
    if options.once:
        _share_once(options, asked)
        return
    fewer = options.unlisted or options.invited
    do = "share_until" if options.seconds or options.uploads else "share_for_fewer" if fewer else "share"
    _tell(options, ask(options, do, **asked))


def _share_once(options: argparse.Namespace, asked: dict[str, Any]) -> None:
    from hardline.errors import HardlineError
    from hardline.showable import plain

    with contextlib.closing(follow(options, "share_once", **asked)) as news:
        _tell(options, next(news))
        sys.stdout.flush()
        talk("it ends with this command: Ctrl-C")
        for one in news:
            raise HardlineError(plain(str(one)))
    raise HardlineError("the hardlined has ended, and the service with it", hint="start it, and this command again")


def _tell(options: argparse.Namespace, shared: Any) -> None:
    from hardline.showable import plain

    title: str | None = options.title
    write_told(shared["url"])
    if not shared.keys() >= {"name", "title", "target", "file"}:
        talk(f"{ANOTHER_VERSION}: {RESTART}")
        return
    how = "shared already" if shared.get("already") else "shared again" if shared.get("back") else "shared"
    from hardline.backup.files import MADE
    from hardline.tables import share_lines

    status = ask(options, "status")
    for line in share_lines(shared, status, how):
        talk(line)
    kept = status["node"]["datadir"]
    if os.access(kept, os.X_OK) and not os.path.exists(os.path.join(kept, MADE)):
        talk("  keep a copy of its key: hardline backup FILE")
    if title and plain(shared["title"]) != plain(title):
        if how != "shared":
            talk(f"its title stays as it was; to change it: hardline change {plain(shared['name'])} --title …")
        elif len(shared["title"]) < len(title):
            talk(f"its title has {len(shared['title'])} of {len(title)} characters: the rest cannot be shown")
        else:
            talk("some characters of its title cannot be shown")
    if not shared.get("lists", True):
        talk(f"what is in its directories is not shown; to change it, allowListing = yes in {plain(shared['file'])}")


def _change(options: argparse.Namespace) -> None:
    from hardline.showable import plain
    from hardline.target import read_target, refuse_everything

    if options.command != "change":
        changed = ask(options, "change", name=options.name, paused=options.command == "pause")
        write_told(changed["url"])
        talk(f"{plain(changed['name'])} is {'paused' if options.command == 'pause' else 'served'}")
        return
    target = read_target(options.target) if options.target is not None else None
    if target is not None and target.startswith("/") and not options.yes:
        refuse_everything(target)
    title: str | None = options.title
    asked = {"title": title and title[:_LONGEST_TITLE], "listed": options.listed, "invited": options.invited}
    if options.seconds is not None:
        asked |= {"forever": True} if options.seconds == inf else {"seconds": options.seconds}
    do = "change" if options.seconds is None else "change_until"
    changed = ask(options, do, name=options.name, target=target, **asked)
    write_told(changed["url"])
    if title and plain(changed["title"]) != plain(title):
        talk("some characters of its title cannot be shown")
    from hardline.tables import change_lines

    for line in change_lines(changed):
        talk(line)


def _remove(options: argparse.Namespace) -> None:
    from hardline.showable import plain

    removed = ask(options, "remove", name=options.name, forget_url=options.forget_url)
    name = plain(removed["name"])
    if options.forget_url and not removed.get("forgotten"):
        talk(f"its URL may come back: {ANOTHER_VERSION}, {RESTART}")
    if removed.get("forgotten"):
        write(f"removed {name} and its key: its URL is nobody's any more")
    else:
        write(f"removed {name}; its certificate stays: share the same again, and its URL comes back")
