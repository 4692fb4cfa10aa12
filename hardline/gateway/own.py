"""Pages of the gateway's own: the list of services, the same for scrapers, and what it has counted.

GET /                        the list                      GET /scraper/v1/server_list   {"servers": [{"id": "nas", …}]}
GET /metrics                 Prometheus' text              GET /scraper/api/test         You're valid!
"""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime

from hardline import __version__
from hardline.gateway import metrics, pages
from hardline.gateway.judging import METRICS, SERVERS, TEST, Asked, Shared
from hardline.gateway.pages import Listed
from hardline.gateway.scrapers import leads_to


async def page(shared: Shared, asked: Asked, clients: int, *, close: bool) -> bytes:
    """The whole answer to a request that was judged to be for one of them."""
    head_only, path = asked.head.method == "HEAD", asked.place.target
    if path == TEST:
        return pages.as_it_is("You're valid!\n", pages.PLAIN, head_only=head_only, close=close)
    if path == SERVERS:
        return pages.as_it_is(await _server_list(shared, asked), pages.JSON, head_only=head_only, close=close)
    if path == METRICS:
        text = _metrics(shared, clients)
        return pages.as_it_is(text, metrics.CONTENT_TYPE, head_only=head_only, close=close)
    found = await shared.listing.look(asked.head.host, shared.listing.listed_for(asked.asker.client))
    return pages.the_list(found, html=asked.head.accepts_html, head_only=head_only, close=close)


async def _server_list(shared: Shared, asked: Asked) -> str:
    assert asked.key is not None, "it was judged"
    found = await shared.listing.look(asked.head.host, leads_to(asked.key, shared.named, asked.asker.client))
    return f"{json.dumps({'servers': [_server(one) for one in found]}, indent=2)}\n"


def _server(one: Listed) -> dict[str, object]:
    seen = None if one.seen is None else datetime.fromtimestamp(int(time.time() - one.seen), UTC).isoformat()
    files = f"/scraper/v1/server/{one.name}/files/"
    return {"id": one.name, "name": one.name, "online": one.online, "last_seen": seen, "files": files}


def _metrics(shared: Shared, clients: int) -> str:
    spent = os.times()
    process = metrics.Process(
        __version__, shared.accesses.since, spent.user + spent.system, _resident(), _descriptors()
    )
    online = {name: shared.listing.state(name)[0] for name in shared.named}
    return metrics.exposition(process, clients, online, shared.accesses.counts)


def _resident() -> int | None:
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def _descriptors() -> int | None:
    try:
        return len(os.listdir("/proc/self/fd")) - 1
    except OSError:
        return None
