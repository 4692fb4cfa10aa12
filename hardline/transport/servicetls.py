"""TLS towards local services: the standard library's, which checks host names against the system's authorities.

A context costs 50 ms and some megabytes, for the authorities; so there is one that checks and one that does not, made
once, in a thread.  With `verify = no` whatever an old device speaks is good enough: nobody believes it anyway.
A handshake takes about a millisecond of computing: thirty that end in one turn of the loop would stop everybody else.
"""

from __future__ import annotations

import asyncio
import ssl
from concurrent.futures import ThreadPoolExecutor
from weakref import WeakKeyDictionary, WeakValueDictionary

from hardline.settings.local import LocalService

AT_ONCE = 4  # handshakes with one service

_LEGACY_SERVER_CONNECT = 0x4  # SSL_OP_LEGACY_SERVER_CONNECT, which Python has a name for since 3.12

REFUSED = "the local service's certificate was refused"
NO_TLS = "the local service does not speak TLS"

# X509_V_ERR_…: what is wrong, never which names or addresses the certificate has.
_VERIFICATION = {
    9: "the local service's certificate is not valid yet",
    10: "the local service's certificate has expired",
    18: "the local service's certificate is one of its own making (verify = no accepts it)",
    19: "the local service's certificate comes from an authority that this computer does not know",
    20: "the local service's certificate comes from an authority that this computer does not know",
    21: "the local service's certificate comes without those between it and an authority",
    23: "the local service's certificate was revoked",
    62: "the local service's certificate is for another name",
    64: "the local service's certificate is for another address",
    66: "the local service's certificate has too weak a key (verify = no accepts it)",
    67: "the local service's certificate has too weak an authority (verify = no accepts it)",
    68: "the local service's certificate has too weak a signature (verify = no accepts it)",
}
_TOO_OLD = "the local service speaks no TLS that is still safe (verify = no accepts it)"
_WEAK = "the local service's keys are too weak (verify = no accepts it)"
_NOTHING_IN_COMMON = "the local service speaks no kind of TLS that this computer knows"
_CLIENT = "the local service wants a client certificate"
_BROKE_OFF = "the local service broke the TLS handshake off"
_HANDSHAKE = {
    "WRONG_VERSION_NUMBER": NO_TLS,
    "HTTP_REQUEST": NO_TLS,
    "UNKNOWN_PROTOCOL": NO_TLS,
    "UNEXPECTED_MESSAGE": NO_TLS,
    "BAD_PACKET_LENGTH": NO_TLS,
    "PACKET_LENGTH_TOO_LONG": NO_TLS,
    "RECORD_LAYER_FAILURE": NO_TLS,
    "UNSUPPORTED_PROTOCOL": _TOO_OLD,
    "VERSION_TOO_LOW": _TOO_OLD,
    "TLSV1_ALERT_PROTOCOL_VERSION": _TOO_OLD,
    "UNSAFE_LEGACY_RENEGOTIATION_DISABLED": _TOO_OLD,
    "WRONG_SIGNATURE_TYPE": _TOO_OLD,
    "LEGACY_SIGALG_DISALLOWED_OR_UNSUPPORTED": _TOO_OLD,
    "DH_KEY_TOO_SMALL": _WEAK,
    "EE_KEY_TOO_SMALL": _WEAK,
    "BAD_DH_VALUE": _WEAK,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": _NOTHING_IN_COMMON,
    "TLSV1_ALERT_INSUFFICIENT_SECURITY": _NOTHING_IN_COMMON,
    "NO_CIPHERS_AVAILABLE": _NOTHING_IN_COMMON,
    "NO_SHARED_CIPHER": _NOTHING_IN_COMMON,
    "WRONG_CIPHER_RETURNED": _NOTHING_IN_COMMON,
    "UNKNOWN_CIPHER_RETURNED": _NOTHING_IN_COMMON,
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": _CLIENT,
    "SSLV3_ALERT_BAD_CERTIFICATE": _CLIENT,
    "TLSV1_UNRECOGNIZED_NAME": "the local service does not know its name as this node says it",
}
WORDS = frozenset([REFUSED, NO_TLS, _BROKE_OFF, *_VERIFICATION.values(), *_HANDSHAKE.values()])

_contexts: dict[bool, ssl.SSLContext] = {}
_shaking: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakValueDictionary[LocalService, asyncio.Semaphore]] = (
    WeakKeyDictionary()
)
_maker = ThreadPoolExecutor(1, "authorities")


async def service_context(*, verify: bool) -> ssl.SSLContext:
    """The context for all services of that kind."""
    if verify in _contexts:
        return _contexts[verify]
    return await asyncio.get_running_loop().run_in_executor(_maker, _made, verify)


def handshakes(service: LocalService) -> asyncio.Semaphore:
    """The places for handshakes with one service under way at once; a service that dawdles holds up only its own."""
    mine = _shaking.setdefault(asyncio.get_running_loop(), WeakValueDictionary())
    return mine.setdefault(service, asyncio.Semaphore(AT_ONCE))


def in_words(failure: ssl.SSLError) -> str:
    """Why there is no TLS with a local service: one of WORDS, which name nothing of its network."""
    if isinstance(failure, ssl.SSLCertVerificationError):
        return _VERIFICATION.get(failure.verify_code, REFUSED)
    return _HANDSHAKE.get(failure.reason or "", _BROKE_OFF)


def _made(verify: bool) -> ssl.SSLContext:
    """In the one thread: nobody makes the same twice."""
    if verify not in _contexts:
        _contexts[verify] = ssl.create_default_context() if verify else _accepting_anything()
    return _contexts[verify]


def _accepting_anything() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.options |= _LEGACY_SERVER_CONNECT
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context
