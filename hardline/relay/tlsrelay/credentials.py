"""The certificates of a relay of tx_tlsrelay: three files, of the names that it has them by.

    ca.crt.pem       who certifies the servers: each has to show a certificate of it ──┐
    server.crt.pem   what the relay shows them                                         ├──▶ a TLS context
    server.key.pem   its private key, which only its owner may read                  ──┘

Blocks: call it from a worker thread.
"""

from __future__ import annotations

from pathlib import Path

from OpenSSL import SSL

from hardline.errors import ConfigError
from hardline.files import hint_for, read_small
from hardline.transport.contexts import mutual_context

AUTHORITY, CERTIFICATE, PRIVATE_KEY = "ca.crt.pem", "server.crt.pem", "server.key.pem"

_MAX_FILE = 1 << 20
_OTHERS_MAY_TOUCH = 0o066  # read or write, for the group or for everybody


def load(directory: Path) -> SSL.Context:
    """What secures control connections.  Raises ConfigError naming the file, what is wrong with it and what to do."""
    authority, certificate, key = (directory / name for name in (AUTHORITY, CERTIFICATE, PRIVATE_KEY))
    for file in (authority, certificate, key):
        mode = _mode(file)
        if file is key and mode & _OTHERS_MAY_TOUCH:
            raise _wrong(
                f"{file}: other users may read or write this private key (its mode is {mode:04o})", f"chmod 600 {file}"
            )
    try:
        return mutual_context(certificate, key, authority)
    except SSL.Error as failure:
        reasons = dict.fromkeys(words[-1] for words in failure.args[0]) if failure.args else {}
        raise _wrong(
            f"{directory}: OpenSSL does not take these files: {', '.join(reasons) or 'it does not say why'}",
            f"expected PEM: {AUTHORITY}, whoever certifies the servers; {CERTIFICATE} and its {PRIVATE_KEY}",
        ) from None


def _mode(file: Path) -> int:
    try:
        return read_small(file, _MAX_FILE).mode
    except FileNotFoundError:
        raise _wrong(
            f"{file}: this file is missing", f"expected {AUTHORITY}, {CERTIFICATE} and {PRIVATE_KEY} there"
        ) from None
    except OSError as failure:
        raise _wrong(f"{file}: {(failure.strerror or str(failure)).lower()}", hint_for(failure)) from None


def _wrong(message: str, hint: str) -> ConfigError:
    return ConfigError(f"[Relay] tlsrelay_keys: {message}", key="tlsrelay_keys", hint=hint)
