"""What the default run leaves out.  HARDLINE_TEST_FULL=1 (`make test-all`) runs every test with every parameter.

A default run has one test for each thing that a router does; the full one has it for each protocol that does it.
What is left out is not there at all: it is not skipped, as a skip says that the machine lacks something.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tests.support.size import FULL

T = TypeVar("T")
Test = TypeVar("Test", bound=Callable[..., None])


def each(first: T, *more: T) -> list[T]:
    """For parametrize: all at full size; else the first."""
    return [first, *more] if FULL else [first]


def at_full_size(test: Test) -> Test | None:
    """For a test that takes long and is like another one."""
    return test if FULL else None
