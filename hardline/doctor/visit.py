"""A visit in words, without I/O: a row for each step, and in the end which side failed and what to do.

Step, Step … ──▶ Verdict.row ──▶ Row, Row …        Verdict.conclusion ──▶ the last one
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from hardline.doctor.rows import Row, Unknown, fail, named, not_checked, ok, warn

KNOWN, DIAL, TLS, HELLO, SERVICE, CONCLUSION = "known", "dial", "TLS", "hello", "service", "result"

REACHED, FAILED, NOT_REACHED = 0, 1, 4  # exit codes


@dataclass(frozen=True, slots=True)
class Step:
    """One step: `went` says whether it succeeded, None where there was nothing to do; `detail` in words, `took_s` in
    seconds, `at` the endpoints that it is about, `evidence` of what went wrong in a word.  `finds`: it is who looked
    for the host.  `key` is the key hash of who is meant.
    """

    name: str
    went: bool | None
    detail: str = ""
    took_s: float | None = None
    at: tuple[str, ...] = ()
    evidence: str = ""
    finds: bool = False
    key: str = ""


@dataclass(frozen=True, slots=True)
class _Ending:
    """What a word of evidence means; `{at}` is where."""

    sentence: str
    do: str


_ASK_OWNER = "ask its owner to run hardline doctor there"

# Those that say most, first: of several attempts the nearest to success explains the failure.
_ENDINGS = {
    "access": _Ending("the host is there, and does not let you in: it needs an invitation", "ask its owner for one"),
    "password": _Ending(
        "the host is there, and wants another word before the key hash", "ask its owner for the whole address"
    ),
    "full": _Ending("the host is there, and takes nobody more now", "try again in a minute"),
    "another": _Ending("another computer answers at {at}: the one that is meant has moved, or is off", _ASK_OWNER),
    "broken": _Ending(
        "hardline, or something else, answers at {at}, and not for this service: it may not be shared any more",
        _ASK_OWNER,
    ),
    "refused": _Ending(
        "the computer at {at} is on, but hardline does not run there", "its owner starts hardlined there"
    ),
    "relay": _Ending("its relay is there, but the host is not: it is off, or has lost its network", _ASK_OWNER),
    "silent": _Ending("the host's side does not answer at {at}: it is off, asleep, or in another network", _ASK_OWNER),
    "no way": _Ending("this computer has no way to {at}", "see interfaces in: hardline doctor"),
}
_SERVICE_ENDINGS = {
    "refused": "hardline runs there, but nothing answers at the port of the service: its program does not run",
    "timeout": "hardline runs there, but the service behind it does not answer",
    "limit": "hardline runs there, but is at one of its limits",
    "unavailable": "hardline runs there, but cannot reach the service behind it",
}
_UNCONNECTED = "nobody there to ask"


class Verdict:
    """Of one visit."""

    def __init__(self) -> None:
        self._steps: list[Step] = []

    def row(self, step: Step) -> Row:
        """What a step means for people."""
        self._steps.append(step)
        return replace(self._in_words(step), took_s=None if step.took_s is None else round(step.took_s, 6))

    def conclusion(self) -> Row:
        """Which side failed, and what to do."""
        failed = [step for step in self._steps if step.went is False and not step.finds]
        service = next((step for step in self._steps if step.name == SERVICE), None)
        if service is not None and service.went:
            at = next((step.at[0] for step in self._steps if step.name == DIAL and step.went), "")
            return ok(CONCLUSION, f"it works, by {at}" if at else "it works")
        if service is not None:
            sentence = _SERVICE_ENDINGS.get(service.evidence)
            if sentence is not None:
                return fail(CONCLUSION, f"{sentence} (the host's side)", "only its owner can start it")
        for evidence, ending in _ENDINGS.items():
            at_all = [at for step in failed if step.evidence == evidence for at in step.at]
            if any(step.evidence == evidence for step in failed):
                where = named(list(dict.fromkeys(at_all))) or "its address"
                return fail(CONCLUSION, ending.sentence.format(at=where), ending.do)
        return self._nobody_knows()

    @property
    def code(self) -> int:
        """The command's exit code."""
        if any(step.name == SERVICE and step.went for step in self._steps):
            return REACHED
        said_hello = any(step.name == HELLO and (step.went or step.evidence in _SAID) for step in self._steps)
        return FAILED if said_hello else NOT_REACHED

    def _nobody_knows(self) -> Row:
        asked = [step for step in self._steps if step.finds]
        if any(step.went for step in asked):
            return fail(CONCLUSION, "where it is said to be is never dialled, or did not answer in time", _ASK_OWNER)
        deaf = [step.name for step in asked if _UNCONNECTED in step.detail]
        if deaf:
            sentence = f"nobody knows where it is, and from here {named(deaf)} cannot be asked (this side)"
            return fail(CONCLUSION, sentence, "see DHT in: hardline doctor")
        sentence = f"nobody knows where it is: {named([step.name for step in asked])} found nothing"
        do = "the host is off, shares it no more, or is not announced: ask its owner to run hardline doctor there"
        return fail(CONCLUSION, sentence, do)

    def _in_words(self, step: Step) -> Row:
        if step.name == KNOWN:
            return ok(KNOWN, f"{step.detail} ({step.key[:4]}…{step.key[-4:]})")
        if step.finds:
            if step.went:
                return ok(step.name, f"found at {named(list(step.at))}")
            return warn(step.name, f"nothing found{': ' if step.detail else ''}{step.detail}")
        where = f"{named(list(step.at))}: " if step.at else ""
        if step.went is None:
            return not_checked(step.name, Unknown(step.detail))
        return ok(step.name, f"{where}{step.detail}") if step.went else fail(step.name, f"{where}{step.detail}")


_SAID = ("access", "password", "full")
