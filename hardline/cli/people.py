"""Who may visit: invitations given and accepted, lists, and the way out."""

from __future__ import annotations

import argparse
import time

from hardline.cli.daemon import ask, talk, write_told
from hardline.terminal import is_asked, is_watched, line_of_stdin, write

_LONGEST_LINE = 4096


def run(options: argparse.Namespace) -> None:
    """Run one of these."""
    match options.command:
        case "invite":
            _invite(options)
        case "accept":
            _accept(options)
        case "who":
            _who_may(options)
        case _:
            _revoke(options)


def _invite(options: argparse.Namespace) -> None:
    from hardline.showable import plain

    made = ask(options, "invite", name=options.name, who=options.to, days=options.expires)
    if is_watched():  # to be pasted as it is
        title = plain(made["title"]) or plain(made["name"])
        write(f"I share {title} with you by hardline, a program that opens it in your browser, without any account.")
        write("To install it: pipx install hardline-tunnel, then: hardline service install")
        write("Then open on that computer: " + plain(made["link"]))
    else:
        write_told(made["link"])
    until = time.strftime("%Y-%m-%d %H:%M", time.localtime(made["until"]))
    talk(f"for {plain(made['who'])}, one computer, until {until}: send it to nobody else")
    talk("whoever opens it first is let in; hardline who  shows it, hardline revoke  takes it back")


def _accept(options: argparse.Namespace) -> None:
    from hardline.showable import plain

    link = options.link if options.link is not None else _line_of_stdin()
    accepted = ask(options, "accept", link=link)
    write_told(accepted["url"])
    if accepted["waits"] is not None:
        talk(f"accepted; it takes effect when its host can be reached: {plain(accepted['waits'])}")
    else:
        talk(f"let in: {plain(accepted['title']) or '(untitled)'}; every user of this computer can open it")


def _line_of_stdin() -> str:
    from hardline.showable import plain

    if is_asked():
        talk("paste the link:")
    return plain(line_of_stdin(_LONGEST_LINE)).strip()


def _who_may(options: argparse.Namespace) -> None:
    from hardline import tables

    told = ask(options, "who", name=options.name)
    if options.json:
        import json

        write(json.dumps(told, indent=2))
        return
    for line in tables.who_lines(told, ask(options, "status")["sessions"], time.time()):
        write(line)


def _revoke(options: argparse.Namespace) -> None:
    from hardline.showable import plain

    gone = ask(options, "revoke", name=options.name, who=options.who)
    told = ask(options, "who", name=options.name)
    no_more = "may not visit any more" if told["for_invited"] else "is on its list no more"
    for row in gone:
        talk(f"{plain(row['who']) or row['key_hash'][:8]} {no_more}")
    if gone and not told["for_invited"]:
        name = plain(told["name"])
        talk(f"everybody who has the address of {name} may still visit it: hardline change {name} --invited  ends that")
    if not gone:
        talk("the invitation is withdrawn")
