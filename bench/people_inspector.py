"""For `--people`: what `hardline inspect` costs, where it looks and beside that."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import load
from contestants import wait_served_sink
from daemons import Broken, cpu_of
from load import Door
from measures import Row
from origin import Origin
from relay_nodes import Quiet

from tests.support.node import SCRIPTS
from tests.support.waiting import wait_until

_AT_ONCE, _SECONDS = 32, 2
_SIZE = 200_000_000
_RATES = ("requests", "down", "up")
_LOOKED_AT, _BESIDE = ("files", "sink"), ("other_files", "other_sink")

ROWS = (
    Row("seen_requests", f"inspected: requests at {_AT_ONCE} connections, of before", "×", "more", "figure", 0.5),
    Row("seen_down", "  download", "×", "more", "figure", 0.5),
    Row("seen_up", "  upload", "×", "more", "figure", 0.5),
    *(
        Row(f"{key}_{what}", f"  {title}: {called}", "×", "more", "figure", 0.9, 1.0)
        for key, title in (("beside", "another service meanwhile"), ("after", "inspected no more"))
        for what, called, indent in (
            ("requests", "requests", "  "),
            ("down", "download", "    "),
            ("up", "upload", "    "),
        )
    ),
    Row("seen_cpu", "  processor of the host for one, inspected", "µs", "less"),
    Row("beside_cpu", "    another service meanwhile", "µs", "less"),
    Row("after_cpu", "    inspected no more", "µs", "less"),
    Row("plain_cpu", "    before", "µs", "less"),
    Row("plain_requests", "  before: requests", "req/s", "more"),
    Row("plain_down", "    download", "MB/s", "more"),
    Row("plain_up", "    upload", "MB/s", "more"),
)


class Inspected:
    """A host with services that are looked at and others that are not, and a visitor; they end with `stack`."""

    def __init__(self, place: Path, stack: contextlib.ExitStack) -> None:
        place.mkdir()
        self._origin = Origin(place / "origin", _SIZE)
        stack.callback(self._origin.stop)
        self._host = Quiet(place / "host")
        for names in (_LOOKED_AT, _BESIDE):
            for name, port in zip(names, (self._origin.files_port, self._origin.sink_port), strict=True):
                self._host.share(name, port)
        stack.enter_context(self._host)
        visitor = stack.enter_context(Quiet(place / "visitor"))
        self._doors = {
            name: Door(visitor.localport, f"{self._host.label(name)}.localhost:{visitor.localport}")
            for name in (*_LOOKED_AT, *_BESIDE)
        }
        for files, sink in (_LOOKED_AT, _BESIDE):
            load.verify(self._doors[files], self._doors[sink], self._origin.bulk)

    @staticmethod
    def impossible() -> str:
        """Why it cannot be measured here."""
        return ""

    def measure(self, number: int) -> dict[str, dict[str, float]]:
        """One round: before, while it looks, and after."""
        before = self._rates(_LOOKED_AT)
        with self._looked_at():
            seen = self._rates(_LOOKED_AT)
            beside = self._rates(_BESIDE)
        after = self._rates(_LOOKED_AT)
        figures = {f"plain_{what}": rate for what, rate in before.items()}
        for name, rates in (("seen", seen), ("beside", beside), ("after", after)):
            figures |= {f"{name}_{what}": rates[what] / before[what] for what in _RATES}
            figures[f"{name}_cpu"] = rates["cpu"]
        return {"hardline": figures}

    def _rates(self, services: tuple[str, str]) -> dict[str, float]:
        files, sink = (self._doors[name] for name in services)
        computed = cpu_of(self._host.process.pid)
        requests = load.many_kept_alive(files, _AT_ONCE, _SECONDS)
        computed = cpu_of(self._host.process.pid) - computed
        return {
            "requests": requests,
            "cpu": 1e6 * computed / (requests * _SECONDS),
            "down": _SIZE / 1e6 / load.download(files, _SIZE),
            "up": _SIZE / 1e6 / load.upload(sink, self._origin.bulk),
        }

    @contextlib.contextmanager
    def _looked_at(self) -> Iterator[None]:
        """Somebody looks at both, and what he sees is shown to nobody."""
        with contextlib.ExitStack() as stack:
            for name in _LOOKED_AT:
                words = [str(SCRIPTS / "hardline"), "--datadir", str(self._host.data), "inspect", "--json", name]
                looks = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
                stack.enter_context(looks)
                stack.callback(looks.kill)
                assert looks.stderr is not None
                if "until Ctrl-C" not in (said := looks.stderr.readline()):
                    raise Broken(f"hardline inspect: {said}")
            load.whole_request(self._doors[_LOOKED_AT[0]])
            wait_served_sink(self._doors[_LOOKED_AT[1]])
            for name in _LOOKED_AT:
                wait_until(lambda name=name: self._shows_the_first(name), f"{name} is looked at")
            yield

    def _shows_the_first(self, name: str) -> bool:
        return self._host.hardline("inspect", name, "--show", "1").returncode == 0
