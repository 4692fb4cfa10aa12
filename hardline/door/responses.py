"""Whole HTTP responses of this node itself, and how its pages look; without I/O.

A page is escaped where it is made: what comes here as HTML is HTML.
Source: RFC 9110; Content Security Policy 3; Fetch, "Cross-Origin-Resource-Policy header".
"""

from __future__ import annotations

from http import HTTPStatus

from hardline.http.look import REFERRER_POLICY, STYLE, content_policy, document

_STYLE = (
    STYLE
    + """\
.cards{list-style:none;padding:0;margin:0}
.cards li{background:var(--card);border:1px solid var(--line);border-radius:.7rem;padding:.8rem 1rem;margin:.6rem 0}
.cards a{font-weight:600;font-size:1.05rem}
.cards p{margin:.15rem 0}.cards .mono{font-size:.8rem}
footer a,footer button{min-height:2.75rem;display:inline-flex;align-items:center}
footer button{font:inherit;color:inherit;background:var(--card);
border:1px solid var(--line);border-radius:.5rem;padding:.3rem .9rem;cursor:pointer}
:focus-visible{outline:.18rem solid var(--accent);outline-offset:.12rem}
[hidden]{display:none!important}
.wrong{border-left:.2rem solid var(--alarm);padding-left:.7rem;margin:.6rem 0 .2rem}
table{border-collapse:collapse;width:100%;font-size:.9rem}
td:nth-child(3){white-space:nowrap;font-variant-numeric:tabular-nums}
td,th{text-align:left;padding:.45rem .8rem .45rem 0;border-bottom:1px solid var(--line);vertical-align:top}
th{color:var(--dim);font-weight:500}
@media(max-width:40rem){tr{display:block;padding:.5rem 0;border-bottom:1px solid var(--line)}
tr:first-child{display:none}td{display:inline;padding:0;border:0}td:first-child{display:block}
td:nth-child(n+3)::before{content:" · "}}
"""
)
# Has a page of something that failed look again, and be made anew when there is another answer; nothing moves before,
# and it can be stopped.
PATIENCE = """
"use strict";
const again = document.getElementById("again"), stop = again.querySelector("button");
const every = 1000 * again.dataset.every;
let timer = setTimeout(look, every);
async function look() {
  try {
    const answer = await fetch(location.href, { method: "HEAD", cache: "no-store", redirect: "manual" });
    if (answer.headers.get("Server") !== "hardline" || !answer.headers.has("Retry-After")) return location.reload();
  } catch {}
  if (timer) timer = setTimeout(look, every);
}
stop.addEventListener("click", () => {
  clearTimeout(timer);
  timer = 0;
  again.querySelector("span").textContent = "This page does not try again by itself any more.";
  stop.remove();
});
again.hidden = false;
"""
POLICY = content_policy(_STYLE)
PATIENT_POLICY = content_policy(_STYLE, script=PATIENCE)


def _fields(policy: str) -> str:
    return (
        "Server: hardline\r\n"
        "Cache-Control: no-store\r\n"
        "X-Content-Type-Options: nosniff\r\n"
        f"Referrer-Policy: {REFERRER_POLICY}\r\n"
        "Cross-Origin-Resource-Policy: same-origin\r\n"
        f"Content-Security-Policy: {policy}\r\n"
        "Connection: close\r\n"
    )


def page(title: str, body: str, *, head: str = "") -> str:
    """A whole page.  `title` is text, `body` and `head` are HTML."""
    return document(title, body, style=_STYLE, head=head)


def page_kind(html: bool) -> str:
    """The type of a page, or of the same as plain text."""
    return "text/html; charset=utf-8" if html else "text/plain; charset=utf-8"


def response(status: int, body: str, *, kind: str, head_only: bool, extra: str = "", policy: str = POLICY) -> bytes:
    """`body` as a whole response of the type `kind`, `extra` among its fields; `policy` is what a page may do."""
    content = body.encode("utf-8", "replace")
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{_fields(policy)}{extra}"
        f"Content-Type: {kind}\r\nContent-Length: {len(content)}\r\n\r\n"
    ).encode("ascii")
    return head if head_only else head + content


def opening(kind: str) -> bytes:
    """The head of a response of the type `kind` that ends with its connection."""
    return f"HTTP/1.1 200 OK\r\n{_fields(POLICY)}Content-Type: {kind}\r\n\r\n".encode("ascii")


def sentence(text: str) -> str:
    """Words of the program as a sentence of its own."""
    return f"{text[:1].upper()}{text[1:]}." if text else ""
