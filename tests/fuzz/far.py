"""What lies beyond the LAN says: values in the DHT, OpenDHT's process, routers."""

from __future__ import annotations

import contextlib
import ipaddress
from hashlib import blake2b

from nacl.secret import SecretBox

from hardline.dht import lines
from hardline.dht.endpoints import believable
from hardline.dht.record import Record, open_record
from hardline.discovery.reached import Reached
from hardline.errors import PeerError
from hardline.identity import KeyHash
from hardline.routes import Endpoint, parse_wan_hosts
from hardline.upnp import natpmp, pcp, ssdp
from hardline.upnp.external import judge
from hardline.upnp.pinhole import Failed, elements

NAME = KeyHash.parse("a946e7a560289417a2711f5b9686624852dd469b")
NOW = 20_778 * 86_400.0
NETWORK = ipaddress.ip_network("192.0.2.0/24")
ROUTER, OWN = "192.0.2.1", "192.0.2.9"
OURS = Endpoint("11.22.33.9", 7008)


def dht_value(data: bytes) -> None:
    """A value as it lies in the DHT, by somebody who does not know the name."""
    _is_refused(data)


def dht_record(data: bytes) -> None:
    """The inside of one, by somebody who knows the name and not its key: nothing he writes is believed."""
    box = SecretBox(blake2b(NAME.digest, digest_size=32, person=b"hardline2-dht").digest())
    _is_refused(bytes(box.encrypt(data, bytes(24))))


def _is_refused(value: bytes) -> None:
    try:
        found: Record | None = open_record(value, NAME, NOW)
    except PeerError:
        found = None
    assert found is None, "nobody has a certificate that hashes to this name"


def dht_plain(data: bytes) -> None:
    """The original's value, which nobody signed: only public addresses of others are dialled."""
    for endpoint in believable(parse_wan_hosts(data.decode("ascii", "replace")), {OURS}, signed=False):
        address = endpoint.address
        assert address is not None, endpoint
        assert endpoint != OURS
        assert not any((address.is_loopback, address.is_multicast, address.is_link_local, address.is_unspecified))
        assert address.is_global or address in ipaddress.ip_network("200::/7"), endpoint


def dht_line(data: bytes) -> None:
    """What the process that OpenDHT lives in writes, which may have been crashed from outside."""
    try:
        fields = lines.decode(data)
    except PeerError:
        return
    assert isinstance(fields, dict)
    for value in fields.values():
        with contextlib.suppress(PeerError):
            assert len(lines.decode_value(value)) <= lines.MAX_VALUE
        with contextlib.suppress(PeerError):
            assert all(isinstance(endpoint, Endpoint) for endpoint in lines.read_endpoints(value))


def reached(data: bytes) -> None:
    """Where visitors say that they came in."""
    heard = Reached(lambda: 0.0)
    told = data.decode("utf-8", "replace")
    for source in ("8.8.8.8", "9.9.9.9"):
        heard.said(Endpoint(source, 1), told)
    for endpoint in heard.agreed:
        address = endpoint.address
        assert address is not None
        assert address.is_global
        assert not address.is_multicast


def pcp_answer(data: bytes) -> None:
    """An answer of a router, or of anybody on the LAN."""
    try:
        answer = pcp.parse(data)
    except PeerError:
        return
    assert len(data) <= pcp.MAX_PACKET
    if isinstance(answer, pcp.Mapped):
        assert 0 <= answer.port <= 65_535
        ipaddress.ip_address(answer.external)


def natpmp_answer(data: bytes) -> None:
    """The same in the older language."""
    try:
        answer = natpmp.parse(data)
    except PeerError:
        return
    if isinstance(answer, natpmp.ExternalAddress) and answer.address:
        judge(answer.address)


def ssdp_answer(data: bytes) -> None:
    """Who says that he is a router: his description is fetched from nobody but himself."""
    try:
        url = ssdp.location(data, ROUTER, [NETWORK], [OWN])
    except PeerError:
        return
    assert ssdp.host_of(url) == ROUTER
    assert ssdp.place(url, OWN, "eth0").host == ROUTER


def upnp_xml(data: bytes) -> None:
    """Descriptions and answers of routers: nothing grows while it is read."""
    try:
        found = elements(data)
    except Failed:
        return
    inside = sum(len(text) for _, texts in found for text in texts.values())
    assert len(found) <= len(data)
    assert inside <= len(data)
