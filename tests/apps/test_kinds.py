"""What an application is, told by its arguments; what is none is said so."""

from __future__ import annotations

import functools

import pytest

from hardline.apps.kinds import Kind, kind_of
from hardline.errors import WrongArgument

pytestmark = pytest.mark.pure


async def asgi(scope, receive, send): ...


def wsgi(environ, start_response): ...


async def handler(stream): ...


class Handler:
    async def __call__(self, stream): ...


class Asgi:
    async def __call__(self, scope, receive, send): ...


class Wsgi:
    def __call__(self, environ, start_response): ...

    def app(self, environ, start_response, more=None): ...


@pytest.mark.parametrize(
    ("app", "kind"),
    [
        (asgi, Kind.ASGI),
        (Asgi(), Kind.ASGI),
        (functools.partial(lambda a, *rest, b=1: None, 1), None),
        (functools.partial(lambda a, b, c, d: None, 1), Kind.ASGI),
        (wsgi, Kind.WSGI),
        (Wsgi(), Kind.WSGI),
        (Wsgi().app, Kind.WSGI),
        (handler, Kind.STREAM),
        (functools.partial(lambda a, b: None, 1), None),
        (Handler(), Kind.STREAM),
        (lambda: None, None),
        (lambda *all_of_it: None, None),
        (lambda a, b, c, d: None, None),
    ],
)
def test_it_is_told_by_its_arguments(app, kind):
    if kind is None:
        with pytest.raises(WrongArgument, match="what kind of application"):
            kind_of(app)
        assert kind_of(app, "wsgi") is Kind.WSGI
    else:
        assert kind_of(app) is kind


@pytest.mark.parametrize("nothing", [None, "app:app", 7, Asgi, Wsgi])
def test_what_is_no_application_is_refused(nothing):
    with pytest.raises(WrongArgument, match="no application"):
        kind_of(nothing, "asgi")


def test_an_interface_that_nobody_knows_is_refused():
    with pytest.raises(WrongArgument, match="expected asgi, wsgi or stream"):
        kind_of(asgi, "asgi2")
