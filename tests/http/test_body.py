"""Files as bodies: what waits for visitors who do not read is bounded in all."""

from __future__ import annotations

import contextlib
import os
import tracemalloc
from pathlib import Path

from hardline.http.serving import body
from tests.cache.serving import serving
from tests.support import needs
from tests.support.waiting import wait_until

pytestmark = needs.linux()

VISITORS = 300


def test_visitors_who_do_not_read_their_files_wait_with_small_pieces(tmp_path: Path) -> None:
    """Were each to wait with a piece of full size, they would have twice 75 MB: a piece, and asyncio's copy of it."""
    (tmp_path / "big").write_bytes(os.urandom(1 << 20) * 16)
    with serving(tmp_path) as site, contextlib.ExitStack() as stack:
        assert site.get("/big", "HEAD").status == 200
        tracemalloc.start()
        stack.callback(tracemalloc.stop)
        for _ in range(VISITORS):
            stack.enter_context(site.connection(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n"))
        most = 2 * (body._IN_ALL + VISITORS * body._SMALL_PIECE)
        wait_until(lambda: body._in_memory >= body._IN_ALL * 0.9, "all of them wait", 120)
        assert body._in_memory <= most // 2
        # asyncio takes a piece behind what is left of the one before, as long as that is below its high-water mark.
        assert tracemalloc.get_traced_memory()[0] < most + VISITORS * 65_536 + (4 << 20)
    assert body._in_memory == 0
