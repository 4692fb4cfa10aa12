"""hardlined, but for one thing: as a visitor it takes no control stream, so that no host punches for it.

What a visit costs beside punching is judged by one without it.
"""

from __future__ import annotations

import sys
from dataclasses import replace

from hardline import hardlined
from hardline.session.hello import VisitorHello

_encode = VisitorHello.encode


def _without_control(self: VisitorHello) -> bytes:
    return _encode(replace(self, control=False))


if __name__ == "__main__":
    VisitorHello.encode = _without_control  # type: ignore[method-assign]
    sys.exit(hardlined.main())
