"""A program of its own: talks UPnP with one router about one port, then ends.

    router.Igd ── stdin: one request, JSON ──▶ this ── miniupnpc: HTTP and XML ──▶ router
                ◀── stdout: one line of JSON ──

miniupnpc waits and reads for as long as a router goes on sending.  Here a router that never ends, sends gigabytes or
breaks the parser costs a process with a limit of memory and time, and never the daemon.  Run by its path, so that it
loads nothing but this; it trusts its request and nothing else.  What pinhole.py has as well is a copy for that reason.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
import time
from typing import Any

PROTOCOL = "TCP"
MAX_ENTRIES = 64  # of a router's table that are read
TIDY_LIMIT = 1.5  # seconds; some routers need a tenth for each entry
MEMORY = 256 << 20  # bytes of address space; Python needs about 50 MB of it

# The names of miniupnpc for the error codes of WANIPConnection:2, section 2.4.
_CONFLICT = {"ConflictInMappingEntry", "ConflictWithOtherMechanisms", "SamePortValuesRequired"}
_PERMANENT_ONLY = "OnlyPermanentLeasesSupported"


class Failed(Exception):
    """What the router did instead: `kind` is refused or broken, `external` the address it claims."""

    def __init__(self, kind: str, reason: str, external: str | None = None) -> None:
        super().__init__(reason)
        self.kind, self.external = kind, external


class Router:
    """The router of a description, and which of its entries are ours: those that lead to us under our name."""

    def __init__(self, upnp: Any, request: dict[str, Any]) -> None:
        self._upnp = upnp
        self._name, self._inside, self._made = request["name"], request["inside"], request["made"]
        control = self._call(upnp.selectigd, request["url"])
        # The description may name any other place to send commands to.
        if not control.startswith((f"http://{request['router']}:", f"http://{request['router']}/")):
            raise Failed("broken", "its description leads to somewhere else")
        self.own = upnp.lanaddr

    def external(self) -> str:
        return str(self._call(self._upnp.externalipaddress))

    def hold(self, wished: int, lease: int, tries: int, tidy: bool) -> dict[str, Any]:
        external = self.external()
        granted = self._map(external, wished, lease, tries)
        if tidy:
            with contextlib.suppress(Failed):
                self._tidy(keep=granted["port"])
        return granted

    def _map(self, external: str, wished: int, lease: int, tries: int) -> dict[str, Any]:
        reason = "every port that was tried belongs to somebody else"
        for port in _ports(wished, self._inside, tries):
            there = self._entry(port)
            if there is not None and there[:2] == (self.own, self._inside) and not self._ours(port, there):
                return self._granted(external, port, there[4] or None, made=False)
            if there is not None and not self._ours(port, there):
                continue
            try:
                return self._granted(external, port, self._add(port, lease), made=True)
            except Failed as failure:
                reason = str(failure)
                if reason not in _CONFLICT:
                    raise Failed(failure.kind, reason, external) from None
        raise Failed("refused", reason, external)

    def release(self, port: int) -> None:
        there = self._entry(port) if port else None
        if there is not None and self._ours(port, there):
            self._call(self._upnp.deleteportmapping, port, PROTOCOL)
        self._tidy(keep=0)

    def _granted(self, external: str, port: int, lease: int | None, *, made: bool) -> dict[str, Any]:
        there = self._entry(port)
        if there is not None and there[:2] != (self.own, self._inside):
            raise Failed("broken", f"it said yes, and gave port {port} to {there[0]}:{there[1]}", external)
        return {"external": external, "port": port, "lifetime": lease, "inside": self.own, "made": made}

    def _add(self, port: int, lease: int) -> int | None:
        """Returns the lease, None where the router knows only those without end."""
        for seconds in (lease, 0):
            try:
                self._add_once(port, seconds)
                return seconds or None
            except Failed as failure:
                if str(failure) != _PERMANENT_ONLY:
                    raise
        raise Failed("refused", _PERMANENT_ONLY)

    def _add_once(self, port: int, seconds: int) -> None:
        mapping = (port, PROTOCOL, self.own, self._inside, self._name, "", seconds)
        try:
            self._call(self._upnp.addportmapping, *mapping)
        except Failed as failure:
            there = self._entry(port) if str(failure) in _CONFLICT else None
            if there is None or not self._ours(port, there):
                raise
            # Some cannot renew what is there.
            self._call(self._upnp.deleteportmapping, port, PROTOCOL)
            self._call(self._upnp.addportmapping, *mapping)

    def _tidy(self, *, keep: int) -> None:
        """Remove what is under our name but for `keep`: an earlier run of ours left it behind."""
        left, until = [], time.monotonic() + TIDY_LIMIT
        for index in range(MAX_ENTRIES):
            entry = self._call(self._upnp.getgenericportmapping, index)
            if entry is None or time.monotonic() > until:
                break
            port, protocol, (client, _), name = entry[:4]
            if (protocol, client, name) == (PROTOCOL, self.own, self._name) and port != keep:
                left.append(port)
        for port in left:
            self._call(self._upnp.deleteportmapping, port, PROTOCOL)

    def _ours(self, port: int, entry: Any) -> bool:
        # Some routers change the name, so what this run made is known by its port too.
        client, inside, name = entry[:3]
        return bool(client == self.own and (name == self._name or (port == self._made and inside == self._inside)))

    def _entry(self, port: int) -> Any:
        """Who has a port: (client, port, name, enabled, lease), or None."""
        return self._call(self._upnp.getspecificportmapping, port, PROTOCOL)

    def _call(self, action: Any, *arguments: object) -> Any:
        try:
            return action(*arguments)
        except Exception as failure:  # miniupnpc has no other
            reason = str(failure)
            unusable = isinstance(failure, ValueError) or reason.startswith(("Miniupnpc", "No UPnP"))
            raise Failed("broken" if unusable else "refused", reason) from None


def _ports(wished: int, inside: int, tries: int) -> list[int]:
    following = [(inside - 1024 + step) % (65_536 - 1024) + 1024 for step in range(tries)]
    return list(dict.fromkeys([wished, *following]))[:tries]


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Do what is asked."""
    try:
        miniupnpc = importlib.import_module("miniupnpc")  # it has no types
    except ImportError:
        return {"failed": "missing", "reason": "miniupnpc is not installed"}
    try:
        router = Router(miniupnpc.UPnP(), request)
        if request["do"] == "hold":
            return router.hold(request["wished"], request["lease"], request["tries"], request["tidy"])
        router.release(request["made"])
        return {}
    except Failed as failure:
        return {"failed": failure.kind, "reason": str(failure), "external": failure.external}


def _limit(seconds: int) -> None:
    try:
        import resource
        import signal
    except ImportError:  # Windows: the daemon ends us in time
        return
    signal.alarm(seconds)  # also when nobody is left to end us
    for kind, most in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CORE, 0)):
        with contextlib.suppress(ValueError, OSError):  # macOS has one and does not let it be set
            resource.setrlimit(kind, (most, most))


def main() -> None:
    """Read the request, do it, write the answer."""
    request = json.loads(sys.stdin.readline())
    _limit(int(request["limit"]) + 1)
    sys.stdout.write(json.dumps(answer(request)) + "\n")


if __name__ == "__main__":
    main()
