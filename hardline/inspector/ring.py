"""The last exchanges of one service, bounded; without I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from hardline.errors import WrongArgument
from hardline.inspector.exchanges import Exchange

MOST, MOST_HELD = 500, 32 << 20  # exchanges; bytes


class Ring:
    """Those of one service."""

    def __init__(self) -> None:
        self._exchanges: deque[Exchange] = deque()
        self._numbers = 0

    def number(self) -> int:
        """The next one's."""
        self._numbers += 1
        return self._numbers

    def add(self, exchange: Exchange) -> None:
        """One more; the oldest go."""
        self._exchanges.append(exchange)
        self.trim()

    def trim(self) -> None:
        """Hold to the bounds: exchanges grow while they are under way."""
        while len(self._exchanges) > MOST:
            self._exchanges.popleft()
        held = sum(one.held for one in self._exchanges)
        while held > MOST_HELD and len(self._exchanges) > 1:
            held -= self._exchanges.popleft().held

    def find(self, number: int) -> Exchange:
        """The one of that number.  Raises WrongArgument."""
        for exchange in self._exchanges:
            if exchange.number == number:
                return exchange
        raise WrongArgument(f"there is no exchange {number} any more", hint=f"the last {MOST} are kept")

    def __iter__(self) -> Iterator[Exchange]:
        return iter(tuple(self._exchanges))
