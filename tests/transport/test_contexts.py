"""Which cipher is spoken with whom."""

from __future__ import annotations

from pathlib import Path

import pytest
from OpenSSL import SSL

from hardline.transport import contexts
from tests.https.certified import a_certificate
from tests.support.pairs import shake_hands

pytestmark = pytest.mark.pure

_AES, _CHACHA = "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"
_CURLS = b"TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"  # and all of OpenSSL's clients
_A_PHONES = b"TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256"


def agreed(offered: bytes) -> str | None:
    """Shake hands between two in-memory connections."""
    theirs = SSL.Context(SSL.TLS_METHOD)
    theirs.set_tls13_ciphersuites(offered)
    theirs.set_alpn_protos([b"http/1.1"])
    client = SSL.Connection(theirs, None)
    server = SSL.Connection(contexts.browser_context(*a_certificate("nas.example.org")), None)
    shake_hands(client, server)
    return server.get_cipher_name()


@pytest.fixture(params=["aes", "none"])
def processor(request, tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text("flags\t\t: fpu aes\n" if request.param == "aes" else "flags\t\t: fpu\n")
    monkeypatch.setattr(contexts, "Path", lambda path: tmp_path / Path(path).name)
    return request.param


def test_who_prefers_what_we_do_not_speak_gets_what_this_processor_does_best(processor):
    assert agreed(_CURLS) == (_AES if processor == "aes" else _CHACHA)


def test_a_browser_that_names_chacha_first_has_no_aes_of_its_own(processor):
    assert agreed(_A_PHONES) == _CHACHA
