"""What the rules of a firewall do with a packet for one of our ports, without I/O.

    nft -j list ruleset ─ nft ─┐
    iptables-save ── iptables ─┼─▶ passes: True, False, or None where it depends on more than is known here
    ufw status verbose ── ufw ─┤
    firewall-cmd --list-all ───┘

The packet: a new one from this network, to a port of this computer.  A rule that is not understood decides nothing by
itself; but what comes after it counts only where both ways lead to the same end.
Source: libnftables-json(5), nft(8), iptables-save(8), ufw(8), firewall-cmd(1).
"""

from __future__ import annotations

import json
import re
import shlex
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MAX_STEPS = 20_000  # rules looked at for one packet

_TERMINAL = {"accept", "drop", "reject", "queue"}


@dataclass(frozen=True, slots=True)
class Packet:
    """What comes in: `tcp` or `udp`, to which port."""

    protocol: str
    port: int


@dataclass(frozen=True, slots=True)
class Rule:
    """`fits` None: that depends on what is not known here.  `does` is accept, drop, jump:CHAIN, goto:CHAIN, return or
    "" for what decides nothing."""

    fits: bool | None
    does: str


class _TooLong(Exception):
    """More rules than are looked at."""


def walk(chains: Mapping[str, Sequence[Rule]], first: str, policy: str) -> bool | None:
    """What becomes of a packet that enters chain `first`."""
    steps = [0]

    def run(name: str, depth: int) -> set[str]:
        """The ends that it may come to: accept, drop, on (to the caller)."""
        may = set[str]()
        for rule in chains.get(name, ()):
            steps[0] += 1
            if steps[0] > MAX_STEPS or depth > 64:
                raise _TooLong
            if rule.fits is False or not rule.does:
                continue
            kind, _, chain = rule.does.partition(":")
            if kind in ("jump", "goto"):
                ends = run(chain, depth + 1)
                if kind == "jump":
                    may |= ends - {"on"}
                    falls = "on" in ends
                else:
                    may |= ends
                    falls = False
            else:
                may.add("on" if kind == "return" else "accept" if kind == "accept" else "drop")
                falls = False
            if rule.fits and not falls:
                return may
        return may | {"on"}

    try:
        ends = run(first, 0)
    except _TooLong:
        return None
    if "on" in ends:
        ends = ends - {"on"} | {"accept" if policy == "accept" else "drop"}
    return None if len(ends) > 1 else ends == {"accept"}


def both(verdicts: Iterable[bool | None]) -> bool | None:
    """Of several chains that a packet has to pass: one that drops it decides."""
    found = list(verdicts)
    return False if False in found else None if None in found else True


# nftables.


def nft(text: str, packet: Packet, *, without_extensions: bool = False) -> bool | None:
    """By `nft -j list ruleset`, for IPv4.  Raises ValueError.

    `without_extensions` leaves out the tables that iptables has made, and that it alone can show (`uses_extensions`).
    """
    things = _things(text)
    hidden = {_table(rule) for rule in _rules(things) if _is_extension(rule)} if without_extensions else set()
    chains, bases = defaultdict[str, list[Rule]](list), list[tuple[str, str]]()
    for thing in things:
        chain = thing.get("chain") if isinstance(thing, dict) else None
        if not isinstance(chain, dict) or chain.get("hook") != "input" or _table(chain) in hidden:
            continue
        if chain.get("family") in ("ip", "inet"):
            bases.append((_name(chain, chain.get("name")), str(chain.get("policy", "accept"))))
    for rule in _rules(things):
        chains[_name(rule, rule.get("chain"))].append(_nft_rule(rule, packet))
    return both(walk(chains, name, policy) for name, policy in bases)


def uses_extensions(text: str) -> bool:
    """Whether iptables has put rules there that nft does not understand.  Raises ValueError."""
    return any(_is_extension(rule) for rule in _rules(_things(text)))


def _things(text: str) -> list[Any]:
    ruleset = json.loads(text)
    things = ruleset.get("nftables") if isinstance(ruleset, dict) else None
    if not isinstance(things, list):
        raise ValueError("no ruleset")
    return things


def _rules(things: list[Any]) -> list[Mapping[str, Any]]:
    found = [thing.get("rule") for thing in things if isinstance(thing, dict)]
    return [rule for rule in found if isinstance(rule, dict) and isinstance(rule.get("expr"), list)]


def _is_extension(rule: Mapping[str, Any]) -> bool:
    return any(isinstance(part, dict) and "xt" in part for part in rule["expr"])


def _table(where: Mapping[str, Any]) -> tuple[str, str]:
    return str(where.get("family")), str(where.get("table"))


def _name(where: Mapping[str, Any], chain: object) -> str:
    return f"{where.get('family')}/{where.get('table')}/{chain}"


def _nft_rule(rule: Mapping[str, Any], packet: Packet) -> Rule:
    fits: bool | None = True
    for part in rule["expr"]:
        kind, what = next(iter(part.items())) if isinstance(part, dict) and part else ("", None)
        if kind in _TERMINAL:
            return Rule(fits, "accept" if kind == "accept" else "drop")
        if kind == "return":
            return Rule(fits, "return")
        if kind in ("jump", "goto") and isinstance(what, dict):
            return Rule(fits, f"{kind}:{_name(rule, what.get('target'))}")
        if kind == "match" and isinstance(what, dict):
            fits = _and(fits, _nft_match(what, packet))
        elif kind in ("vmap", "xt", "limit", "quota", "ct count", "fib", ""):
            # A map of verdicts can do all of it; the others may or may not fit.
            fits = _and(fits, None)
            if kind == "vmap":
                return Rule(*_vmap(what, packet, fits, rule))
    return Rule(fits, "")


def _vmap(what: object, packet: Packet, fits: bool | None, rule: Mapping[str, Any]) -> tuple[bool | None, str]:
    """A map that says nothing of new connections and of our ports changes nothing; others cannot be told."""
    key = what.get("key") if isinstance(what, dict) else None
    if isinstance(key, dict) and key.get("ct") == {"key": "state"} and isinstance(what, dict):
        data = what.get("data")
        pairs = data.get("set", []) if isinstance(data, dict) else []
        for pair in pairs:
            if isinstance(pair, list) and len(pair) == 2 and pair[0] == "new" and isinstance(pair[1], dict):
                does = next(iter(pair[1]))
                target = pair[1][does]
                if does in ("jump", "goto") and isinstance(target, dict):
                    return True, f"{does}:{_name(rule, target.get('target'))}"
                return True, "accept" if does == "accept" else "drop" if does in _TERMINAL else ""
        return False, ""
    return None, "drop"


def _nft_match(match: Mapping[str, Any], packet: Packet) -> bool | None:
    left, right, op = match.get("left"), match.get("right"), match.get("op", "==")
    if not isinstance(left, dict):
        return None
    found = _nft_holds(left, right, packet)
    if found is None or op in ("==", "in"):
        return found
    return not found if op == "!=" else None


def _nft_holds(left: Mapping[str, Any], right: object, packet: Packet) -> bool | None:
    if isinstance(payload := left.get("payload"), dict):
        protocol, part = payload.get("protocol"), payload.get("field")
        if protocol in ("tcp", "udp") and part == "dport":
            return protocol == packet.protocol and _holds(right, packet.port)
        if protocol == "th" and part == "dport":
            return _holds(right, packet.port)
        if protocol in ("tcp", "udp", "icmp", "icmpv6"):
            return None if protocol == packet.protocol else False
        if (protocol, part) in (("ip", "protocol"), ("ip6", "nexthdr")):
            return _holds(right, packet.protocol)
        return None
    if isinstance(meta := left.get("meta"), dict):
        if meta.get("key") == "l4proto":
            return _holds(right, packet.protocol)
        if meta.get("key") in ("iifname", "iif"):
            return False if _only(right, "lo") else None
        return None
    if left.get("ct") == {"key": "state"}:
        return _holds(right, "new")
    return None


def _holds(right: object, value: int | str) -> bool | None:
    """Whether a value is one of those on the right: itself, a set, a list, a range."""
    if isinstance(right, dict) and "set" in right:
        right = right["set"]
    if isinstance(right, dict) and isinstance(bounds := right.get("range"), list) and len(bounds) == 2:
        return bounds[0] <= value <= bounds[1] if all(type(one) is type(value) for one in bounds) else None
    if isinstance(right, list):
        found = [_holds(one, value) for one in right]
        return True if True in found else None if None in found else False
    if isinstance(right, int | str):
        return None if isinstance(right, str) and right.startswith("@") else right == value
    return None


def _only(right: object, name: str) -> bool:
    return right == name


def _and(one: bool | None, other: bool | None) -> bool | None:
    return False if False in (one, other) else None if None in (one, other) else True


# iptables.


def iptables(text: str, packet: Packet) -> bool | None:
    """By `iptables-save`, of the table filter."""
    chains, policy, inside = defaultdict[str, list[Rule]](list), "accept", False
    for line in text.splitlines():
        if line.startswith("*"):
            inside = line.strip() == "*filter"
        elif inside and line.startswith(":INPUT "):
            policy = "accept" if line.split()[1] == "ACCEPT" else "drop"
        elif inside and line.startswith("-A "):
            words = shlex.split(line)
            chains[words[1]].append(_iptables_rule(words[2:], packet))
    return walk(chains, "INPUT", policy)


_ENDS = {"ACCEPT": "accept", "DROP": "drop", "REJECT": "drop", "RETURN": "return"}
_DECIDES_NOTHING = {"LOG", "NFLOG", "CONNMARK", "MARK", "TRACE", "SET", "AUDIT", "ULOG"}


def _iptables_rule(words: list[str], packet: Packet) -> Rule:
    fits: bool | None = True
    does, no, at = "", False, 0
    while at < len(words):
        word, value = words[at], words[at + 1] if at + 1 < len(words) else ""
        at += 2
        holds: bool | None
        match word:
            case "!":
                no, at = True, at - 1
                continue
            case "-p" | "--protocol":
                holds = value in (packet.protocol, "all")
            case "--dport" | "--dports" | "--destination-port":
                holds = any(_in_range(one, packet.port) for one in value.split(","))
            case "--state" | "--ctstate":
                holds = "NEW" in value.split(",")
            case "-i" | "--in-interface":
                holds = False if value == "lo" else None
            case "-m" | "--match":
                # What it asks follows; a module that is not known here is followed by words that are not either.
                holds = True
            case "-j" | "--jump" | "-g" | "--goto":
                kind = "goto" if word in ("-g", "--goto") else "jump"
                does = _ENDS.get(value, "" if value in _DECIDES_NOTHING else f"{kind}:{value}")
                break
            case "--comment":
                holds = True
            case _:
                holds = None
                if value.startswith("-") and not re.fullmatch(r"-\d+", value):
                    at -= 1  # it has no value
        fits = _and(fits, not holds if no and holds is not None else holds)
        no = False
    return Rule(fits, does)


def _in_range(text: str, port: int) -> bool:
    low, colon, high = text.partition(":")
    if not low.isdigit() or (colon and not high.isdigit()):
        return False
    return int(low) <= port <= int(high) if colon else int(low) == port


# Programs that manage them.


def ufw(text: str, packet: Packet) -> bool | None:
    """By `ufw status verbose`; True where it is not active."""
    if "Status: active" not in text:
        return True
    for line in text.splitlines():
        found = re.match(r"(\S+?)(?:/(tcp|udp))?(?: \(v6\))?\s+(ALLOW|DENY|REJECT|LIMIT)(?: IN)?\s+(.+)", line)
        if found is None:
            continue
        ports, protocol, does, source = found.groups()
        if protocol not in (None, packet.protocol) or not (
            ports == "Anywhere" or any(_in_range(one, packet.port) for one in ports.split(","))
        ):
            continue
        if "Anywhere" not in source:
            return None
        return does in ("ALLOW", "LIMIT")
    default = re.search(r"Default: (\w+) \(incoming\)", text)
    return None if default is None else default[1] == "allow"


_SERVICES = {"mdns": (5353, "udp")}


def firewalld(text: str, packet: Packet) -> bool | None:
    """By `firewall-cmd --list-all` of the zone that holds for this network."""
    fields = {
        name.strip(): value.strip() for name, colon, value in (one.partition(":") for one in text.splitlines()) if colon
    }
    if fields.get("target") == "ACCEPT":
        return True
    for one in fields.get("ports", "").split():
        ports, _, protocol = one.partition("/")
        if protocol == packet.protocol and _in_range(ports.replace("-", ":"), packet.port):
            return True
    if any(_SERVICES.get(name) == (packet.port, packet.protocol) for name in fields.get("services", "").split()):
        return True
    return None if fields.get("rich rules") else False
