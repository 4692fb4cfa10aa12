"""This machine's addresses and the ways that lead out of it, as the kernel tells them.

    addresses ── netlink (ifaddr) ──▶ every address of every interface
              ── where that is forbidden (systemd's RestrictAddressFamilies, a sandbox): ioctl and /proc, one warning
    routes    ── /proc/net ─────────▶ the default routes, the preferred one first
    flags_6   ── /proc/net ─────────▶ which IPv6 addresses cannot be used yet, or should not be any more
    is_made   ── /sys/class/net ────▶ an interface that only exists in the computer: a bridge, one end of a veth

What cannot be read is as if it were not there: elsewhere than on Linux no route is known, and no interface is made.
"""

from __future__ import annotations

import array
import contextlib
import functools
import ipaddress
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import ifaddr

from hardline import log

_KERNEL, _DEVICES = Path("/proc/net"), Path("/sys/class/net")
_MAX_TABLE = 1 << 20  # bytes; a router of the internet's core has more
_MAX_DEPTH = 4  # of interfaces that are made of others

# netdevice(7), linux/sockios.h, linux/if_arp.h, linux/ipv6_route.h.
_SIOCGIFCONF, _SIOCGIFNETMASK = 0x8912, 0x891B
_IFREQ = 40 if struct.calcsize("P") == 8 else 32
_ETHERNET = 1
_UP, _REJECT = 0x1, 0x200


class Held(NamedTuple):
    """An address that an interface holds."""

    interface: str
    number: int
    address: str  # without scope
    prefix: int


class Route(NamedTuple):
    """A default route: by which interface, to which router ("" where the other end of it is meant)."""

    interface: str
    router: str


def addresses() -> list[Held]:
    """Every address of this machine.  Blocks for a moment."""
    try:
        return [
            Held(adapter.nice_name, adapter.index or 0, held.ip if held.is_IPv4 else held.ip[0], held.network_prefix)  # type: ignore[arg-type]
            for adapter in ifaddr.get_adapters()
            for held in adapter.ips
        ]
    except OSError as failure:
        _say_once(str(failure))
        return [*_by_ioctl(), *_from_proc()]


def routes() -> tuple[Route, ...]:
    """The default routes.  Blocks for a moment."""
    found: list[tuple[int, Route]] = []
    for fields in _lines("route"):
        with contextlib.suppress(ValueError, IndexError, struct.error):
            if not int(fields[1], 16) and not int(fields[7], 16) and int(fields[3], 16) & (_UP | _REJECT) == _UP:
                router = str(ipaddress.IPv4Address(struct.pack("=I", int(fields[2], 16))))
                found.append((int(fields[6]), Route(fields[0], "" if router == "0.0.0.0" else router)))
    for fields in _lines("ipv6_route"):
        with contextlib.suppress(ValueError, IndexError):
            everywhere = not int(fields[0], 16) and not int(fields[1], 16)
            if everywhere and int(fields[8], 16) & (_UP | _REJECT) == _UP:
                hop = int(fields[4], 16)
                router = str(ipaddress.IPv6Address(hop)) if hop else ""
                found.append((int(fields[5], 16), Route(fields[9], router)))
    return tuple(dict.fromkeys(route for _, route in sorted(found, key=lambda entry: entry[0])))


def flags_6() -> frozenset[tuple[str, ...]]:
    """Every IPv6 address with its flags, as the kernel writes them: tentative, deprecated.  Blocks for a moment."""
    return frozenset(tuple(fields) for fields in _lines("if_inet6"))


def has_carrier(interface: str) -> bool:
    """Somebody may be at the other end of it."""
    return _attribute(interface, "operstate") not in ("down", "lowerlayerdown", "notpresent")


def is_made(interface: str) -> bool:
    """It is made for programs of this computer, and is not made of anything that leads out of it; or it is gone."""
    return _is_made(_DEVICES / interface, _MAX_DEPTH)


def made() -> frozenset[tuple[str, ...]]:
    """All interfaces that are made, each with its state.  Blocks for a moment."""
    try:
        names = [device.name for device in _DEVICES.iterdir() if device.is_dir() and _is_made(device, _MAX_DEPTH)]
    except OSError:
        return frozenset()
    return frozenset((name, *(_attribute(name, what) for what in ("ifindex", "flags", "operstate"))) for name in names)


def _is_made(device: Path, depth: int) -> bool:
    try:
        if (device / "device").exists():
            return False
        if (device / "type").read_text().strip() != str(_ETHERNET):
            return False  # tunnels, telephones, loopback
        below = [one.name.removeprefix("lower_") for one in device.iterdir() if one.name.startswith("lower_")]
    except OSError:
        return _is_gone(device.name)  # it may go while it is looked at
    return all(depth > 0 and _is_made(device.parent / name, depth - 1) for name in below)


def _is_gone(interface: str) -> bool:
    try:
        socket.if_nametoindex(interface)
    except OSError:
        return True
    return False


def _attribute(interface: str, name: str) -> str:
    try:
        return (_DEVICES / interface / name).read_text().strip()
    except OSError:
        return ""


def _lines(table: str) -> Iterator[list[str]]:
    try:
        with (_KERNEL / table).open("rb") as opened:
            text = opened.read(_MAX_TABLE).decode("latin-1")
    except OSError:
        return
    yield from (line.split() for line in text.splitlines())


# ── without netlink ──────────────────────────────────────────────────────────────────────────────────────────


@functools.cache
def _say_once(reason: str) -> None:
    log.warning(
        "network.not_told",
        reason=reason,
        consequence="changes of the network are noticed seconds later",
        hint="with systemd: RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
    )


def _by_ioctl() -> Iterator[Held]:
    if sys.platform != "linux":
        return
    import fcntl

    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        answer = array.array("B", bytes(1024 * _IFREQ))
        at, length = answer.buffer_info()
        filled = struct.unpack("iP", fcntl.ioctl(asking, _SIOCGIFCONF, struct.pack("iP", length, at)))[0]
        data = answer.tobytes()
        for start in range(0, min(filled, length), _IFREQ):
            one = data[start : start + _IFREQ]
            name = one[:16].partition(b"\0")[0].decode(errors="replace")
            with contextlib.suppress(OSError):
                mask = fcntl.ioctl(asking, _SIOCGIFNETMASK, one)[20:24]
                prefix = int.from_bytes(mask, "big").bit_count()
                name = name.partition(":")[0]  # of an address with a label of its own
                yield Held(name, socket.if_nametoindex(name), socket.inet_ntoa(one[20:24]), prefix)


def _from_proc() -> Iterator[Held]:
    for fields in _lines("if_inet6"):
        with contextlib.suppress(ValueError, IndexError):
            address = ipaddress.IPv6Address(int(fields[0], 16))
            yield Held(fields[5], int(fields[1], 16), str(address), int(fields[2], 16))
