"""What kind of application a callable is.

    app(scope, receive, send)        ASGI      (asgi.readthedocs.io, version 3)
    app(environ, start_response)     WSGI      (PEP 3333)
    async def app(stream)            a handler of bytes, whatever protocol they are

They differ in how many arguments they take.  Nothing is called to find out.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any

from hardline.errors import WrongArgument
from hardline.streams import ByteStream

Message = dict[str, Any]
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
AsgiApp = Callable[[Any, Any, Any], Awaitable[None]]
WsgiApp = Callable[[Any, Any], Any]
Handler = Callable[[ByteStream], Awaitable[None]]

_HINT = "expected app(scope, receive, send), app(environ, start_response) or async def app(stream)"


class Kind(Enum):
    """How an application is called."""

    ASGI = "asgi"
    WSGI = "wsgi"
    STREAM = "stream"


_BY_ARGUMENTS = {3: Kind.ASGI, 2: Kind.WSGI, 1: Kind.STREAM}


def kind_of(app: object, said: str = "") -> Kind:
    """The kind that was `said`, else the one that takes as many arguments as `app` needs.

    Raises WrongArgument for what is none of them.
    """
    if not callable(app) or inspect.isclass(app):
        raise WrongArgument(f"cannot share {_name(app)}: it is no application", hint=_HINT)
    if said:
        if said not in [kind.value for kind in Kind]:
            raise WrongArgument(f"interface is {said[:20]!r}, expected asgi, wsgi or stream")
        return Kind(said)
    kind = _BY_ARGUMENTS.get(_arguments(app))
    if kind is Kind.STREAM and not any(map(inspect.iscoroutinefunction, (app, type(app).__call__))):
        kind = None
    if kind is None:
        raise WrongArgument(f"cannot tell what kind of application {_name(app)} is", hint=f"{_HINT}, or say interface=")
    return kind


def _arguments(app: Callable[..., object]) -> int:
    """How many it must be called with; -1 where that cannot be known."""
    try:
        parameters = inspect.signature(app).parameters.values()
    except (TypeError, ValueError):
        return -1
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if any(one.kind not in positional and one.default is one.empty for one in parameters):
        return -1
    return sum(one.default is one.empty for one in parameters)


def _name(app: object) -> str:
    return f"{getattr(app, '__qualname__', type(app).__qualname__)}"[:60]
