"""A router whose IPv6 firewall is opened by UPnP, and which may lie: fake_igd.py with another service.

POST /control ─▶ a table of pinholes by their ids, or an error
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hardline.upnp.ssdp import HttpPlace
from tests.upnp.fake_igd import FakeIgd

SERVICE = "urn:schemas-upnp-org:service:WANIPv6FirewallControl:1"
HERE = "::1"
NOT_YOU, OFF, FORBIDDEN, NO_SUCH = 606, 702, 703, 704


@dataclass
class Opened:
    client: str
    port: int
    lease: int


@dataclass
class FakeFirewall(FakeIgd):
    service: str = SERVICE
    pinholes: dict[int, Opened] = field(default_factory=dict)
    enabled: str = "1"
    allowed: str = "1"
    for_anybody: bool = False  # it opens for others than who asks
    number: int | str = 700  # the id of the next one
    wished: list[str] = field(default_factory=list)  # leases, as they were asked for

    def place(self, host: str = HERE, path: str = "/root.xml", own: str = "") -> HttpPlace:
        return HttpPlace(host, self.port, path, own or host)

    def _do(self, action: str, fields: dict[str, str], peer: str) -> dict[str, object] | int:
        if action in self.refused:
            return self.refused[action]
        match action:
            case "GetFirewallStatus":
                return {"FirewallEnabled": self.enabled, "InboundPinholeAllowed": self.allowed}
            case "AddPinhole":
                return self._add_pinhole(fields, peer)
            case "UpdatePinhole":
                there = self.pinholes.get(int(fields["UniqueID"]))
                if not there:
                    return NO_SUCH
                there.lease = int(fields["NewLeaseTime"])
                return {}
            case "DeletePinhole":
                return {} if self.pinholes.pop(int(fields["UniqueID"]), None) else NO_SUCH
        return 401

    def _add_pinhole(self, fields: dict[str, str], peer: str) -> dict[str, object] | int:
        client, port, lease = fields["InternalClient"], int(fields["InternalPort"]), fields["LeaseTime"]
        assert (fields["RemoteHost"], fields["RemotePort"], fields["Protocol"]) == ("", "0", "6")
        if client != peer and not self.for_anybody:
            return NOT_YOU
        self.wished.append(lease)
        for number, there in self.pinholes.items():
            if (there.client, there.port) == (client, port):
                there.lease = int(lease)
                return {"UniqueID": number}
        if isinstance(self.number, int):
            self.pinholes[self.number] = Opened(client, port, int(lease))
            self.number += 1
            return {"UniqueID": self.number - 1}
        return {"UniqueID": self.number}
