"""The head of a request as a WSGI application gets it: ASGI's scope → environ.

Source: PEP 3333, "environ Variables"; RFC 3875, section 4.1.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote_to_bytes

from hardline.apps.kinds import Scope

_NOT_PREFIXED = {b"content-type": "CONTENT_TYPE", b"content-length": "CONTENT_LENGTH"}
_NOT_JOINED = ("CONTENT_TYPE", "CONTENT_LENGTH")


def environ_of(scope: Scope) -> dict[str, Any]:
    """Its variables, without those of `wsgi.`; text is what PEP 3333 calls native: bytes as ISO-8859-1.

    A field with an underscore in its name is left out: it would be taken for the one with a dash.
    """
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(scope["raw_path"]).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
    }
    for raw_name, raw_value in scope["headers"]:
        if b"_" in raw_name:
            continue
        value = raw_value.decode("latin-1")
        name = _NOT_PREFIXED.get(raw_name) or f"HTTP_{raw_name.decode('latin-1').upper().replace('-', '_')}"
        if name in environ and name not in _NOT_JOINED:
            value = f"{environ[name]}{'; ' if name == 'HTTP_COOKIE' else ','}{value}"
        environ[name] = value
    server, port = _server(environ.get("HTTP_HOST", ""))
    environ["SERVER_NAME"], environ["SERVER_PORT"] = server, port
    environ["REMOTE_ADDR"] = scope["client"][0] if scope.get("client") else ""
    return environ


def has_body(environ: dict[str, Any]) -> bool:
    """Whether the head announces a body."""
    return "HTTP_TRANSFER_ENCODING" in environ or environ.get("CONTENT_LENGTH", "0").strip("0") != ""


def _server(host: str) -> tuple[str, str]:
    """By which name and port the visitor knows the service: what the request says of it, since it has no other."""
    name, colon, port = host.rpartition(":")
    if not colon or not port.isdigit():
        name, port = host, "80"
    return name or "localhost", port
