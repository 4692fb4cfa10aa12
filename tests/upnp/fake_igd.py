"""A router that speaks UPnP, and may lie: for what a real one cannot be made to do.

    GET /root.xml ─▶ the description        POST /control ─▶ a table of mappings, or an error, or `spoilt`

It shares the event loop of the test and listens on 127.0.0.1.  Or it is a program of its own, which answers searches:

    python -m tests.upnp.fake_igd 192.168.77.11 8.8.4.4 [LOCATION] ──▶ a line for everything that it is asked
"""

from __future__ import annotations

import asyncio
import re
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

from hardline.upnp.router import Igd

NAME = "hardline test"
PORT = 5000  # of the program
SERVICE = "urn:schemas-upnp-org:service:WANIPConnection:1"
NOT_THERE, NO_MORE, CONFLICT, SAME_PORT, PERMANENT = 714, 713, 718, 724, 725

Writer = asyncio.StreamWriter
Spoilt = Callable[[Writer], Awaitable[None]]


@dataclass
class Entry:
    client: str
    inside: int
    name: str
    lease: int


@dataclass
class FakeIgd:
    external: str = "203.0.114.9"
    table: dict[int, Entry] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)  # action → error
    slow: dict[str, float] = field(default_factory=dict)  # action → seconds
    taken: set[int] = field(default_factory=set)  # ports in conflict that the table does not show
    permanent_only: bool = False
    same_port_only: bool = False
    renews: bool = True
    renamed: str = ""
    stolen_by: str = ""  # to whom it gives what it is asked for
    control: str = "/control"
    spoilt_description: Spoilt | None = None
    spoilt: Spoilt | None = None
    asked: list[str] = field(default_factory=list)
    sent: int = 0
    port: int = 0
    aloud: bool = False
    service: str = SERVICE

    @asynccontextmanager
    async def running(self, address: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Igd]:
        """Serve; gives the Way that leads here."""
        connections: set[asyncio.Task[None]] = set()

        async def accepted(reader: asyncio.StreamReader, writer: Writer) -> None:
            task = asyncio.current_task()
            assert task
            connections.add(task)
            try:
                await self._serve(reader, writer)
            except ConnectionError:
                pass
            finally:
                connections.discard(task)
                writer.close()

        server = await asyncio.start_server(accepted, address, port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield Igd([self.url], "127.0.0.1", "127.0.0.1", NAME)
        finally:
            server.close()
            for task in connections:
                task.cancel()
            await asyncio.gather(*connections, return_exceptions=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/root.xml"

    def ours(self) -> dict[int, int]:
        """The mappings that lead to this computer: outside → inside."""
        return {port: entry.inside for port, entry in self.table.items() if entry.client == "127.0.0.1"}

    async def _serve(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        if head.startswith("GET"):
            self._note("description")
            if self.spoilt_description:
                return await self.spoilt_description(writer)
            return await self._answer(writer, "200 OK", self._description())
        length = re.search(r"content-length: *(\d+)", head, re.IGNORECASE)
        body = (await reader.readexactly(int(length[1]) if length else 0)).decode()
        action = re.search(rf'SOAPAction: *"?{self.service}#(\w+)', head, re.IGNORECASE)
        if not action:
            self._note("nonsense")
            return await self._answer(writer, "404 Not Found", "")
        self._note(action[1])
        await asyncio.sleep(self.slow.get(action[1], 0))
        if self.spoilt:
            return await self.spoilt(writer)
        fields = dict(re.findall(r"<(\w+)>([^<]*)</", body))
        result = self._do(action[1], fields, writer.get_extra_info("peername")[0])
        if isinstance(result, int):
            fault = f"<errorCode>{result}</errorCode><errorDescription>x</errorDescription>"
            return await self._answer(writer, "500 Error", _soap(f"<s:Fault><detail>{fault}</detail></s:Fault>"))
        inner = "".join(f"<{key}>{value}</{key}>" for key, value in result.items())
        return await self._answer(
            writer, "200 OK", _soap(f'<u:{action[1]}Response xmlns:u="{self.service}">{inner}</u:{action[1]}Response>')
        )

    def _note(self, what: str) -> None:
        self.asked.append(what)
        if self.aloud:
            print(what, flush=True)

    def _do(self, action: str, fields: dict[str, str], _: str) -> dict[str, object] | int:
        port = int(fields.get("NewExternalPort") or 0)
        entry = self.table.get(port)
        if action in self.refused:
            return self.refused[action]
        match action:
            case "GetExternalIPAddress":
                return {"NewExternalIPAddress": self.external}
            case "GetSpecificPortMappingEntry":
                return _shown(entry) if entry else NOT_THERE
            case "GetGenericPortMappingEntry":
                index = int(fields["NewPortMappingIndex"])
                if index >= len(self.table):
                    return NO_MORE
                port = list(self.table)[index]
                return {"NewExternalPort": port, "NewProtocol": "TCP", "NewRemoteHost": "", **_shown(self.table[port])}
            case "DeletePortMapping":
                return {} if self.table.pop(port, None) else NOT_THERE
            case "AddPortMapping":
                return self._add(port, fields)
        return 401

    def _add(self, port: int, fields: dict[str, str]) -> dict[str, object] | int:
        client, lease = fields["NewInternalClient"], int(fields["NewLeaseDuration"])
        there = self.table.get(port)
        if port in self.taken or (there and (there.client != client or not self.renews)):
            return CONFLICT
        if self.same_port_only and port != int(fields["NewInternalPort"]):
            return SAME_PORT
        if self.permanent_only and lease:
            return PERMANENT
        name = self.renamed or fields["NewPortMappingDescription"]
        self.table[port] = Entry(self.stolen_by or client, int(fields["NewInternalPort"]), name, lease)
        return {}

    def _description(self) -> str:
        service = (
            f"<service><serviceType>{self.service}</serviceType><serviceId>urn:upnp-org:serviceId:WANIPConn1</serviceId>"
            f"<controlURL>{self.control}</controlURL><eventSubURL>/e</eventSubURL><SCPDURL>/s.xml</SCPDURL></service>"
        )
        kinds = ("InternetGatewayDevice", "WANDevice", "WANConnectionDevice")
        opened = [
            f"<device><deviceType>urn:schemas-upnp-org:device:{kind}:1</deviceType>"
            f"{'<deviceList>' if kind != kinds[-1] else f'<serviceList>{service}</serviceList>'}"
            for kind in kinds
        ]
        closed = "</device></deviceList></device></deviceList></device>"
        return f'<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0">{"".join(opened)}{closed}</root>'

    async def _answer(self, writer: Writer, status: str, body: str) -> None:
        head = (
            f"HTTP/1.1 {status}\r\nContent-Type: text/xml\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        await self.send(writer, (head + body).encode())

    async def send(self, writer: Writer, data: bytes) -> None:
        self.sent += len(data)
        writer.write(data)
        await writer.drain()


def _shown(entry: Entry) -> dict[str, object]:
    return {
        "NewInternalPort": entry.inside,
        "NewInternalClient": entry.client,
        "NewEnabled": 1,
        "NewPortMappingDescription": entry.name,
        "NewLeaseDuration": entry.lease,
    }


def _soap(body: str) -> str:
    return (
        '<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/">'
        f"<s:Body>{body}</s:Body></s:Envelope>"
    )


class Searched(asyncio.DatagramProtocol):
    """Answers every search with `location`."""

    def __init__(self, location: str) -> None:
        self._location = location

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, sender: tuple[str, int]) -> None:
        target = re.search(rb"\r\nST: (\S+)", data)
        if target:
            answer = f"HTTP/1.1 200 OK\r\nST: {target[1].decode()}\r\nLOCATION: {self._location}\r\n\r\n"
            self._transport.sendto(answer.encode(), sender)


async def serve(address: str, location: str, router: FakeIgd) -> None:
    """Answer searches with `location`, and be `router` at port PORT."""
    hearing = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    hearing.bind(("", 1900))
    member = socket.inet_aton("239.255.255.250") + socket.inet_aton(address)
    hearing.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
    hearing.setblocking(False)
    await asyncio.get_running_loop().create_datagram_endpoint(lambda: Searched(location), sock=hearing)
    async with router.running(address, PORT):
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    here = sys.argv[1]
    there = sys.argv[3] if len(sys.argv) > 3 else f"http://{here}:{PORT}/root.xml"
    asyncio.run(serve(here, there, FakeIgd(sys.argv[2], aloud=True)))
