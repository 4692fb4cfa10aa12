"""For `--links`: how long a name is without a certificate, from the line in the settings on.

    browser ══ HTTPS ══ relay ══ host ── service          Pebble is the authority, and looks by the same relay

On the loopback; each name is one that nobody has asked about before.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path

from daemons import Broken
from measures import Row
from relay_nodes import Quiet

from tests.https.pebble import running_pebble
from tests.support.node import free_port
from tests.support.programs import curl, running_origin
from tests.support.waiting import wait_until

_MOST = 100  # names that there can be

ROWS = (
    Row("certified", "a name is set: browsers reach it by HTTPS after", "s", "less"),
    Row("certified_worst", "  a name is set: HTTPS at the latest after", "s", "less", "figure", 10.0),
)


def impossible() -> str:
    """Why it cannot be measured here; "" where it can."""
    missing = [tool for tool in ("pebble", "pebble-challtestsrv") if shutil.which(tool) is None]
    return f"{', '.join(missing)} not installed" if missing else ""


class Named:
    """A relay, a host and an authority; they end with `stack`."""

    def __init__(self, place: Path, stack: contextlib.ExitStack) -> None:
        place.mkdir()
        self._port = free_port()
        self._origin = stack.enter_context(running_origin())
        self._pebble = stack.enter_context(running_pebble(place / "pebble", self._port))
        may = Quiet(place / "host").key_hash
        domains = ", ".join(f"{_name(number)} {may}" for number in range(_MOST))
        being = f"[Relay]\nenabled = yes\nallow = {may}\nports = {self._port}\ndomains = {domains}\n"
        relay = stack.enter_context(Quiet(place / "relay", settings=being + self._pebble.settings))
        use = f"[Relay]\nuse = {relay.line(f'127.0.0.1:{relay.p2pport}')}\n{self._pebble.settings}"
        self._host = stack.enter_context(Quiet(place / "host", settings=use))

    def measure(self, number: int) -> dict[str, dict[str, float]]:
        """One name more."""
        name, began = _name(number), time.perf_counter()
        self._host.write(
            f"site{number}",
            f"[Service]\nservice = 127.0.0.1\nport = {self._origin.port}\n[Public]\nname = {name}\n",
        )
        wait_until(lambda: self._state(f"site{number}") == "serving", f"{name} has a certificate", 60)
        trusted = ("--cacert", self._pebble.roots, "--resolve", f"{name}:{self._port}:127.0.0.1")
        answer = curl(f"https://{name}:{self._port}/", *trusted)
        if answer.status != 200:
            raise Broken(f"curl at {name}: {answer.complaint}")
        return {"hardline": {"certified": time.perf_counter() - began}}

    def _state(self, name: str) -> str:
        found = [one for one in self._host.says()["services"] if one["name"] == name]
        return str((found[0].get("https") or {}).get("state", "")) if found else ""


def _name(number: int) -> str:
    return f"nas{number}.example.org"
