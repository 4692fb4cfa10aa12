"""What the gateway says itself: why something was not passed, and the list of its services; without I/O.

A page names a service by its public name and nothing else: no label, no address that was tried, no word of the host's.
The field Server says whose fault it is: `hardline (gateway)`, which is this side, or `hardline (host)`, the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from hardline.errors import AccessRefused, LimitReached, PasswordRefused, ServiceFailed
from hardline.http.look import REFERRER_POLICY, STYLE, content_policy, document, escaped
from hardline.routes import NoRoute

GATEWAY, HOST = "gateway", "host"
_RETRY = ("Retry-After: 5",)


@dataclass(frozen=True, slots=True)
class Page:
    """One answer: `text` in sentences, `side` is whose word it is, `fields` are further lines of the head."""

    status: int
    text: str
    side: str = GATEWAY
    fields: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Listed:
    """A service in the list.  `seen` is seconds since it was reached, None for never."""

    name: str
    address: str
    online: bool
    seen: float | None


def why_not(name: str, failure: Exception) -> Page:
    """Why the service `name` did not answer."""
    match failure:
        case TimeoutError():
            return Page(504, f"{name} did not answer in time.", HOST)
        case NoRoute():
            return Page(503, f"{name} is offline: its host cannot be reached.", HOST, _RETRY)
        case AccessRefused() | PasswordRefused():
            return Page(502, f"The host of {name} does not let this gateway in.", HOST)
        case ServiceFailed(kind="timeout"):
            return Page(504, f"The host of {name} is there, but its service does not answer.", HOST)
        case ServiceFailed(kind="limit" | "wait"):
            return Page(503, f"The host of {name} has no room now.", HOST, _RETRY)
        case ServiceFailed():
            return Page(502, f"The host of {name} is there, but its service does not run.", HOST)
        case LimitReached():
            return Page(503, "This gateway has no room now.", fields=_RETRY)
        case _:
            return Page(502, f"{name} broke off, or what it said is no HTTP.", HOST)


def bad_head(status: int, message: str) -> Page:
    """For what is no request; `message` says why."""
    # Codings other than chunked: to refuse them says more than that they are not built (RFC 9112, section 6.1).
    return Page(400 if status == 501 else status, f"{message[:1].upper()}{message[1:]}.")


def rendered(page: Page, *, html: bool, head_only: bool, close: bool) -> bytes:
    """The whole answer."""
    title = f"{page.status} {HTTPStatus(page.status).phrase}"
    body = f"<p class=code>{title}</p><h1>{escaped(page.text)}</h1>"
    return _answer(page, document(title, body) if html else f"{page.text}\n", html, head_only, close)


def the_list(services: Sequence[Listed], *, html: bool, head_only: bool, close: bool) -> bytes:
    """The page with all `services`."""
    if not html:
        text = "".join(f"{one.address}  {_state(one)}\n" for one in services) or "nothing is listed\n"
    else:
        items = "".join(
            f'<li><a href="{escaped(one.address)}">{escaped(one.name)}</a> <span class=dim>{_state(one)}</span></li>'
            for one in services
        )
        text = document("Services", f"<h1>Services</h1><ul>{items or '<li>nothing is listed'}</ul>")
    return _answer(Page(200, ""), text, html, head_only, close)


def _state(one: Listed) -> str:
    if one.online:
        return "online"
    return "offline" if one.seen is None else f"offline, last seen {_ago(one.seen)} ago"


def _ago(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{int(seconds)} s"


def _answer(page: Page, text: str, html: bool, head_only: bool, close: bool) -> bytes:
    content = text.encode("utf-8", "replace")
    lines = (
        f"HTTP/1.1 {page.status} {HTTPStatus(page.status).phrase}",
        f"Server: hardline ({page.side})",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        f"Referrer-Policy: {REFERRER_POLICY}",
        f"Content-Security-Policy: {content_policy(STYLE)}",
        f"Content-Type: text/{'html' if html else 'plain'}; charset=utf-8",
        f"Content-Length: {len(content)}",
        "Connection: close" if close else "Connection: keep-alive",
        *page.fields,
    )
    head = "".join(f"{line}\r\n" for line in (*lines, "")).encode("latin-1")
    return head if head_only else head + content
