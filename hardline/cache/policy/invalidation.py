"""What a request that changes something makes worthless: RFC 9111, section 4.4.  Without I/O.

POST /articles ──▶ 201, Location: /articles/7   ──▶   what is stored of /articles and /articles/7 is forgotten
"""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from hardline.http.fields import Fields, first

# Methods that only read (RFC 9110, section 9.2.1, and the registry); whatever is unknown may change something.
SAFE = frozenset(["GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "REPORT", "SEARCH", "QUERY"])


def outdated(method: str, target: str, host: str, status: int, fields: Fields) -> list[str]:
    """The targets whose stored answers are forgotten after an answer to `method target`, sent to `host`."""
    if method in SAFE or not 200 <= status < 400:
        return []
    found = [target]
    base = f"http://{host}{target}"
    for name in ("location", "content-location"):
        reference = first(fields, name)
        if reference is None:
            continue
        try:
            there = urlsplit(urljoin(base, reference.strip(" \t")))
            same = there.scheme in ("http", "https") and there.netloc.lower() == host.lower()
        except ValueError:
            continue
        if same:
            found.append((there.path or "/") + (f"?{there.query}" if there.query else ""))
    return list(dict.fromkeys(found))
