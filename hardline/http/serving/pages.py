"""What a visitor of a file service reads when there is no file to send: a page for people, text for programs.

404 There is nothing here          the same words as on the pages of the visitor's own node (door/pages.py);
                                   who answered is told by Server: both say hardline, and by what is said
"""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from hardline.http import negotiation, ranges
from hardline.http.look import REFERRER_POLICY, content_policy, document, escaped, shown

# Of answers that are not to be kept.
PLAIN = {
    "Server": "hardline",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": REFERRER_POLICY,
}
_HEADERS = {**PLAIN, "Vary": "Accept"}
_POLICY = content_policy()


def problem(
    request: web.BaseRequest,
    status: int,
    title: str,
    explanation: str,
    *,
    advice: str = "",
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """The answer `status`, in the form that the visitor accepts."""
    return _page(status, title, explanation, advice, headers or {}, as_html=wants_html(request))


def _page(
    status: int, title: str, explanation: str, advice: str, headers: Mapping[str, str], *, as_html: bool
) -> web.Response:
    fields = {**_HEADERS, **headers}
    if as_html:
        fields["Content-Type"] = "text/html; charset=utf-8"
        fields["Content-Security-Policy"] = _POLICY
        more = f"<p>{escaped(advice)}</p>" if advice else ""
        phrase = escaped(web.Response(status=status).reason)
        body = f"<p class=code>{status} {phrase}</p><h1>{escaped(title)}</h1><p>{escaped(explanation)}</p>{more}"
        text = document(title, body)
    else:
        fields["Content-Type"] = "text/plain; charset=utf-8"
        text = f"{status} {shown(title)}\n\n{shown(explanation)}\n{f'{shown(advice)}{chr(10)}' if advice else ''}"
    return web.Response(status=status, body=text.encode("utf-8", "replace"), headers=fields)


def wants_html(request: web.BaseRequest) -> bool:
    """Whether a person is to read the answer."""
    return negotiation.prefers(negotiation.listed(request.headers, "Accept"), negotiation.HTML, negotiation.JSON)


def nothing_here(request: web.BaseRequest) -> web.Response:
    """404: no such file, or none that may be known of."""
    return problem(request, 404, "There is nothing here", "Nothing is shared under this address.")


def directory_away(request: web.BaseRequest) -> web.Response:
    """503: all that is shared is gone, and may come back."""
    return problem(
        request,
        503,
        "This is away now",
        "The directory is away on the computer that shares it.",
        advice="It was renamed or removed, or its disk is not attached.",
        headers={"Retry-After": "30"},
    )


def not_readable(request: web.BaseRequest) -> web.Response:
    """403: the system does not let the daemon read it."""
    return problem(
        request,
        403,
        "This cannot be read",
        "The computer that shares it does not let hardlined read it.",
        advice="Whoever shares it can change its permissions.",
    )


def disk_failed(request: web.BaseRequest, reason: str) -> web.Response:
    """503: the disk, or the system, gave an error."""
    return problem(
        request,
        503,
        "This cannot be read now",
        f"The computer that shares it has a problem with it ({reason.lower()}).",
        headers={"Retry-After": "5"},
    )


def disk_hangs(request: web.BaseRequest, what: str) -> web.Response:
    """503: what the disk holds that does not answer is called `what`."""
    return problem(
        request,
        503,
        "This cannot be read now",
        f"The disk that holds {what} does not answer on the computer that shares it.",
        advice="It may be asleep, or at the other end of a network that is down.",
        headers={"Retry-After": "30"},
    )


def method_not_allowed(request: web.BaseRequest, allowed: str) -> web.Response:
    """405."""
    explanation = f"Files can be read here, and nothing else; {request.method[:20]} is no way to do that."
    return problem(request, 405, "This cannot be done here", explanation, headers={"Allow": allowed})


def precondition_failed(request: web.BaseRequest) -> web.Response:
    """412."""
    return problem(request, 412, "This has changed", "It is not, or not any more, what the request expects.")


def range_not_satisfiable(request: web.BaseRequest, size: int) -> web.Response:
    """416."""
    explanation = f"The request asks for a part beyond its end; it has {size} bytes."
    headers = {"Content-Range": ranges.unsatisfied(size), "Accept-Ranges": "bytes"}
    return problem(request, 416, "There is no such part", explanation, headers=headers)


def too_long(request: web.BaseRequest, limit: str) -> web.Response:
    """403, since 413 would be about the request: a text that is not made into a page."""
    explanation = f"Only texts of up to {limit} are shown as a page."
    return problem(request, 403, "This is too long for a page", explanation, advice="It can be had as it is.")


def too_hard(request: web.BaseRequest) -> web.Response:
    """403: a text that could not be made into a page, in the time and memory there is for it."""
    explanation = "This text takes too much work to be shown as a page."
    return problem(request, 403, "This is too hard for a page", explanation, advice="It can be had as it is.")


def too_many_pages(request: web.BaseRequest) -> web.Response:
    """503: others wait for their pages already."""
    explanation = "More pages are asked for than can be made at once."
    return problem(request, 503, "Too many visitors", explanation, headers={"Retry-After": "5"})


def misdirected(request: web.BaseRequest) -> web.Response:
    """421: a name that somebody else may have given to this computer."""
    explanation = (
        "This server does not know itself by the name that was asked for; another site may have sent you here."
    )
    advice = "Whoever runs it can add a name with --name."
    return problem(request, 421, "This address leads nowhere", explanation, advice=advice)


def no_request(status: int, explanation: str) -> web.Response:
    """400, 408 or 431: what came could not be read, so nobody knows where it ends, or in which form to answer."""
    answer = _page(status, "This is no request", explanation, "", {}, as_html=True)
    answer.force_close()
    return answer


def failed(request: web.BaseRequest, status: int) -> web.Response:
    """500: a mistake of ours."""
    explanation = "Something went wrong on the computer that shares it; the log there says what."
    answer = problem(request, status, "This cannot be shown", explanation)
    answer.force_close()
    return answer
