"""What happens in a dial, in the past tense: log, pages and whoever explains a visit are listeners."""

from __future__ import annotations

from dataclasses import dataclass

from hardline.routes import Attempt, Candidate, Steps


@dataclass(frozen=True, slots=True)
class Found:
    """A finder yielded a candidate; `refused` says why it is not dialled (docs/PROTOCOL.md 7.2), "" when it may be."""

    candidate: Candidate
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Started:
    """An attempt began."""

    candidate: Candidate


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt came to nothing."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Won:
    """A verified connection came about, `took` seconds after the dial began, with `attempts` begun in all."""

    candidate: Candidate
    protocol: str
    took: float
    steps: Steps
    attempts: int


DialEvent = Found | Started | Failed | Won
