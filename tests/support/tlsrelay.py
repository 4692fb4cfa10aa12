"""A server of tx_tlsrelay, as anybody would write one who has only read what is said on its connections.

openssl s_client ── the lines, as they come        a socket ── its own connection for each client
"""

from __future__ import annotations

import os
import selectors
import socket
import ssl
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.programs import Place, placed
from tests.support.rawtcp import LIMIT


class Keys:
    """An authority, and what it has certified: directories with ca.crt.pem, and NAME.crt.pem and NAME.key.pem."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        self._openssl("req", "-x509", *self._new_key("ca"), "-subj", "/CN=authority", "-out", "ca.crt.pem")
        for name in ("server", "client"):
            self._openssl("req", *self._new_key(name), "-subj", f"/CN={name}", "-out", f"{name}.csr")
            signed = ("-in", f"{name}.csr", "-CA", "ca.crt.pem", "-CAkey", "ca.key.pem", "-CAcreateserial")
            self._openssl("x509", "-req", *signed, "-out", f"{name}.crt.pem")

    def file(self, name: str) -> Path:
        return self.directory / name

    @property
    def of_a_client(self) -> list[str]:
        """What `openssl s_client` is to show."""
        return ["-cert", str(self.file("client.crt.pem")), "-key", str(self.file("client.key.pem"))]

    def _new_key(self, name: str) -> list[str]:
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-keyout", f"{name}.key.pem"]

    def _openssl(self, *words: str) -> None:
        subprocess.run(["openssl", *words], cwd=self.directory, check=True, capture_output=True)


class Server:
    """One that holds a control connection to `host`; `words` are further ones for `openssl s_client`."""

    def __init__(self, keys: Keys, port: int, *words: str, host: str = "127.0.0.1", at: Place | None = None) -> None:
        self._keys = keys
        trust = ("-CAfile", str(keys.file("ca.crt.pem")), "-verify_return_error", "-quiet")
        self.process = subprocess.Popen(
            placed(at, ["openssl", "s_client", "-connect", f"{host}:{port}", *trust, *(words or keys.of_a_client)]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        self._heard = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()

    def say(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)

    def line(self) -> bytes:
        """The next one, with its end; what there was before the end of the connection."""
        while b"\n" not in self._heard and (data := self._read(LIMIT)):
            self._heard += data
        line, end, self._heard = self._heard.partition(b"\n")
        return line + end

    @property
    def silent(self) -> bool:
        """It has heard nothing that was not asked for yet."""
        return not self._heard and self._read(0) is None

    def ports(self) -> tuple[int, int]:
        """Its public port and its reverse port."""
        public, reverse = (int(self.line().rpartition(b":")[2]) for _ in range(2))
        return public, reverse

    def _read(self, seconds: float) -> bytes | None:
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(seconds):
                assert not seconds, f"nothing was said; before that: {self._heard!r}"
                return None
        return os.read(self.process.stdout.fileno(), 65_536)

    def secured(self, dialled: socket.socket) -> ssl.SSLSocket:
        """TLS towards the client, on a connection that this server has made itself."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._keys.file("server.crt.pem"), self._keys.file("server.key.pem"))
        context.load_verify_locations(self._keys.file("ca.crt.pem"))
        context.verify_mode = ssl.CERT_REQUIRED
        return context.wrap_socket(dialled, server_side=True)
