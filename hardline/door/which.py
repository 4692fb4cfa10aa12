"""Pages for names and for first digits: nas.localhost goes on to the service, bb89bb33.localhost asks which one.

    a person opened it, and the user has given the name      302 to the address, path and all
    a link of another site led here, or the digits fit       300: what there is, to choose from
    a part of a page, a script, another user, nothing fits   421, as if there was no such name

A name is easy to guess and an address is not: so nothing but a person at this computer learns what a name leads to.
Source: RFC 9110, sections 15.4.1 and 15.4.3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hardline.door.responses import page, page_kind, response
from hardline.http.look import escaped, shown

Row = Mapping[str, object]  # of a snapshot.Match

NAMED = "named"  # how it is known: by the name that the user gave it


def goes_on(url: str, target: str, *, head_only: bool) -> bytes:
    """To the service at `url`, and there to `target`, the request's path and query."""
    return response(302, "", kind=page_kind(False), head_only=head_only, extra=f"Location: {_at(url, target)}\r\n")


def which_one(text: str, matches: Sequence[Row], target: str, *, html: bool, head_only: bool) -> bytes:
    """What `text` may mean, with links that keep `target`."""
    make = _html if html else _text
    body = make(text, [(one, _at(str(one["url"]), target)) for one in matches])
    return response(300, body, kind=page_kind(html), head_only=head_only)


def _at(url: str, target: str) -> str:
    """`target` is as its bytes came, each a character."""
    return url.rstrip("/") + "".join(one if one < "\x7f" else f"%{ord(one):02X}" for one in target)


def _html(text: str, matches: Sequence[tuple[Row, str]]) -> str:
    cards = "".join(
        f'<li><a href="{escaped(url)}"><bdi>{escaped(_title(one))}</bdi></a>'
        f"<p class=dim>{escaped(str(one['how']))}</p><p class='mono dim'>{escaped(str(one['label']))}</p></li>"
        for one, url in matches
    )
    return page(
        "Which one?",
        f"<h1>Which one?</h1><p>{escaped(text)} may be:</p><ul class=cards>{cards}</ul>"
        "<p class=dim>The first digits of an address prove nothing: compare all of them with what you were given.</p>"
        '<footer><a href="/">All services</a></footer>',
    )


def _text(text: str, matches: Sequence[tuple[Row, str]]) -> str:
    lines = [f"{shown(text)} may be:", ""]
    for one, url in matches:
        lines += [f"  {shown(_title(one))}", f"    {url}", f"    {shown(str(one['how']))}"]
    return "\n".join(lines) + "\n"


def _title(row: Row) -> str:
    return str(row["name"] or row["title"] or "(untitled)")
