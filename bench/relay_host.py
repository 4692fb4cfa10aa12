"""Who is behind the relay in `--relay`: reads a ClientHello as any host does, answers, and does what it is told.

    python relay_host.py PORT [HOST:PORT#KEYHASH]        listens on PORT, and is registered at that relay

    D size    sends so many bytes      U size    takes so many, and says one      R    answers each 100 bytes with 1000

Prints the name by which it is registered, or "-", once it is there.
"""

from __future__ import annotations

import asyncio
import sys
import time

import uvloop

from hardline.proof import Prover
from hardline.relay.client import RelayClient
from hardline.relay.clienthello import read_client_hello
from hardline.relay.handles import handle_of, make_handle
from hardline.relay.joins import Joined
from hardline.relay.wanted import Wanted
from hardline.routes import RelayAddress
from hardline.signatures import signing_key
from hardline.tasks import TaskSet

ASKED, ANSWER = 100, bytes(1000)
_PIECE = bytes(1 << 20)


class Served(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._begun = b""
        self._doing = ""
        self._left = 0
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if not self._doing:
            self._begun += data
            hello = read_client_hello(self._begun)
            if hello is None or len(self._begun) < hello.size + 9:
                return
            order, data = self._begun[hello.size : hello.size + 9], self._begun[hello.size + 9 :]
            self._doing, self._left = chr(order[0]), int.from_bytes(order[1:])
            self.transport.write(b".")  # as a host's answer to the first flight: until then a relay holds that
            if self._doing == "R":
                self._left = 0
            if self._doing == "D":
                self._send()
        if self._doing == "U":
            self._left -= len(data)
            if self._left <= 0:
                self.transport.write(b"!")
        elif self._doing == "R" and data:
            self._left += len(data)
            count, self._left = divmod(self._left, ASKED)
            self.transport.write(ANSWER * count)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._send()

    def eof_received(self) -> bool:
        return False

    def _send(self) -> None:
        while self._doing == "D" and self._left and not self._paused:
            piece = _PIECE[: min(self._left, len(_PIECE))]
            self._left -= len(piece)
            self.transport.write(piece)


def _joined(joined: Joined) -> None:
    served = Served()
    served.connection_made(joined.tcp.transport)
    early, _ = joined.tcp.hand_over(served)
    if early:
        served.data_received(early)


async def _main(port: int, relay: str) -> None:
    await asyncio.get_running_loop().create_server(Served, "127.0.0.1", port, backlog=4096)
    if relay:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        address = RelayAddress.parse(relay)
        handle = make_handle(pem, "bench", address.key_hash, 1)
        me = Prover(handle.certificate, signing_key(pem))
        service = address.key_hash  # nobody visits it: what passes here is no TLS
        client = RelayClient(
            address, lambda: me, lambda: [Wanted(service, handle)], _joined, lambda: None, clock=time.time
        )
        tasks = TaskSet("bench")
        tasks.start(client.run(), "relay")
        while not client.registered:
            await asyncio.sleep(0.01)
        print(handle_of(handle), flush=True)
    else:
        print("-", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_main(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""))
