"""`hardline gateway`: lines of users, keys for scrapers.

hardline gateway user anna
hardline gateway key add photos --until 7d --service nas
hardline gateway key list
hardline gateway key remove photos
"""

from __future__ import annotations

import getpass
import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from hardline.errors import WrongArgument
from hardline.gateway import keyfile
from hardline.gateway.keys import EXPIRED, LONGEST, NOT_YET, Key, is_key_name, moment, sentence
from hardline.gateway.users import LONGEST as LONGEST_PASSWORD
from hardline.gateway.users import hashed
from hardline.settings.gateway import is_name, is_user_name
from hardline.settings.units import Unreadable, parse_duration
from hardline.terminal import is_asked, line_of_stdin, write

Talk = Callable[[str], None]  # tells whoever typed it what is no result


def add_user(name: str, talk: Talk) -> None:
    """Ask for a password, or read it from stdin, and print the line for the settings."""
    if not is_user_name(name):
        raise WrongArgument("a user's name has 1 to 64 letters, digits and . _ @ + -")
    asked = is_asked()
    password = getpass.getpass("password: ") if asked else line_of_stdin(LONGEST_PASSWORD + 2)
    try:
        size = len(password.encode())
    except UnicodeEncodeError:
        raise WrongArgument("this password is no text in UTF-8, which is what browsers send") from None
    if not 1 <= size <= LONGEST_PASSWORD:
        raise WrongArgument(f"a password has 1 to {LONGEST_PASSWORD} bytes")
    if asked and getpass.getpass("again: ") != password:
        raise WrongArgument("the two passwords differ")
    write(f"{name}:{hashed(password)}")
    talk("goes into hardline.ini of the gateway: [Gateway:NAME] users = …, several with commas between them")


def add_key(datadir: Path, name: str, begins: str, ends: str, services: Sequence[str], talk: Talk) -> None:
    """Make a key and print it."""
    if not is_key_name(name):
        raise WrongArgument("a key's name has 1 to 64 letters, digits and . _ @ + -")
    if wrong := next((one for one in services if not is_name(one)), None):
        raise WrongArgument(f"{wrong[:60]!r} is no NAME of a [Gateway:NAME]")
    now = time.time()
    since = read_moment("--from", begins, now)
    until = read_moment("--until", ends, since)
    key = Key(name, "", since, until, tuple(dict.fromkeys(services)))
    refused = key.refused(now)
    if refused and refused != NOT_YET:
        hint = "it is --from a moment --until a later one" if refused != EXPIRED else "give an --until that is to come"
        raise WrongArgument(f"no such key: {sentence(refused)} ({moment(since)} to {moment(until)})", hint=hint)
    write(keyfile.add(datadir, name, since, until, key.services))
    talk(
        f"send it as X-ApiKey, from {moment(since)} to {moment(until)}; only its hash is kept, so it is not shown again"
    )


def list_keys(datadir: Path, talk: Talk, *, as_json: bool) -> None:
    """Print which there are."""
    keys, now = keyfile.read(datadir), time.time()
    for note in keys.notes:
        talk(note)
    if as_json:
        rows = [
            {
                "name": key.name,
                "from": moment(key.since),
                "until": moment(key.until),
                "services": list(key.services) or None,
                "refused": key.refused(now) or None,
            }
            for key in keys.all
        ]
        write(json.dumps(rows, indent=2))
        return
    for key in keys.all:
        refused = key.refused(now)
        state = sentence(refused) if refused else "valid"
        whose = ", ".join(key.services) or "all that are listed"
        write(f"{key.name}  {moment(key.since)} to {moment(key.until)}  {whose}  {state}")
    if not keys.all:
        talk("there is none: the gateway serves no scrapers")


def remove_key(datadir: Path, name: str, talk: Talk) -> None:
    """Let it be none."""
    keyfile.remove(datadir, name)
    write(f"removed {name}")
    talk("what it was used for is cut within seconds")


def read_moment(option: str, text: str, start: float) -> int:
    """Seconds since 1970: of a date, with a time or without, here where it names no zone; or so long after `start`."""
    try:
        return int(start + parse_duration(text))
    except Unreadable:
        pass
    try:
        found = datetime.fromisoformat(text)
        seconds = found.astimezone(UTC).timestamp()
    except (ValueError, OverflowError, OSError):
        seconds = -1.0
    if not 0 <= seconds < 253_370_764_800:  # the year 9999
        expected = f"a duration such as 12h or {LONGEST // 86_400}d, a date, or 2026-12-24T18:00Z"
        raise WrongArgument(f"{option} is {text[:60]!r}, expected {expected}")
    return int(seconds)
