"""What is in a directory, as a page for people and as JSON for programs, in pieces; without I/O.

    opening ─ row ─ row ─ … ─ closing      nothing of it is ever needed as a whole

A name is hostile: in a page it is
escaped, in a link it is one segment.  In JSON, `href` is the exact name; `name` is what can be said of it in Unicode.
Links are relative: the page is right behind any prefix.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape

from hardline.cache.files import uploadform
from hardline.cache.files.order import NAME, SIZE, TIME, Order
from hardline.http.look import CLOSING, STYLE, content_policy, opening
from hardline.http.mediatypes import is_markdown
from hardline.http.paths import quoted, shown

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CRUMBS = 30
_LATEST = 253_402_300_799  # the end of the year 9999

_STYLE = (
    STYLE
    + """\
nav{color:var(--dim);font-size:.9rem;margin-bottom:.4rem}
.files{list-style:none;padding:0;margin:1.2rem 0 0}
.files li{display:grid;grid-template-columns:minmax(0,1fr) 5rem 9.5rem;column-gap:1rem;align-items:baseline;margin:0;
border-bottom:1px solid var(--line)}
.files a{padding:.5rem 0;white-space:pre-wrap}
.files .dir a{font-weight:600}
.files span,.files time{color:var(--dim);font-size:.85rem;text-align:right;white-space:nowrap;
font-variant-numeric:tabular-nums}
.files .view{font-size:.85rem;padding:.5rem .2rem .5rem .8rem}
.files .top{color:var(--dim);font-size:.85rem}.files .top *{padding:.3rem 0}
@media(max-width:40rem){.files .top{display:none}.files li{grid-template-columns:auto auto 1fr;padding:.45rem 0}
.files li>div{grid-column:1/-1}.files a{display:inline-block;padding:.2rem 0}.files .view{padding:.2rem .8rem}
.files span,.files time{text-align:left}.files .dir span{display:none}time[datetime]:not(.here)::after{content:" UTC"}
.files li{position:relative}.files div>a:first-child::after{content:"";position:absolute;inset:0}
.files .view{position:relative}}
.find{display:flex;flex-wrap:wrap;gap:.5rem;align-items:center;margin:1rem 0 0}
.find input{font:inherit;flex:1 1 8rem;min-width:0;min-height:2.75rem;padding:0 .7rem;border:1px solid var(--line);
border-radius:.5rem;background:var(--card);color:var(--ink)}
.find a{padding:.6rem .4rem}
"""
    + uploadform.STYLE_OF_IT
)
POLICY = content_policy(_STYLE, script=uploadform.SCRIPT, forms=True)
_COLUMNS = ((NAME, "Name", "div"), (SIZE, "Size", "span"), (TIME, "Modified", "time"))


@dataclass(frozen=True, slots=True)
class Listed:
    """A file or directory in it.  `modified` is seconds since the epoch; the size of a directory is 0."""

    name: str
    is_directory: bool
    size: int
    modified: int


class HtmlListing:
    """A page.  `names` are those of the directory, none for the root, which is called `title`; its entries come in that
    `order`, and with `takes` visitors may bring files."""

    content_type = "text/html; charset=utf-8"
    separator = ""

    def __init__(
        self, names: Sequence[str], title: str = "Files", order: Order | None = None, *, takes: bool = False
    ) -> None:
        self._names, self._title, self._order, self._takes = names, title, order or Order(), takes

    def opening(self) -> str:
        steps = [self._title, *map(shown, self._names)]
        up = len(steps) - 1
        way = [f'<a href="{"../" * (up - index)}">{_bdi(steps[index])}</a>' for index in _crumbs(up)]
        if len(way) < up:
            way.insert(1, "…")
        crumbs = " / ".join(way)
        parts = [opening(steps[-1], style=_STYLE)]
        if crumbs:
            parts.append(f"<nav>{crumbs} /</nav>")
        parts.append(f"<h1>{_bdi(steps[-1])}</h1>")
        if self._takes:
            parts.append(uploadform.form(only_add=False))
        parts.append(self._find())
        parts.append(f"<ul class=files><li class=top>{''.join(map(self._column, *zip(*_COLUMNS, strict=True)))}</li>")
        if up:
            parts.append('<li class=dir><div><a href="../">../</a></div><span></span><time></time></li>')
        return "".join(parts)

    def row(self, entry: Listed) -> str:
        href, text = _href(entry), _bdi(shown(entry.name))
        if entry.is_directory:
            link, size, kind = f'<a href="{href}">{text}/</a>', "", " class=dir"
        else:
            link, size, kind = f'<a href="{href}">{text}</a>', readable_size(entry.size), ""
            if is_markdown(entry.name):
                link += f'<a class=view href="{href}?as_markdown=1">as a page</a>'
        moment = iso_time(entry.modified)
        day = moment[:16].replace("T", " ")
        time = f"<time datetime={moment}>{day}</time>" if moment else "<time></time>"
        return f"<li{kind}><div>{link}</div><span>{size}</span>{time}</li>\n"

    def closing(self, count: int, wrong: str) -> str:
        nothing = "No name here has that in it." if self._order.wanted else "There is nothing in it."
        said = wrong or ("" if count else nothing)
        return f"</ul>{f'<p class=dim>{escape(said)}</p>' if said else ''}<script>{uploadform.SCRIPT}</script>{CLOSING}"

    def _column(self, by: str, name: str, element: str) -> str:
        way, other = (" ↓" if self._order.falling else " ↑") if by == self._order.by else "", self._order.sorted_by(by)
        utc = "<i class=utc> (UTC)</i>" if by == TIME else ""
        return f'<{element}><a href="./{escape(other.query)}">{name}{way}</a>{utc}</{element}>'

    def _find(self) -> str:
        kept = {"sort": self._order.by, "order": "desc" if self._order.falling else ""}
        hidden = "".join(f'<input type=hidden name={key} value="{value}">' for key, value in kept.items() if value)
        wanted = escape(self._order.wanted)
        everything = '<a href="./">All</a>' if wanted else ""
        return (
            f'<form class=find role=search>{hidden}<input name=filter type=search value="{wanted}" maxlength=200 '
            f'aria-label="Part of a name" placeholder="Part of a name"><button>Find</button>{everything}'
            '<a href="./?zip" download>All as a zip file</a></form>'
        )


class JsonListing:
    """{"path": "/a/", "entries": [{"name", "is_dir", "size", "modified", "href"}, …], "complete": true}"""

    content_type = "application/json"
    separator = ","

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def opening(self) -> str:
        path = "".join(f"/{_in_unicode(name)}" for name in self._names)
        return f'{{"path": {json.dumps(path + "/")}, "entries": ['

    def row(self, entry: Listed) -> str:
        told = {
            "name": _in_unicode(entry.name),
            "is_dir": entry.is_directory,
            "size": entry.size,
            "modified": iso_time(entry.modified) or None,
            "href": _href(entry),
        }
        return f"\n{json.dumps(told)}"

    def closing(self, count: int, wrong: str) -> str:
        told = f', "problem": {json.dumps(wrong)}' if wrong else ""
        return f'\n], "complete": {"false" if wrong else "true"}{told}}}\n'


def readable_size(size: int) -> str:
    """Bytes as people say it, in powers of 1024."""
    amount, units = float(size), ["B", "KB", "MB", "GB", "TB"]
    while amount >= 999.5 and len(units) > 1:
        amount /= 1024
        units.pop(0)
    return f"{amount:.1f} {units[0]}" if amount < 9.95 and units[0] != "B" else f"{amount:.0f} {units[0]}"


def iso_time(seconds: int) -> str:
    """Seconds since the epoch as RFC 3339 has it; "" for what no calendar has."""
    if not 0 <= seconds <= _LATEST:
        return ""
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _crumbs(up: int) -> list[int]:
    """Which of `up` directories above this one are named: the root, and as many of the last as anybody reads."""
    return [0, *range(max(1, up - _CRUMBS), up)] if up else []


def _href(entry: Listed) -> str:
    # "./" keeps a client from taking what stands before a colon for a scheme, even one that decodes first.
    before = "./" if ":" in entry.name else ""
    return f"{before}{quoted(entry.name)}{'/' if entry.is_directory else ''}"


def _bdi(text: str) -> str:
    return f"<bdi>{escape(text)}</bdi>"


def _in_unicode(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
