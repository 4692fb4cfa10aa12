"""One gateway for the tests of this directory that change nothing of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hardline.gateway.users import hashed
from tests.gateway.town import NOBODY, PASSWORD, Town, pile, settings
from tests.support.node import Node, free_port
from tests.support.programs import running_origin


@pytest.fixture(scope="package")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    directory = tmp_path_factory.mktemp("town")
    with running_origin() as one, running_origin(name="the other") as two:
        host = Node(directory / "host")
        host.share("one", one.port)
        host.share("two", two.port, password="sesame")
        host.share("dead", free_port())
        shared = f"[Service]\nservice =\n[Cache]\ndirectory = {pile(directory / 'pile')}\nallowListing = yes\n"
        host.write("pile", shared)
        with host:
            host.serves("pile")
            labels = {row["name"]: row["label"] for row in host.status()["services"]}
            anna = f"anna:{hashed(PASSWORD)}"
            sections = {
                "nas": f"label = {labels['one']}",
                "wiki": f"label = {labels['two']}",
                "dead": f"label = {labels['dead']}",
                "pile": f"label = {labels['pile']}",
                "away": f"label = {NOBODY}",
                "private": f"label = {labels['one']}\nusers = {anna}",
                "guessed": f"label = {labels['one']}\nusers = {anna}",
                "far": f"label = {labels['one']}\naddresses = 192.0.2.0/24",
                "hidden": f"label = {labels['one']}\nlisted = no",
                "together": f"label = {labels['one']}\nmixed = yes",
            }
            port = free_port()
            text = settings(port, sections, "metrics = 127.0.0.1")
            with Node(directory / "gateway", settings=text) as gateway:
                yield Town(port, host, gateway, labels, one, sections)
                for label in labels.values():
                    assert label[-40:] not in gateway.log.partition("gateway.access")[2]
