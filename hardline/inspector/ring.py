"""The last exchanges of one service, bounded; without I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from hardline.errors import WrongArgument
from hardline.inspector.exchanges import Exchange

MOST, MOST_HELD = 500, 32 << 20  # exchanges; bytes


class Ring:
    """Those of one service.  What is not in it any more is forgotten, also where it is still under way."""

    def __init__(self) -> None:
        self._exchanges: deque[Exchange] = deque()
        self._numbers = 0
        self.held = 0  # bytes

    def number(self) -> int:
        """The next one's."""
        self._numbers += 1
        return self._numbers

    def add(self, exchange: Exchange) -> None:
        """One more; the oldest go."""
        self._exchanges.append(exchange)
        self.grew(exchange.held)

    def grew(self, count: int) -> None:
        """So many bytes more are kept of those in it: of the oldest nothing is, where that is too much."""
        self.held += count
        while len(self._exchanges) > MOST or (self.held > MOST_HELD and len(self._exchanges) > 1):
            oldest = self._exchanges.popleft()
            self.held -= oldest.held
            oldest.forget()

    def find(self, number: int) -> Exchange:
        """The one of that number.  Raises WrongArgument."""
        for exchange in self._exchanges:
            if exchange.number == number:
                return exchange
        raise WrongArgument(f"there is no exchange {number} any more", hint=f"the last {MOST} are kept")

    def __iter__(self) -> Iterator[Exchange]:
        return iter(tuple(self._exchanges))
