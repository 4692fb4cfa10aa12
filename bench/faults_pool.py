"""For `--faults`: three hosts with one certificate on 127.0.0.1, of which one is killed, and one stops.

6 at a time ── visitor ══╤══ one                each answers with its name
                         ├══ two
                         └══ three
"""

from __future__ import annotations

import contextlib
import http.client
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from daemons import Broken
from faults_lab import AGAIN, until
from measures import Row
from relay_nodes import Quiet

from tests.support.programs import running_origin

_NAMES = ("one", "two", "three")
_AT_ONCE = 6
_REQUESTS = 300

ROWS = (
    Row("least", f"pool of 3, {_REQUESTS} requests: the fewest that one had", "", "more", "figure", 70),
    Row("most", "  the most", "", "less", "figure", 130),
    Row("fewest_ever", "  the fewest in any round", "", "more"),
    Row("most_ever", "  the most in any round", "", "less"),
    Row("killed_missed", "  one killed under load: missed after, the slowest", "s", "less", "figure", 5.0),
    Row("killed_failed", "    requests that failed then", "", "less", "figure", 0),
    Row("stopped_missed", "  one stopped under load: left out after, the slowest", "s", "less", "figure", 5.0),
    Row("stopped_failed", "    requests that failed then", "", "less", "figure", 0),
    Row("used", "  started again: used after", "s", "less"),
)
# Row → what it is made of, in all rounds.
OF_ALL_ROUNDS = {
    "fewest_ever": ("least", min),
    "most_ever": ("most", max),
    "killed_missed": ("killed_missed", max),
    "killed_failed": ("killed_failed", sum),
    "stopped_missed": ("stopped_missed", max),
    "stopped_failed": ("stopped_failed", sum),
}


class Pool:
    """The daemons; they end with `stack`."""

    def __init__(self, place: Path, stack: contextlib.ExitStack) -> None:
        place.mkdir()
        self._hosts: dict[str, Quiet] = {}
        for name in _NAMES:
            origin = stack.enter_context(running_origin(name=name))
            if self._hosts:
                shutil.copytree(place / _NAMES[0] / "services", place / name / "services")
            node = self._hosts[name] = Quiet(place / name)
            node.share("site", origin.port)
            stack.enter_context(node)
        self._visitor = stack.enter_context(Quiet(place / "visitor"))
        self._host = f"{self._hosts[_NAMES[0]].label('site')}.localhost:{self._visitor.localport}"
        until(self._is_answered, "somebody answers", 60.0, 0.2)

    def measure(self, number: int) -> dict[str, float]:
        """One round."""
        self._have_sessions(len(_NAMES))
        had, failed = self._many(_REQUESTS)
        if failed:
            raise Broken(f"{failed} of {_REQUESTS} requests failed while all three were there")
        seen: dict[str, float] = {"least": min(had[name] for name in _NAMES), "most": max(had.values())}
        killed, stopped = (_NAMES[(number + more) % len(_NAMES)] for more in (0, 1))
        with self._load():
            self._hosts[killed].kill()
            seen["killed_missed"] = self._have_sessions(len(_NAMES) - 1)
            seen["killed_failed"] = self._many(_REQUESTS, without=killed)[1]
        self._hosts[killed].start()
        began = time.perf_counter()
        self._have_sessions(len(_NAMES))
        until(lambda: self._asked() == killed, f"{killed} is used again", every=0.0)
        seen["used"] = time.perf_counter() - began
        with self._load():
            self._hosts[stopped].signal(signal.SIGSTOP)
            try:
                seen["stopped_missed"] = self._have_sessions(len(_NAMES) - 1)
                seen["stopped_failed"] = self._many(_REQUESTS, without=stopped)[1]
            finally:
                self._hosts[stopped].signal(signal.SIGCONT)
        return seen

    def _have_sessions(self, count: int) -> float:
        """Seconds until the visitor has so many."""

        def there() -> bool:
            return sum(one["role"] == "visiting" for one in self._visitor.says()["sessions"]) == count

        return until(there, f"{count} sessions", every=AGAIN)

    def _asked(self) -> str:
        """Which host answered; raises what goes wrong."""
        connection = http.client.HTTPConnection("127.0.0.1", self._visitor.localport, timeout=60)
        try:
            connection.request("GET", "/", headers={"Host": self._host, "Connection": "close"})
            answer = connection.getresponse()
            text = answer.read().decode()
            if answer.status != 200:
                raise Broken(f"answered {answer.status}")
            return text.strip().removeprefix("hello from ")
        finally:
            connection.close()

    def _is_answered(self) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException, Broken):
            return bool(self._asked())
        return False

    def _many(self, count: int, without: str = "") -> tuple[Counter[str], int]:
        """Who answered how many of so many requests, and how many failed."""
        had, failures = Counter[str](), list[str]()

        def some() -> None:
            for _ in range(count // _AT_ONCE):
                try:
                    had[self._asked()] += 1
                except (OSError, http.client.HTTPException, Broken) as failure:
                    failures.append(str(failure))

        with _together(some):
            pass
        if had[without]:
            raise Broken(f"{without} answered, which is gone")
        return had, len(failures)

    @contextlib.contextmanager
    def _load(self) -> Iterator[None]:
        """Requests meanwhile, whatever becomes of them."""
        over = threading.Event()

        def some() -> None:
            while not over.is_set():
                if not self._is_answered():
                    time.sleep(AGAIN)

        with _together(some):
            try:
                yield
            finally:
                over.set()


@contextlib.contextmanager
def _together(work: Callable[[], None]) -> Iterator[None]:
    """As many at once as there are at a time; all have ended after the block."""
    threads = [threading.Thread(target=work) for _ in range(_AT_ONCE)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join()
