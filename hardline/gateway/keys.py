"""Keys for programs that collect what services have (scrapers): the lines of their file, and their time; without I/O.

    # name   hash of the key   from                 until                services; none: all that are listed
    photos   8f1c…e0           2026-11-30T08:00:00Z 2026-12-30T08:00:00Z nas,pile

A key has 256 random bits, so its bare BLAKE2b can be kept: there is nothing to guess, and what is kept is no key.  It
holds for 30 days at most, however the file came to say more.  A line that cannot be read lets nobody in, and keeps
nobody else out.  Source: docs/GATEWAY.md; RFC 7693.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from hardline.settings.units import DAY

LONGEST = 30 * DAY  # seconds that a key may hold
MAX_KEYS = 200
MAX_TEXT = 256  # bytes of what a client may say is its key

NEGATIVE, TOO_LONG, NOT_YET, EXPIRED = "negative", "too-long", "not-yet-valid", "expired"
_SENTENCES = {
    NEGATIVE: "it ends before it begins",
    TOO_LONG: f"it would hold for more than {LONGEST // DAY} days",
    NOT_YET: "it is not valid yet",
    EXPIRED: "it has expired",
}

_MAX_NOTES = 5
_LINE_END = re.compile(r"\r\n?|\n")
_NAME = re.compile(r"[A-Za-z0-9._@+-]{1,64}\Z")
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_SERVICES = re.compile(r"[a-z0-9-]{1,63}(?:,[a-z0-9-]{1,63})*\Z")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z\Z")
_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True)
class Key:
    """A line: `since` and `until` are seconds since 1970; `services` () for all that are listed and want no user."""

    name: str
    digest: str
    since: int
    until: int
    services: tuple[str, ...] = ()

    def refused(self, now: float) -> str:
        """Why it does not hold now, NEGATIVE, TOO_LONG, NOT_YET or EXPIRED; "" where it does."""
        if self.until <= self.since:
            return NEGATIVE
        if self.until - self.since > LONGEST:
            return TOO_LONG
        if now < self.since:
            return NOT_YET
        return EXPIRED if now >= self.until else ""


@dataclass(frozen=True, slots=True)
class Keys:
    """Those of a file, and what is wrong with it."""

    all: tuple[Key, ...] = ()
    notes: tuple[str, ...] = ()

    def find(self, said: str) -> Key | None:
        """Whose key a client says, in the same time whatever it is."""
        digest, found = digest_of(said), None
        for key in self.all:
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found


def is_key_name(text: str) -> bool:
    """Whether a key can be called so."""
    return _NAME.match(text) is not None


def sentence(refused: str) -> str:
    """What `Key.refused` says, for people."""
    return _SENTENCES[refused]


def digest_of(key: str) -> str:
    """What is kept of a key."""
    return hashlib.blake2b(key.encode("utf-8", "replace"), digest_size=32).hexdigest()


def parse_keys(text: str, name: str) -> Keys:
    """Read the file `name`."""
    found, notes = dict[str, Key](), list[str]()
    for number, line in enumerate(_LINE_END.split(text), 1):
        words = line.split(maxsplit=5)
        if not words or words[0].startswith("#"):
            continue
        if len(found) == MAX_KEYS:
            notes.append(f"{name}:{number}: more than {MAX_KEYS} keys; those from here on are not read")
            break
        key = _key(words)
        if key is None or key.name in found:
            notes.append(f"{name}:{number}: " + ("no key" if key is None else "a second key of this name"))
            continue
        found[key.name] = key
    if len(notes) > _MAX_NOTES:
        notes[_MAX_NOTES:] = [f"{name}: and {len(notes) - _MAX_NOTES} more lines like these"]
    return Keys(tuple(found.values()), tuple(notes))


def line_of(key: Key) -> str:
    """The line that `parse_keys` reads as `key`."""
    words = (key.name, key.digest, moment(key.since), moment(key.until), ",".join(key.services))
    return " ".join(words).rstrip()


def without(text: str, name: str) -> str:
    """A file without the lines of the key `name`, all else as it is."""
    return "".join(line for line in text.splitlines(keepends=True) if line.split(maxsplit=1)[:1] != [name])


def moment(seconds: float) -> str:
    """A time as the file has it, in UTC."""
    return f"{datetime.fromtimestamp(int(seconds), UTC).replace(tzinfo=None).isoformat()}Z"


def _key(words: Sequence[str]) -> Key | None:
    if not (4 <= len(words) <= 5 and _NAME.match(words[0]) and _DIGEST.match(words[1])):
        return None
    if len(words) == 5 and not _SERVICES.match(words[4]):
        return None
    try:
        since, until = map(_seconds, words[2:4])
    except ValueError:
        return None
    return Key(words[0], words[1], since, until, tuple(words[4].split(",")) if len(words) == 5 else ())


def _seconds(text: str) -> int:
    if not _MOMENT.match(text):
        raise ValueError(text)
    return int(datetime.strptime(text, _FORMAT).replace(tzinfo=UTC).timestamp())
