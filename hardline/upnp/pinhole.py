"""A program of its own: asks one router to open its IPv6 firewall for one port, then ends.

    firewall.Firewall ── stdin: one request, JSON ──▶ this ── HTTP and XML ──▶ router
                      ◀── stdout: one line of JSON ──

    find     the description at each place ──▶ where WANIPv6FirewallControl takes commands
    hold     UpdatePinhole by the id from before; where that fails GetFirewallStatus, AddPinhole
    release  DeletePinhole; where the id never came AddPinhole first, which gives the id of what is there already

A description names other places.  Only their port and path are used: commands go to whoever was asked for it.  Run by
its path, so that it loads nothing but this; it trusts its request and nothing else.  What igd.py has as well is a copy
for that reason.
Source: UPnP WANIPv6FirewallControl:1, section 2; UPnP Device Architecture 2.0, sections 2.3 and 3.2.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import sys
from typing import Any
from urllib.parse import urljoin, urlsplit
from xml.parsers import expat

SERVICE = "urn:schemas-upnp-org:service:WANIPv6FirewallControl:1"
MAX_BODY = 65_536  # bytes; miniupnpd's description has 3,092
MAX_PATH = 512
MEMORY = 256 << 20  # bytes of address space; Python needs about 50 MB of it
WAIT = 1.5  # seconds for each packet
TCP = 6
SHORTEST = 1  # second

OFF, NOT_ALLOWED = 702, 703
_PLAIN_PATH = re.compile(r"/[!-~]*\Z")


class Failed(Exception):
    """What the router did instead: `kind` is refused, broken, silent or unsupported, `code` its own number."""

    def __init__(self, kind: str, reason: str, code: int = 0) -> None:
        super().__init__(reason)
        self.kind, self.code = kind, code


class HttpPlace:
    """Where something is asked, and the address of ours to ask it from: routers open only for whoever asks."""

    def __init__(self, host: str, port: int, path: str, own: str) -> None:
        self.host, self.port, self.path, self.own = host, port, path, own

    def at(self, url: str) -> HttpPlace:
        """Where the URL of a description leads, on the same host."""
        try:
            whole = urlsplit(urljoin(f"http://router:{self.port}{self.path}", url))
            port = whole.port or 80
        except ValueError:
            raise Failed("broken", "its description leads to nowhere") from None
        path = whole.path + (f"?{whole.query}" if whole.query else "")
        if whole.scheme != "http" or len(path) > MAX_PATH or not _PLAIN_PATH.match(path):
            raise Failed("broken", "its description leads to nowhere")
        return HttpPlace(self.host, port, path, self.own)

    def fetch(self) -> bytes:
        return self._exchange("GET", b"", {})

    def call(self, action: str, **arguments: object) -> dict[str, str]:
        """Have an action done; returns what it gives."""
        inner = "".join(f"<{name}>{value}</{name}>" for name, value in arguments.items())
        body = (
            '<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
            's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/">'
            f'<s:Body><u:{action} xmlns:u="{SERVICE}">{inner}</u:{action}></s:Body></s:Envelope>'
        )
        headers = {"Content-Type": 'text/xml; charset="utf-8"', "SOAPAction": f'"{SERVICE}#{action}"'}
        found = elements(self._exchange("POST", body.encode(), headers))
        for name, inside in found:
            if name == f"{action}Response":
                return inside
        for _, inside in found:
            if "errorCode" in inside:
                raise Failed("refused", inside.get("errorDescription", ""), _number(inside["errorCode"], 999))
        raise Failed("broken", "its answer is none")

    def _exchange(self, method: str, body: bytes, headers: dict[str, str]) -> bytes:
        address = self.host.partition("%")[0]  # the interface is our own affair
        host = f"[{address}]:{self.port}" if ":" in address else f"{address}:{self.port}"
        connection = http.client.HTTPConnection(self.host, self.port, timeout=WAIT, source_address=(self.own, 0))
        try:
            connection.request(method, self.path, body or None, {"Host": host, "Connection": "close", **headers})
            answer = connection.getresponse()
            text = answer.read(MAX_BODY + 1)
        except OSError as failure:
            raise Failed("silent", f"it cannot be asked: {failure.strerror or 'no answer'}") from None
        except http.client.HTTPException:
            raise Failed("broken", "it does not speak HTTP") from None
        finally:
            connection.close()
        if len(text) > MAX_BODY or answer.status not in (200, 500):
            raise Failed("broken", "its answers are not those of a UPnP router")
        return text


def elements(xml: bytes) -> list[tuple[str, dict[str, str]]]:
    """The elements of a document without their namespaces, inner ones first, each with the texts directly inside.

    Raises Failed for what is no XML, and for what declares entities: nothing here grows while it is read.
    """
    found: list[tuple[str, dict[str, str]]] = []
    insides: list[dict[str, str]] = [{}]
    texts: list[list[str]] = [[]]
    parser = expat.ParserCreate(namespace_separator=" ")

    def declared(*_: object) -> None:
        raise Failed("broken", "its XML declares a document type")

    def started(_: str, __: object) -> None:
        insides.append({})
        texts.append([])

    def ended(name: str) -> None:
        local = name.rpartition(" ")[2]
        found.append((local, insides.pop()))
        insides[-1].setdefault(local, "".join(texts.pop()).strip())

    parser.StartDoctypeDeclHandler = declared
    parser.StartElementHandler, parser.EndElementHandler = started, ended
    parser.CharacterDataHandler = lambda text: texts[-1].append(text)
    try:
        parser.Parse(xml, True)
    except expat.ExpatError:
        raise Failed("broken", "its answer is no XML") from None
    return found


def find(places: list[HttpPlace]) -> HttpPlace:
    """Where commands go: of the first place whose description offers the service."""
    failures = []
    for place in places:
        try:
            for name, inside in elements(place.fetch()):
                if name == "service" and inside.get("serviceType") == SERVICE:
                    return place.at(inside.get("controlURL", ""))
            failures.append(Failed("unsupported", "it offers no IPv6 pinholes"))
        except Failed as failure:
            failures.append(failure)
    raise _worst(failures)


class Pinhole:
    """One port of one address of ours at one router."""

    def __init__(self, control: HttpPlace, client: str, port: int) -> None:
        self._control, self._client, self._port = control, client, port

    def hold(self, known: int | None, lease: int) -> dict[str, Any]:
        try:
            if known is not None:
                with contextlib.suppress(_Gone):
                    self._update(known, lease)
                    return {"id": known, "open": False, "new": False}
            self._look()
            number = self._add(lease)
            # miniupnpd 2.3.1 lets one that was there already last for decades; this gives it its end.
            with contextlib.suppress(_Gone):
                self._update(number, lease)
        except Failed as failure:
            if failure.code == OFF:
                return {"id": None, "open": True, "new": False}
            raise
        return {"id": number, "open": False, "new": True}

    def release(self, known: int | None) -> None:
        number = self._add(SHORTEST) if known is None else known
        try:
            self._control.call("DeletePinhole", UniqueID=number)
        except Failed as failure:
            if failure.kind != "refused":
                raise
            with contextlib.suppress(_Gone):
                self._update(number, SHORTEST)

    def _look(self) -> None:
        try:
            status = self._control.call("GetFirewallStatus")
        except Failed as failure:
            if failure.kind != "refused":
                raise
            return  # it says so when it is asked for the pinhole
        if not _is_true(status.get("FirewallEnabled", "1")):
            raise Failed("refused", "", OFF)
        if not _is_true(status.get("InboundPinholeAllowed", "1")):
            raise Failed("refused", "", NOT_ALLOWED)

    def _add(self, lease: int) -> int:
        wanted = {"InternalClient": self._client, "InternalPort": self._port, "Protocol": TCP, "LeaseTime": lease}
        said = self._control.call("AddPinhole", RemoteHost="", RemotePort=0, **wanted)
        number = _number(said.get("UniqueID", ""), 65_535)
        if number < 0:
            raise Failed("broken", "it granted a pinhole without an id")
        return number

    def _update(self, number: int, lease: int) -> None:
        try:
            self._control.call("UpdatePinhole", UniqueID=number, NewLeaseTime=lease)
        except Failed as failure:
            if failure.kind != "refused" or failure.code in (OFF, NOT_ALLOWED):
                raise
            raise _Gone from None


class _Gone(Exception):
    """The router cannot renew that one: it forgot it, or never can."""


def _worst(failures: list[Failed]) -> Failed:
    """What says most of the router."""
    order = ("refused", "unsupported", "broken", "silent")
    return min(failures, key=lambda failure: order.index(failure.kind), default=Failed("silent", "nobody to ask"))


def _is_true(text: str) -> bool:
    return text.lower() in ("1", "true", "yes")


def _number(text: str, most: int) -> int:
    """A decimal number from 0 to `most`, or -1."""
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) and int(text) <= most else -1


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Do what is asked."""
    places = [HttpPlace(*place) for place in request["places"]]
    try:
        if request["do"] == "find":
            control = find(places)
            return {"control": [control.host, control.port, control.path, control.own]}
        pinhole = Pinhole(places[0], request["client"], request["inside"])
        if request["do"] == "hold":
            return pinhole.hold(request["id"], request["lease"])
        pinhole.release(request["id"])
        return {}
    except Failed as failure:
        return {"failed": failure.kind, "reason": str(failure)[:80], "code": failure.code}


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
