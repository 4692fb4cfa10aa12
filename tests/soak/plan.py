"""What the traffic of one machine is told when it starts, as one JSON argument; and the bytes that both sides know."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal, Self

FILE = "file"  # what nginx serves below every name: FILE_SIZE bytes of that service
FILE_SIZE = 6_000_000


@dataclass(frozen=True, slots=True)
class Shared:
    """A service as its visitors know it.

    `backend`: tests/support/origin.py, or nginx with one big file.  `copies`: servers that its port may lead to.
    """

    name: str
    label: str
    backend: Literal["origin", "nginx"]
    copies: int


@dataclass(frozen=True, slots=True)
class Plan:
    """`visitor` names the machine; `datadir` is where its daemon's control socket is."""

    visitor: str
    seed: str
    port: int
    datadir: str
    workers: int
    services: Sequence[Shared]

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        told = json.loads(text)
        return cls(**{**told, "services": [Shared(**service) for service in told["services"]]})


def greeting(service: str) -> bytes:
    """What the front page of an origin says."""
    return f"hello from {service}\n".encode()


def file_of(service: str) -> bytes:
    """The bytes of an nginx service; no two services share any."""
    return random.Random(f"the file of {service}").randbytes(FILE_SIZE)
