"""PEP 3333's environ out of ASGI's scope, and nothing that a visitor could pass off as another field."""

from __future__ import annotations

import pytest

from hardline.apps.environ import environ_of, has_body

pytestmark = pytest.mark.pure

SCOPE = {
    "type": "http",
    "method": "POST",
    "http_version": "1.1",
    "path": "/ö",
    "raw_path": b"/%C3%B6%2F%FF",
    "query_string": b"a=%20b",
    "client": ("192.0.2.7", 40_000),
    "headers": [
        (b"host", b"abc.localhost:7009"),
        (b"content-type", b"text/plain"),
        (b"content-length", b"3"),
        (b"x-one", b"a"),
        (b"x-one", b"b"),
        (b"cookie", b"a=1"),
        (b"cookie", b"b=2"),
        (b"x_forwarded_for", b"6.6.6.6"),
        (b"x-latin", b"\xfc"),
    ],
}


def test_the_variables_of_a_request():
    assert environ_of(SCOPE) == {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/\xc3\xb6/\xff",
        "QUERY_STRING": "a=%20b",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "abc.localhost",
        "SERVER_PORT": "7009",
        "REMOTE_ADDR": "192.0.2.7",
        "CONTENT_TYPE": "text/plain",
        "CONTENT_LENGTH": "3",
        "HTTP_HOST": "abc.localhost:7009",
        "HTTP_X_ONE": "a,b",
        "HTTP_COOKIE": "a=1; b=2",
        "HTTP_X_LATIN": "\xfc",
    }


@pytest.mark.parametrize(
    ("host", "name", "port"),
    [
        ("", "localhost", "80"),
        ("nas", "nas", "80"),
        ("nas:8080", "nas", "8080"),
        ("[::1]:7009", "[::1]", "7009"),
        ("[::1]", "[::1]", "80"),
        ("nas:", "nas:", "80"),
    ],
)
def test_the_server_is_what_the_request_calls_it(host, name, port):
    environ = environ_of({**SCOPE, "headers": [(b"host", host.encode())]})
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == (name, port)


@pytest.mark.parametrize(
    ("headers", "has"),
    [
        ([], False),
        ([(b"content-length", b"0")], False),
        ([(b"content-length", b"00")], False),
        ([(b"content-length", b"10")], True),
        ([(b"transfer-encoding", b"chunked")], True),
    ],
)
def test_a_body_is_announced_by_its_length_or_coding(headers, has):
    assert has_body(environ_of({**SCOPE, "headers": headers})) is has
