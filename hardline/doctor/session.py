"""What belongs to whoever asks: his session, his programs, the routes and the clock of this computer.

unit_of ─── /proc/PID/cgroup ────────────▶ whether systemd keeps the daemon, and whose
lingering ─ /var/lib/systemd/linger ─────▶ whether that goes on after a logout
resolving ─ getaddrinfo, curl ───────────▶ where names below .localhost lead to
routes ──── /proc/net, /sys/class/net ───▶ the default routes
clock ───── adjtimex(2) ─────────────────▶ whether something keeps it right
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import pwd
import re
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from hardline import machine
from hardline.doctor.commands import found, output
from hardline.doctor.facts import Clock, Daemon, DefaultRoute, Lingering, Resolving, Routes
from hardline.doctor.rows import Unknown
from hardline.doctor.threads import in_thread
from hardline.tasks import TaskSet

NAME = "0" * 40 + ".localhost"  # nobody's: whoever is asked for it instead learns nothing

_RESOLVED_WITHIN = 4.0  # seconds
_SYSTEMD, _LINGER = Path("/run/systemd/system"), Path("/var/lib/systemd/linger")
_DEVICES = Path("/sys/class/net")
# linux/if_arp.h: NONE (tun, WireGuard), and tunnels of several kinds; PPP is how many are connected at all.
_TUNNELS = {"65534", "768", "769", "776", "778", "823"}
_NOBODY = ("203.0.113.1", 9)  # TEST-NET-3: what is sent there goes the default way, and nothing is
_UNSYNCHRONIZED = 0x40  # STA_UNSYNC of linux/timex.h
_SAID_BY_US = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"


def running(version: str, pid: int) -> Daemon:
    """The daemon of this process id, as far as the system tells.  Blocks for a moment."""
    manager, unit, user = "", "", ""
    with contextlib.suppress(OSError):
        user = name_of(os.stat(f"/proc/{pid}").st_uid)
    with contextlib.suppress(OSError):
        manager, unit = unit_of(Path(f"/proc/{pid}/cgroup").read_text(errors="replace"))
    return Daemon(version, pid, user, manager, unit)


def others() -> list[tuple[int, str]]:
    """The hardlineds that run on this computer, whoever's they are: process ids and users.  Blocks for a moment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")[:2]
            if any(word.rpartition(b"/")[2] == b"hardlined" for word in words):
                found.append((int(process.name), name_of(process.stat().st_uid)))
    return found


def unit_of(cgroup: str) -> tuple[str, str]:
    """Whose systemd keeps a process, by its /proc/PID/cgroup: ("user", unit), ("system", unit), or ("", "")."""
    for line in cgroup.splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        parts = [part for part in path.split("/") if part]
        # A program of a shell is in the unit of whatever started that: only our own is meant to stay.
        if controllers not in ("", "name=systemd") or not parts or not re.fullmatch(r"hardline.*\.service", parts[-1]):
            continue
        return ("user" if any(re.fullmatch(r"user@\d+\.service", part) for part in parts[:-1]) else "system"), parts[-1]
    return "", ""


def name_of(user: int) -> str:
    """As the system calls him."""
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def lingering(user: str) -> Lingering:
    """Of whom the daemon runs as.  Blocks for a moment."""
    return Lingering(_SYSTEMD.is_dir(), user, (_LINGER / user).exists())


async def resolving() -> Resolving:
    """Where names below .localhost lead to, for programs that ask the system, and for curl."""
    system, problem = list[str](), ""
    try:
        async with asyncio.timeout(_RESOLVED_WITHIN):
            answers = await in_thread(lambda: socket.getaddrinfo(NAME, 80, type=socket.SOCK_STREAM))
            system = list(dict.fromkeys(str(answer[4][0]).partition("%")[0] for answer in answers))
    except TimeoutError:
        problem = f"no answer within {_RESOLVED_WITHIN:g} s"
    except OSError as failure:
        problem = (failure.strerror or str(failure)).lower()
    return Resolving(tuple(system), problem, await _curl_comes() if found("curl") else None)


async def _curl_comes() -> bool:
    """Whether curl, asked for such a name, comes to a port of this computer that is open for it."""
    came = asyncio.Event()
    tasks = TaskSet("doctor")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        if line.startswith(b"GET /doctor "):
            came.set()
        writer.write(_SAID_BY_US)
        with contextlib.suppress(OSError):
            await writer.drain()
        writer.close()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.start(answer(reader, writer), "curl")

    try:
        server = await asyncio.start_server(accepted, "127.0.0.1", 0, limit=4096)
    except OSError:
        return False
    port = server.sockets[0].getsockname()[1]
    try:
        url = f"http://{NAME}:{port}/doctor"
        await output("curl", "--silent", "--noproxy", "*", "--max-time", "3", "--output", os.devnull, url)
    finally:
        server.close()
        await tasks.aclose()
    return came.is_set()


def routes() -> Routes:
    """The default routes, that by which the kernel really sends first.  Blocks for a moment.

    Many VPNs leave the table of routes alone, and have rules that lead to another one.
    """
    leading = [DefaultRoute(one.interface, one.router, _is_tunnel(one.interface)) for one in machine.routes()]
    by = _sends_by({one.address: one.interface for one in machine.addresses()})
    if by and (not leading or leading[0].interface != by):
        leading.insert(0, DefaultRoute(by, "", _is_tunnel(by)))
    return Routes(tuple(leading))


def _sends_by(interfaces: Mapping[str, str]) -> str:
    """The interface, by whose addresses they are; "" where there is no way out, or that is not told."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(_NOBODY)
        return interfaces.get(probe.getsockname()[0], "")
    return ""


def _is_tunnel(interface: str) -> bool:
    try:
        device = _DEVICES / interface
        if (device / "tun_flags").exists():
            return True  # one that dresses as Ethernet, too
        # A modem of a telephone network has a device, a tunnel has none.
        return (device / "type").read_text().strip() in _TUNNELS and not (device / "device").exists()
    except OSError:
        return False


def clock() -> Clock | Unknown:
    """Whether the kernel has been told that its clock is kept right."""
    if sys.platform != "linux":
        return Unknown("this system does not tell whether its clock is kept right")
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        timex = (ctypes.c_char * 1024)()  # struct timex, all zero: a question; it is 208 bytes where longs have 8
        if libc.adjtimex(ctypes.byref(timex)) < 0:
            return Unknown("the kernel does not tell whether its clock is kept right", "timedatectl")
    except (OSError, AttributeError):
        return Unknown("the kernel does not tell whether its clock is kept right", "timedatectl")
    # int modes; long offset, freq, maxerror, esterror; int status
    at = 5 * ctypes.sizeof(ctypes.c_long)
    status = int.from_bytes(timex.raw[at : at + 4], sys.byteorder)
    return Clock(not status & _UNSYNCHRONIZED)
