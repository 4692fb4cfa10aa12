"""One Chromium on one machine, two daemons, several hosts: shared by the whole suite, with a fresh profile per test.

    visitor machine                    host machine                     odd machine
    Chromium ── daemon ═══ LAN ═══ daemon ── site, second site          services that are reached and then fail

A test that stops something starts it again.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from hardline import certificates
from tests.browser.chromium import Complaints, running_chromium
from tests.netns.lab import Lab, Machine
from tests.support.node import Node
from tests.support.programs import RunningOrigin, curl, running_origin
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
SITE = "tests.browser.site"
TITLE = "<script>document.title='owned'</script>"

# What each service of the odd machine does; see odd_host.py.
ODD = {
    "silent": "silent",
    "mute": "mute",
    "nonsense": "nonsense",
    "slow": '{"error":"timeout","detail":"the local service did not answer within 10 s"}',
    "busy": '{"error":"limit"}',
    "hostile": json.dumps({"error": "refused", "detail": f"{TITLE}<img src=x onerror=alert(1)>"}),
}


@dataclass(frozen=True, slots=True)
class World:
    """`host` shares `site` as "site", under a title, and the second one as "second"; `odd` has labels by behaviour."""

    host_machine: Machine
    visitor_machine: Machine
    host: Node
    visitor: Node
    site: RunningOrigin
    second: RunningOrigin
    odd: dict[str, str]
    label: str
    second_label: str

    def url(self, path: str = "") -> str:
        """The site at the visitor's door."""
        return self.visitor.url_of(self.label, path)

    @property
    def home(self) -> str:
        """The visitor's own page."""
        return f"http://localhost:{self.visitor.localport}/"

    @contextlib.contextmanager
    def without(self, victim: Node | RunningOrigin) -> Iterator[None]:
        """Kill the host or a site, and at the end start it again and wait until the site is served as before."""
        victim.kill()
        try:
            yield
        finally:
            victim.start()
            wait_until(lambda: curl(self.url(), at=self.visitor_machine).status == 200, "the site was served again")

    def check_path(self) -> None:
        """All browsers go through one session, straight to the host machine."""
        sessions = self.warm_sessions()
        assert len(sessions) == 1, sessions
        assert sessions[0]["via"] in ("LAN", "REMEMBERED")
        address = str(sessions[0]["endpoint"]).removesuffix(f":{self.host.p2pport}").strip("[]").partition("%")[0]
        assert address in self.host_machine.run(["ip", "address", "show", "dev", "eth0"])
        assert self.visitor.last_visit(self.label)["endpoint"] == sessions[0]["endpoint"]

    def warm_sessions(self) -> list[dict[str, object]]:
        """The visitor's sessions to the site."""
        return [session for session in self.visitor.sessions("visiting") if session["label"] == self.label]


@pytest.fixture(scope="package")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("browser")
    with contextlib.ExitStack() as stack:
        lab = stack.enter_context(Lab())
        host_machine, visitor_machine, odd_machine = lab.machine("host"), lab.machine("visitor"), lab.machine("odd")
        site = stack.enter_context(running_origin(host_machine, program=SITE))
        second = stack.enter_context(running_origin(host_machine, name="the second", program=SITE))
        odd = stack.enter_context(_odd_host(odd_machine, directory))
        host, visitor = Node(directory / "host", at=host_machine), Node(directory / "visitor", at=visitor_machine)
        host.share("site", site.port, title=TITLE)
        host.share("second", second.port, title="The second")
        stack.enter_context(host)
        stack.enter_context(visitor)
        labels = host.label("site"), host.label("second")
        world = World(host_machine, visitor_machine, host, visitor, site, second, odd, *labels)
        assert curl(world.url(), at=visitor_machine).status == 200
        assert visitor.last_visit(world.label)["via"] == "LAN"  # later ones may remember this one's way
        yield world


@pytest.fixture(scope="package")
def chromium(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with running_chromium(world.visitor_machine, tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture(scope="package", autouse=True)
def mute_page(world: World, chromium: Browser) -> Iterator[Page]:
    """A tab that waits, from the first test on, for a host that says nothing: the door gives up after 25 s."""
    context = chromium.new_context()
    context.add_init_script("addEventListener('load', () => stop())")  # the page it gets must not try again
    page = context.new_page()
    page.evaluate("url => { location = url }", world.visitor.url_of(world.odd["mute"]))
    yield page
    context.close()


@pytest.fixture
def profile(chromium: Browser) -> Iterator[BrowserContext]:
    """Cookies, storage, connections: all new."""
    context = chromium.new_context()
    context.set_default_timeout(20_000)
    yield context
    context.close()


@pytest.fixture
def page(profile: BrowserContext, complaints: Complaints) -> Page:
    """A tab."""
    page = profile.new_page()
    complaints.watch(page)
    return page


@pytest.fixture
def complaints() -> Complaints:
    """Those of `page`."""
    return Complaints()


@contextlib.contextmanager
def _odd_host(machine: Machine, directory: Path) -> Iterator[dict[str, str]]:
    services, labels = [], {}
    for name, behaviour in ODD.items():
        identity = certificates.load_or_create(directory / f"{name}.cert")
        labels[name] = str(identity.key_hash)
        services.append((labels[name], str(identity.certificate_path), str(identity.private_key_path), behaviour))
    command = [sys.executable, "-m", "tests.browser.odd_host", machine.ip4, json.dumps(services)]
    said = directory / "odd"
    with said.open("wb") as output:
        process = subprocess.Popen(
            machine.wrap(command), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT
        )
    try:
        wait_until(lambda: "listening" in said.read_text(), "the odd host listens")
        yield labels
    finally:
        process.kill()
        process.wait()
