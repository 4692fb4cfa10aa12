"""What a certificate authority answers, and no more of it than anybody needs: `requests` keeps an answer whole."""

from __future__ import annotations

from typing import Any

import requests
from requests.adapters import HTTPAdapter

MOST = 1 << 20  # bytes of an answer: a chain of certificates has some thousand
_PIECE = 65_536


class TooMuch(requests.RequestException):
    """An answer that is larger than MOST, or becomes so when it is unpacked."""


class Bounded(HTTPAdapter):
    """For a session of `requests`, which raises TooMuch then."""

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        """As HTTPAdapter.send."""
        response, body = super().send(*args, **kwargs), bytearray()
        for piece in response.iter_content(_PIECE):
            body += piece
            if len(body) > MOST:
                response.close()
                raise TooMuch(f"an answer of more than {MOST} bytes", response=response)
        response._content = bytes(body)  # where `content` would have put it
        return response
