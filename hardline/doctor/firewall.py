"""Which firewall this computer has, and what it does with what comes to hardline's ports.

Only root may read most of that.  Whoever may not is told the command that would tell.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from hardline.doctor import ruleset
from hardline.doctor.commands import found, output
from hardline.doctor.facts import Firewall, Passing
from hardline.doctor.rows import Unknown
from hardline.doctor.ruleset import Packet

_Judge = Callable[[Packet], bool | None]
_LEGACY = Path("/proc/net/ip_tables_names")  # root's
_UFW = Path("/etc/ufw/ufw.conf")


async def look(wanted: Sequence[Packet]) -> Firewall | Unknown:
    """Of the first firewall here that decides."""
    if found("ufw") and await asyncio.to_thread(_ufw_is_on):
        text = await output("ufw", "status", "verbose")
        if text is None:
            return Unknown("ufw is on, and only root can see what it lets in", "sudo ufw status verbose")
        return _judged("ufw", wanted, lambda packet: ruleset.ufw(text, packet))
    if found("firewall-cmd") and await output("firewall-cmd", "--state") is not None:
        listed = await output("firewall-cmd", "--list-all")
        if listed is None:
            return Unknown("firewalld is on, and only root can see what it lets in", "sudo firewall-cmd --list-all")
        return _judged("firewalld", wanted, lambda packet: ruleset.firewalld(listed, packet))
    if not (found("nft") or found("iptables-save")):
        return Unknown("no program is here that shows the rules of the kernel (nft, iptables)")
    if os.geteuid() != 0:
        return Unknown("only root can see the rules of the kernel", "sudo nft list ruleset")
    return await _of_the_kernel(wanted)


async def _of_the_kernel(wanted: Sequence[Packet]) -> Firewall | Unknown:
    """By nftables, and by iptables where that has rules of its own: before nftables (legacy), or in it (extensions)."""
    judges, tools = list[_Judge](), list[str]()
    rules = await output("nft", "-j", "list", "ruleset") if found("nft") else None
    if rules is None and found("nft"):
        return Unknown("the rules of the kernel cannot be read here", "sudo nft list ruleset")
    try:
        extended = rules is None or ruleset.uses_extensions(rules)
        if rules is not None:
            listed = rules
            judges.append(lambda packet: ruleset.nft(listed, packet, without_extensions=extended))
            tools.append("nftables")
        for program in (*(["iptables-save"] if extended else []), *(await asyncio.to_thread(_legacy))):
            saved = await output(program)
            if saved is None:
                return Unknown(f"iptables has rules, and {program} does not show them", "nft list ruleset")
            judges.append(lambda packet, saved=saved: ruleset.iptables(saved, packet))  # type: ignore[misc]
            tools.append(program.removesuffix("-save"))
        return _judged(tools[-1], wanted, lambda packet: ruleset.both([judge(packet) for judge in judges]))
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration, IndexError):
        return Unknown("the rules of the kernel are not understood here", "nft list ruleset")


def _legacy() -> list[str]:
    """What shows the tables that the older iptables has made, where there are any."""
    try:
        tables = _LEGACY.read_text().split()
    except OSError:
        return []
    if "filter" not in tables:
        return []
    return ["iptables-legacy-save" if found("iptables-legacy-save") else "iptables-save"]


def _judged(tool: str, wanted: Sequence[Packet], passes: _Judge) -> Firewall:
    ports = tuple(Passing(one.port, one.protocol, passes(one)) for one in wanted)
    return Firewall(tool, ports, open_it(tool, [one for one, it in zip(wanted, ports, strict=True) if not it.passes]))


def open_it(tool: str, shut: Sequence[Packet]) -> str:
    """The command that lets packets in."""
    many = len(shut) > 1
    each = [f"{one.port}/{one.protocol}" for one in shut]
    match tool:
        case "ufw":
            return " && ".join(f"sudo ufw allow {one}" for one in each)
        case "firewalld":
            ports = " ".join(f"--add-port={one}" for one in each)
            return f"sudo firewall-cmd {ports} && sudo firewall-cmd --runtime-to-permanent" if each else ""
        case "iptables" | "iptables-legacy":
            return " && ".join(f"sudo {tool} -I INPUT -p {one.protocol} --dport {one.port} -j ACCEPT" for one in shut)
        case _:
            said = ", ".join(f"{one.protocol} dport {one.port} accept" for one in shut)
            rules = "rules" if many else "a rule"
            return f"in the input chain of /etc/nftables.conf {rules} before what drops: {said}" if shut else ""


def _ufw_is_on() -> bool:
    try:
        return "ENABLED=yes" in _UFW.read_text(errors="replace").replace(" ", "")
    except OSError:
        return False
