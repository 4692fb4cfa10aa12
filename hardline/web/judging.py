"""Which requests reach the API at all, by their heads alone; without I/O.

    Origin, Sec-Fetch-Site      absent, or this very page's: else 403
    Content-Type                application/json for all that changes something: else 415
    Authorization               Bearer TOKEN: else 401; the token is judged by tokens.py

A page of another origin cannot name a JSON body or a bearer without asking first (CORS), and it is never answered then.
Whose Host it is was judged before (door.hostname): 421.
Source: RFC 6750, section 2.1; Fetch, "CORS protocol"; Fetch Metadata Request Headers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_BEARER = re.compile(r"(?i:bearer) +([A-Za-z0-9._~+/=-]{1,256})\Z")
_JSON = re.compile(r"application/json[ \t]*(;.*)?\Z", re.IGNORECASE)
_ONCE_ONLY = ("authorization", "origin", "content-type", "sec-fetch-site")

HINT = "hardline open  gives this browser a token"


@dataclass(frozen=True, slots=True)
class Refused:
    """Why one goes no further: the status, the reason and what to do."""

    status: int
    error: str
    hint: str = ""


def fields_of(head: bytes) -> dict[str, str] | Refused:
    """The fields of a whole head that count here, by their names in lower case; none of them may come twice."""
    found: dict[str, str] = {}
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.decode("latin-1").partition(":")
        name = name.lower()
        if name in _ONCE_ONLY:
            if name in found:
                return Refused(400, f"a request with more than one {name}")
            found[name] = value.strip(" \t")
    return found


def judge(method: str, host: str, fields: Mapping[str, str]) -> Refused | None:
    """Why a request is refused whoever makes it, or None."""
    if fields.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return Refused(403, "another site asks", "only this node's own page may")
    origin = fields.get("origin")
    if origin is not None and origin.lower() != f"http://{host.lower()}":
        return Refused(403, "another site asks", "only this node's own page may")
    if method not in ("GET", "HEAD") and not _JSON.match(fields.get("content-type", "")):
        return Refused(415, "what changes something is sent as application/json")
    return None


def bearer(fields: Mapping[str, str]) -> str | None:
    """The token that is shown."""
    found = _BEARER.match(fields.get("authorization", ""))
    return found[1] if found else None
