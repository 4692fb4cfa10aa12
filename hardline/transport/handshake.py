"""The three ways a TLS handshake goes, step by step, as the bytes come in.

    Visiting     as hardline/2 visitor    PSK out of the key hash ─▶ the host's proof ─▶ verified       or hardline/1
    Accepting    as host                  PSK of one of its names ─▶ our proof, at once                 or hardline/1
    ByCertificate                         whatever the context says: hardline/1, and others' TLS

Who does not know the key hash gets an alert from the host, whatever he repeats: no certificate is in the handshake.
Source: docs/PROTOCOL.md, sections 2.2 to 2.4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from OpenSSL import SSL

from hardline.errors import PeerError
from hardline.identity import KEY_HASH_SIZE, EarlierVersion, KeyHash
from hardline.proof import EXPORTER_SIZE, HOST, ProofReader, Prover, Purpose
from hardline.transport import psk
from hardline.transport.engine import reason

ALPN_2 = b"hardline/2"

_NO_PSK = "whoever answers there does not know the service, or runs an earlier hardline: update both"

# What OpenSSL says of the alert for a PSK that the other end does not have, in its versions.
_NOT_KNOWN = ("tlsv1 alert decrypt error", "ssl/tls alert decrypt error")


class Handshake(Protocol):
    """One connection's way to being secured."""

    @property
    def key_hash(self) -> KeyHash | None:
        """hardline/2: the name that both ends have proven to know; None for hardline/1.  Known at the end."""
        ...

    def step(self) -> None:
        """Go as far as what has arrived allows; returns at the end of the handshake.

        Raises SSL.WantReadError when it takes more bytes, SSL.Error or PeerError when it failed.
        """
        ...


class ByCertificate:
    """Whatever the connection's context says."""

    key_hash: KeyHash | None = None

    def __init__(self, connection: SSL.Connection) -> None:
        self._connection = connection

    def step(self) -> None:
        self._connection.do_handshake()


class Visiting:
    """As visitor of `target` by a server name of it.

    By its plain name also a host that knows certificates only is spoken to: then `key_hash` stays None, and the caller
    judges the certificate.
    """

    def __init__(self, connection: SSL.Connection, target: KeyHash, server_name: str, protocol: bytes = ALPN_2) -> None:
        self.key_hash: KeyHash | None = None
        self._protocol = protocol
        self.identity, self.key = bytes.fromhex(server_name), target.psk
        self._connection = connection
        self._target, self._knows_originals = target, server_name == str(target)
        self._shaken = False
        self._reader = ProofReader()

    def step(self) -> None:
        if not self._shaken:
            self._shake()
            self._shaken = True
        if not psk.taken(self._connection):
            return
        while wanted := self._reader.wants:
            self._reader.feed(self._connection.recv(wanted))
        self._reader.proof.check(HOST, exporter(self._connection, HOST, self._target), self._target)
        self.key_hash = self._target

    def _shake(self) -> None:
        try:
            with psk.client_at_work(self._connection, self):
                self._connection.do_handshake()
        except SSL.WantReadError:
            raise
        except SSL.Error as failure:
            if reason(failure) in _NOT_KNOWN:
                raise PeerError("TLS handshake: this service is not offered there") from None
            raise
        if not psk.taken(self._connection) and not self._knows_originals:
            raise PeerError(_NO_PSK)
        if psk.taken(self._connection) and self._connection.get_alpn_proto_negotiated() != self._protocol:
            raise PeerError(f"whoever answers there does not speak {self._protocol.decode()}")


@dataclass(frozen=True, slots=True)
class Names:
    """What a host answers to: callbacks, since services come and go, and days pass.

    `find` maps a server name to a key hash; `prover` says who proves to be it, None for what speaks hardline/1 only;
    `certificate` is the context for a plain key hash as server name, where a service speaks hardline/1.
    """

    find: Callable[[str], KeyHash | None]
    prover: Callable[[KeyHash], Prover | None]
    certificate: Callable[[str], SSL.Context | None] = field(default=lambda name: None)


class Accepting:
    """As host.  The context is one of `contexts.front_context`."""

    def __init__(self, connection: SSL.Connection, names: Names) -> None:
        self.key_hash: KeyHash | None = None
        self._connection = connection
        self._names = names
        self._identity = b""
        self._offered: KeyHash | None = None
        self._asked: KeyHash | None = None  # by its rolling name, without the PSK
        self._hello_read = not psk.CAN_SPEAK_EARLY
        self._proven = False

    def step(self) -> None:
        try:
            self._shake()
        except SSL.WantReadError:
            raise
        except SSL.Error:
            if self._asked is not None and self._offered is None:
                raise EarlierVersion(self._asked) from None
            raise
        self._prove(self._connection.send)
        self.key_hash = self._offered if psk.taken(self._connection) else None

    def _shake(self) -> None:
        with psk.server_at_work(self._connection, self):
            if not self._hello_read:
                psk.read_first_flight(self._connection)
                self._hello_read = True
            try:
                self._connection.do_handshake()
            except SSL.WantReadError:
                # After a HelloRetryRequest nothing is secret yet, and would be sent as it is.
                if psk.CAN_SPEAK_EARLY and not self._proven and psk.has_sent_finished(self._connection):
                    self._prove(lambda proof: psk.write_early(self._connection, proof))
                raise

    def _prove(self, send: Callable[[bytes], object]) -> None:
        if self._proven or self._offered is None or not psk.taken(self._connection):
            return
        prover = self._names.prover(self._offered)
        if prover is None:
            raise PeerError("the service is not offered here any more")
        send(prover.prove(HOST, exporter(self._connection, HOST, self._offered)).encode())
        self._proven = True

    # What psk.py asks.

    def key_of(self, identity: bytes) -> bytes | None:
        found = self._names.find(identity.hex()) if len(identity) == KEY_HASH_SIZE else None
        if found is None or self._names.prover(found) is None:
            return None
        self._identity, self._offered = identity, found
        return found.psk

    def named(self) -> bool:
        name = (self._connection.get_servername() or b"").decode("ascii", "replace")
        if psk.taken(self._connection):
            return name == self._identity.hex()
        if (context := self._names.certificate(name)) is not None:
            self._connection.set_context(context)
        else:
            self._asked = self._names.find(name)
        return True


def exporter(connection: SSL.Connection, purpose: Purpose, service: KeyHash | None) -> bytes:
    """The connection's own bytes that a proof of `purpose` signs (RFC 8446, section 7.5)."""
    context = b"" if service is None else service.digest
    return connection.export_keying_material(purpose.exporter_label, EXPORTER_SIZE, context)
