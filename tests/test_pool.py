"""Three hosts with one certificate, real daemons on 127.0.0.1: requests are shared out, and go on where one is lost."""

from __future__ import annotations

import http.client
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.node import Node
from tests.support.programs import running_origin
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

NAMES = ("one", "two", "three")
AT_ONCE = 6


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[dict[str, Node]]:
    """Each in front of a service that says its name."""
    with ExitStack() as stack:
        nodes: dict[str, Node] = {}
        for name in NAMES:
            origin = stack.enter_context(running_origin(name=name))
            if nodes:
                shutil.copytree(nodes["one"].services, tmp_path / name / "services")
            node = nodes[name] = Node(tmp_path / name)
            node.share("site", origin.port)
            stack.enter_context(node)
        assert len({node.label("site") for node in nodes.values()}) == 1
        yield nodes


@pytest.fixture
def visitor(tmp_path: Path) -> Iterator[Node]:
    with Node(tmp_path / "visitor") as node:
        yield node


class Requests:
    """Requests for "/" by AT_ONCE at a time, each over a connection of its own."""

    def __init__(self, visitor: Node, label: str) -> None:
        self._port, self._host = visitor.localport, f"{label}.localhost:{visitor.localport}"

    def one(self) -> str:
        """Which host answered; raises what goes wrong."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            connection.request("GET", "/", headers={"Host": self._host, "Connection": "close"})
            answer = connection.getresponse()
            text = answer.read().decode()
            assert answer.status == 200, text
            return text.strip().removeprefix("hello from ")
        finally:
            connection.close()

    def many(self, count: int) -> Counter[str]:
        """So many, each of which must go well."""
        had: Counter[str] = Counter()

        def some() -> None:
            for _ in range(count // AT_ONCE):
                had[self.one()] += 1

        threads = [threading.Thread(target=some) for _ in range(AT_ONCE)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert had.total() == count, f"some failed: {had}"
        return had

    @contextmanager
    def load(self) -> Iterator[list[str]]:
        """AT_ONCE at a time meanwhile; what goes wrong with them is in the list that it yields."""
        over, failures = threading.Event(), list[str]()

        def some() -> None:
            while not over.is_set():
                try:
                    self.one()
                except (OSError, AssertionError, http.client.HTTPException) as failure:
                    failures.append(repr(failure))

        threads = [threading.Thread(target=some) for _ in range(AT_ONCE)]
        for thread in threads:
            thread.start()
        try:
            yield failures
        finally:
            over.set()
            for thread in threads:
                thread.join()


def has_sessions(visitor: Node, count: int) -> None:
    def there() -> bool:
        sessions = visitor.sessions("visiting")
        return len(sessions) == count and all(one["kind"] == "LAN" for one in sessions)

    wait_until(there, f"{count} sessions", 60, every=0.2)


def test_requests_are_shared_out_and_go_on_where_one_is_lost(hosts: dict[str, Node], visitor: Node) -> None:
    requests = Requests(visitor, hosts["one"].label("site"))
    assert requests.one() in NAMES
    has_sessions(visitor, 3)
    before = {session["endpoint"]: session["received"] for session in visitor.sessions("visiting")}

    def shares() -> bool:
        """On a busy machine one that owes an answer is passed over, as it should be."""
        had = requests.many(300)
        print(had)
        return set(had) == set(NAMES) and all(70 <= count <= 130 for count in had.values())

    wait_until(shares, "each has a third, more or less", 60)
    for session in visitor.sessions("visiting"):
        assert session["received"] > before[session["endpoint"]]

    with requests.load() as failures:
        hosts["two"].kill()
        has_sessions(visitor, 2)
        assert "two" not in requests.many(60)
    assert len(failures) <= AT_ONCE, f"row 52: who was being answered, at most: {failures}"
    hosts["two"].start()
    has_sessions(visitor, 3)
    assert set(requests.many(60)) == set(NAMES)

    with requests.load():
        hosts["three"].signal(signal.SIGSTOP)
        has_sessions(visitor, 2)
        assert "three" not in requests.many(60)
    hosts["three"].signal(signal.SIGCONT)
    has_sessions(visitor, 3)
    assert set(requests.many(60)) == set(NAMES)


@pytest.mark.full
def test_row_51_one_more_host_gets_its_share_and_one_that_stops_in_order_costs_nobody_an_answer(
    hosts: dict[str, Node], visitor: Node, tmp_path: Path
) -> None:
    requests = Requests(visitor, hosts["one"].label("site"))
    assert requests.one() in NAMES
    has_sessions(visitor, 3)
    shutil.copytree(hosts["one"].services, tmp_path / "four" / "services")
    fourth = Node(tmp_path / "four")
    with running_origin(name="four") as origin:
        fourth.share("site", origin.port)
        with requests.load() as failures:
            with fourth:
                has_sessions(visitor, 4)
                wait_until(lambda: requests.many(120)["four"] >= 20, "it has a quarter, more or less", 60)
            has_sessions(visitor, 3)
            assert "four" not in requests.many(60)
            hosts["two"].stop()
            has_sessions(visitor, 2)
            assert set(requests.many(60)) == {"one", "three"}
    assert failures == []
