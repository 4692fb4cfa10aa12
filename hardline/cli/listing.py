"""`hardline ls`: what is shared here, what the network offers, who is known; once, or as it changes.

On a terminal each row is one line of it, and an address is cut where it does not fit; in a pipe everything is whole.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

from hardline.cells import ago, fits, how_link, kind_of, short_key, table, when, where
from hardline.cli.daemon import ask, follow
from hardline.showable import plain
from hardline.tables import ls_blocks
from hardline.terminal import is_steered, styled, terminal_width, write

Rows = list[dict[str, Any]]

_LOOK_AGAIN = 5.0  # seconds: what others offer changes without a word
_ASKED_WHO = 20  # services whose visitors are named
_HOME_AND_CLEAR = "\x1b[H\x1b[2J\x1b[3J"


def watch(options: argparse.Namespace) -> None:
    """Show it, and anew whenever something is another, until Ctrl-C or the daemon ends."""
    from hardline.errors import HardlineError

    shown = ""
    with contextlib.closing(follow(options, "changes", every=_LOOK_AGAIN)) as news:
        for _ in news:
            now = read(options)
            if (text := "\n".join(lines(now, terminal_width()))) != shown and not options.json:
                write(f"{_HOME_AND_CLEAR}{text}" if is_steered(sys.stdout) else f"{text}\n")
            elif options.json and (text := _as_json(now, indent=None)) != shown:
                write(text)
            sys.stdout.flush()
            shown = text
    raise HardlineError("the hardlined has ended", hint="start it, and this command again")


def show(options: argparse.Namespace, status: dict[str, Any]) -> None:
    """Show it once; `status` is the daemon's.  Raises KeyError for what an earlier daemon does not tell."""
    now = read(options, status)
    told = [] if options.json else list(lines(now, terminal_width()))
    if options.json:
        write(_as_json(now))
    for line in told:
        write(line)


def read(options: argparse.Namespace, status: dict[str, Any] | None = None) -> dict[str, Any]:
    """What is shown: the blocks of --json, and the sessions."""
    status = ask(options, "status") if status is None else status
    shown = ls_blocks(status, ask(options, "lan", soon=True))
    for service in [row for row in shown["mine"] if row.get("for_invited")][:_ASKED_WHO]:
        service["invited"] = [row["who"] for row in ask(options, "who", name=service["name"])["let_in"]]
    return {**shown, "sessions": status["sessions"]}


def _as_json(now: dict[str, Any], indent: int | None = 2) -> str:
    import json

    return json.dumps({name: rows for name, rows in now.items() if name != "sessions"}, indent=indent)


def lines(now: dict[str, Any], width: int | None) -> Iterator[str]:
    """The lines of it for a terminal of `width` columns, None for a pipe."""
    sessions, clock = now["sessions"], time.time()
    yield styled("MINE")
    yield from _addressed([_mine(service, sessions) for service in now["mine"]], width)
    yield "\n" + styled("ON THIS NETWORK")
    yield from _addressed([_offer(each) for each in now["network"]], width)
    yield "\n" + styled("KNOWN")
    # Of several paths to one host the one that takes new visits.
    leading = sorted(sessions, key=lambda session: not session.get("draining"))
    warm = {session["key_hash"]: session for session in leading if session["role"] == "visiting"}
    yield from table([_known(peer, warm.get(peer["key_hash"]), clock) for peer in now["known"]], width)
    if now["links"]:
        yield "\n" + styled("LINKS")
        rows = [(plain(link["name"]), link["listen"] or "", how_link(link, clock)) for link in now["links"]]
        yield from table(rows, width)


def _addressed(rows: list[tuple[str, str, str, str]], width: int | None) -> Iterator[str]:
    """Rows whose last cell is a URL, or nothing."""
    if width is not None and not fits(rows, width):
        rows = [(*cells, _short(url)) for *cells, url in rows]  # type: ignore[misc]
    yield from table(rows, width)


def _short(url: str) -> str:
    return short_key(url.partition(".localhost")[0][-40:]) if url.startswith("http") else url


def _offer(offer: dict[str, Any]) -> tuple[str, str, str, str]:
    if offer["unlike"]:
        note = f"not the {plain(offer['unlike'])} you know"
    else:
        note = f"= {offer['name']}" if offer["name"] else ""
    return plain(offer["title"]) or "(untitled)", where(offer), note, offer["url"]


def _mine(service: dict[str, Any], sessions: Rows) -> tuple[str, str, str, str]:
    name = plain(service["name"]) or "(the directory)"
    if "url" not in service:
        return name, "", service["state"], plain(service["problem"] or "")
    visitors = sum(session["role"] == "hosting" and session["key_hash"] == _key_hash(service) for session in sessions)
    words = [] if service["state"] == "serving" else [service["state"]]
    words.append(_for_whom(service))
    if service.get("until") is not None:
        words.append(f"until {when(service['until'], time.time())}")
    if visitors:
        words.append(f"{visitors} visitor{'' if visitors == 1 else 's'}")
    words += [f"public at {plain(at)}" for at in service.get("public", ())]
    if service.get("not_public"):
        words.append("no public port everywhere" if service.get("public") else "no public port")
    if named := service.get("https"):
        words.append(f"https://{named['name']}" + ("" if named["state"] == "serving" else f" {named['state']}"))
    return name, _below_home(plain(service["target"])), ", ".join(words), service["url"]


def _for_whom(service: dict[str, Any]) -> str:
    if service.get("for_invited"):
        who = ", ".join(plain(one) or "somebody" for one in service.get("invited", ()))
        return f"invited: {who}" if who else "invited: nobody yet"
    return "listed" if service["listed"] else "not listed"


def _below_home(target: str) -> str:
    home = os.path.expanduser("~")
    return target.replace(f"{home}/", "~/", 1) if home != "/" else target


def _known(peer: dict[str, Any], warm: dict[str, Any] | None, now: float) -> tuple[str, str, str, str]:
    if warm is not None:
        trip = f" {1000 * warm['round_trip_s']:.0f} ms" if warm["round_trip_s"] else ""
        how = f"{kind_of(warm)}{trip}"
    else:
        how = f"seen {ago(now - peer['last_seen'])}" if peer["last_seen"] else "not visited yet"
    title = plain(peer["title"]) or "(untitled)"
    computer = f" on {plain(peer['host'])}" if peer["host"] else ""
    return peer["name"] or "", f"{title}{computer}", short_key(peer["key_hash"]), how


def _key_hash(service: dict[str, Any]) -> str:
    return str(service.get("label", "")).rpartition("-")[2]
