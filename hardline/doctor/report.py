"""What `hardline doctor --report` writes, without I/O: the rows, without what only their owner may know.

bb89bb33…2ec3, password-bb89bb33…2ec3   bb89…2ec3        a key hash is the right to visit
/home/ada/photos                        ~/photos
84.112.9.14, 2a02:8109:9a80::7          84.112.9.x, 2a02:8109:9a80::x      the network, not the computer
titles, names, users, this computer     <service 1>, <user 1> …            as `Hidden` has them
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence

from hardline.addresses import Kind, kind_of, parse
from hardline.doctor.rows import Row

_KEY = re.compile(r"(?:[a-z0-9_~!$&'()*+,;=]{1,23}-)?(?<![0-9a-f])([0-9a-f]{40})(?![0-9a-f])", re.IGNORECASE)
_HOME = re.compile(r"(?:/(?:home|Users|export/home)/[^/\s:]+|/root)(?=[/\s:]|\Z)")
_ADDRESS_4 = re.compile(r"(?<![\d.])(\d{1,3}(?:\.\d{1,3}){3})(?![\d.])")
_ADDRESS_6 = re.compile(r"(?<![0-9a-fA-F:.])((?:[0-9a-fA-F]{0,4}:){2,7}[0-9a-fA-F]{0,4})(?![0-9a-fA-F:])")
_SHORTEST = 2  # letters of a word that is hidden: in place of one letter everything would be


class Hidden:
    """Words that are replaced, each by the same number everywhere."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def hide(self, text: str, words: Iterable[str]) -> str:
        """The text without these `words`: the longest first, each only where it stands alone."""
        wanted = sorted({word for word in words if len(word) >= _SHORTEST}, key=len, reverse=True)
        for word in wanted:
            self._numbers.setdefault(word, len(self._numbers) + 1)
        if not wanted:
            return text
        pattern = "|".join(rf"(?<!\w){re.escape(word)}(?!\w)" for word in wanted)
        return re.sub(pattern, lambda found: f"<name {self._numbers[found[0]]}>", text)


def without_secrets(text: str, private: Iterable[str] = (), hidden: Hidden | None = None) -> str:
    """One line of it."""
    text = _KEY.sub(lambda found: f"{found[1][:4]}…{found[1][-4:]}", text)
    text = (hidden or Hidden()).hide(_HOME.sub("~", text), private)
    return _ADDRESS_6.sub(_network_6, _ADDRESS_4.sub(_network_4, text))


def _network_4(found: re.Match[str]) -> str:
    address = parse(found[1])
    if address is None or kind_of(address) is not Kind.PUBLIC:
        return found[0]
    return f"{found[1].rpartition('.')[0]}.x"


def _network_6(found: re.Match[str]) -> str:
    address = parse(found[1])
    if not isinstance(address, ipaddress.IPv6Address) or kind_of(address) is not Kind.PUBLIC:
        return found[0]
    groups = address.exploded.split(":")[:3]
    return ":".join(group.lstrip("0") or "0" for group in groups) + "::x"


def report(about: Sequence[tuple[str, str]], rows: Sequence[Row]) -> str:
    """The whole text; `about` is what stands at its top."""
    lines, hidden = [without_secrets(f"{name}: {value}") for name, value in about], Hidden()
    lines.append("")
    for row in rows:
        took = "" if row.took_s is None else f"  ({row.took_s:.1f} s)"
        sentence, do = (without_secrets(one, row.private, hidden) for one in (row.sentence, row.do))
        lines.append(f"{row.state:<11}  {row.check}: {sentence}{took}")
        if do:
            lines.append(f"{'':<11}  → {do}")
    return "".join(f"{line}\n" for line in lines)
