"""Where a request leads: by its Host, or by the beginning of its path; without I/O.

    Host: nas.example.org, /a                     ──▶ service nas, /a
    Host: example.org, /servers/nas/a             ──▶ service nas, /a, behind the prefix /servers/nas
    Host: example.org, /                          ──▶ the list
    Host: example.org, /scraper/v1/server/nas/files/a   ──▶ service nas, /a, for who has a key
    Host: some.where.else                         ──▶ Elsewhere: a name that somebody else pointed here

Every request is judged by its own Host, whatever its connection carried before.  A page of the internet whose name was
pointed at this computer (DNS rebinding) must not read what this network may: only names of the owner's are answered,
and addresses, which are nobody's name.  Source: RFC 9110, sections 7.2 and 15.5.20 (421).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from hardline.errors import HardlineError
from hardline.http.hosts import is_address

SERVERS, SCRAPER = "/servers/", "/scraper/"
_OF_A_SERVER, _FILES, _API = f"{SCRAPER}v1/server/", "files", "api/"
_MAX_HOST = 512
_HOST = re.compile(r"(?P<name>\[[0-9a-fA-F:.]+\]|[^\s:@/\\?#\[\],]+)(:[0-9]{0,5})?\Z")


class Elsewhere(HardlineError):
    """A host that is not ours to answer for (421)."""


@dataclass(frozen=True, slots=True)
class Place:
    """What a request is for: the service `name`, or a page of the gateway's own where that is "".

    `target` is the request's as that gets it, `prefix` what was taken from its beginning.  `scraper`: only with a key,
    and `name` is as the client says it: there may be no such service.
    """

    target: str
    name: str = ""
    prefix: str = ""
    scraper: bool = False


class Names:
    """The names of the services, below `domains` and behind SERVERS."""

    def __init__(self, names: Collection[str], domains: Sequence[str]) -> None:
        self._names, self._domains = frozenset(names), tuple(domains)

    def place(self, host: str, target: str) -> Place | None:
        """Where it leads; None where there is nothing.  Raises Elsewhere."""
        name = name_in(host)
        for domain in self._domains:
            if name == domain:
                return self._behind_prefix(target)
            if name.endswith(f".{domain}"):
                first = name[: -len(domain) - 1]
                return Place(target, first) if first in self._names else None
        if name != "localhost" and not is_address(name):
            raise Elsewhere("this host is none of this gateway's")
        return self._behind_prefix(target)

    def address(self, name: str, host: str) -> str:
        """Where a browser at `host` finds the service: a URL, or a path here where it has no host of its own."""
        at, colon, port = host.rpartition(":") if host.rpartition(":")[2].isdigit() else (host, "", "")
        at = at.lower().removesuffix(".")
        return f"//{name}.{at}{colon}{port}/" if at in self._domains else f"{SERVERS}{name}/"

    def _behind_prefix(self, target: str) -> Place | None:
        if target.startswith(SCRAPER):
            return _for_scrapers(target)
        if not target.startswith(SERVERS):
            return Place(target)
        name, slash, rest = target.removeprefix(SERVERS).partition("/")
        if name not in self._names:
            return None
        return Place(f"/{rest}" if slash else "", name, f"{SERVERS}{name}")


class OneService(Names):
    """A port of its own leads to the service `name` alone, for who asks for it by one of `hosts` ("*": any), by an
    address, or by a name that is this computer's in every browser."""

    def __init__(self, name: str, hosts: Collection[str]) -> None:
        super().__init__((name,), ())
        self._name, self._hosts = name, frozenset(hosts)

    def place(self, host: str, target: str) -> Place | None:
        """As Names.place."""
        asked = name_in(host)
        own = asked == "localhost" or asked.endswith(".localhost") or is_address(asked)
        if not own and not self._hosts & {asked, "*"}:
            raise Elsewhere(f"no link here is for this host ([Peer:{self._name}] hosts names those that it is for)")
        return Place(target, self._name)


def _for_scrapers(target: str) -> Place:
    name, _, rest = (
        target.removeprefix(_OF_A_SERVER).partition("/") if target.startswith(_OF_A_SERVER) else ("", "", "")
    )
    prefix = f"{_OF_A_SERVER}{name}"
    if rest == _FILES or rest.startswith(f"{_FILES}/"):
        return Place(rest.removeprefix(_FILES), name, f"{prefix}/{_FILES}", scraper=True)
    if rest.startswith(_API):
        return Place(f"/{rest}", name, prefix, scraper=True)
    return Place(target, scraper=True)


def name_in(host: str) -> str:
    """The name or address in a Host, in small letters.  Raises Elsewhere where there is none."""
    match = _HOST.match(host) if len(host) <= _MAX_HOST and host.isascii() and host.isprintable() else None
    if match is None:
        raise Elsewhere("the Host of this request is none")
    return match["name"].lower().removesuffix(".")
