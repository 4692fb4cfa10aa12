"""One name's certificate, from the first to the last.

    the file ─ good? ─▶ serving ── 2/3 of its life ──▶ asking ─▶ serving, by the new one; connections keep the old
       └─ none, or over ─▶ waiting, until a relay brings visitors of the name ─▶ asking ─ refused ─▶ later, and later

An authority looks at the name by the relay, so nothing is asked before the relay has registered it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

from hardline import log
from hardline.errors import CertificateError, HardlineError
from hardline.https.renewal import pause_after, renew_at
from hardline.https.store import Certificate, Store
from hardline.transport.contexts import browser_context, proof_context

LOOKS_EVERY = 3600.0  # seconds after which the clock is looked at: it may jump, and a machine may sleep
ASKS_EVERY = 6 * 3600.0  # seconds after which the authority is asked when it wants to renew


class Issuer(Protocol):
    """authority.Authority."""

    async def certificate(
        self, name: str, key: ec.EllipticCurvePrivateKey, prove: Callable[[object], None]
    ) -> Certificate: ...
    async def wants_renewal(self, certificate: Certificate) -> float | None: ...


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of a name's certificate: `waiting` for a relay, `asking`, `serving` or `refused`.

    `problem` says why not, or why the last renewal failed; `until` and `again` are seconds since 1970, 0 for never.
    """

    state: str
    problem: str = ""
    until: float = 0.0
    again: float = 0.0


class Keeper:
    """Of `name`.  `run` until cancelled.

    `issuer` gets one that certifies; `registered` says whether a relay brings visitors of the name; `clock` is seconds
    since 1970; `changed` is called when `kept` is another.
    """

    def __init__(
        self,
        name: str,
        store: Store,
        issuer: Callable[[], Awaitable[Issuer]],
        *,
        registered: Callable[[], bool],
        clock: Callable[[], float],
        changed: Callable[[], None],
    ) -> None:
        self.name, self._store, self._issuer = name, store, issuer
        self._registered, self._clock, self._changed = registered, clock, changed
        self._woken = asyncio.Event()
        self._failures = 0
        self._certificate: Certificate | None = None
        self._asked_at: float | None = None  # when the authority was last asked when it wants to renew
        self._suggestion: float | None = None
        self.kept = Kept("waiting")
        self.context: SSL.Context | None = None  # for browsers; None while there is no certificate
        self.proof: SSL.Context | None = None  # for an authority that is about to look; None for none

    def wake(self) -> None:
        """Relays, or what is wanted of the name, are others than before."""
        self._woken.set()

    def forgive(self) -> None:
        """The owner has changed something: do not wait for the next attempt."""
        self._failures = 0
        self.wake()

    async def run(self) -> None:
        """Have a certificate, and have it renewed."""
        key, found = await self._on_disk()
        if found is not None:  # of one that is over browsers say so, which tells more than none
            self._serve(found, key)
        while True:
            await self._until_wanted()
            failures = self._failures
            try:
                await self._renew(key)
                if await self._time_left() <= 0:  # else the next one was asked for at once, and the one after that
                    raise CertificateError(
                        "the certificate that came is over by this computer's clock", "set the clock"
                    )
                self._failures = 0
            except HardlineError as failure:
                self._failures = failures + 1
                await self._refused(failure)

    async def _on_disk(self) -> tuple[ec.EllipticCurvePrivateKey, Certificate | None]:
        while True:
            try:
                key = await asyncio.to_thread(self._store.key, self.name)
                return key, await asyncio.to_thread(self._store.certificate, self.name, key)
            except CertificateError as failure:
                self._failures += 1
                await self._refused(failure)

    async def _until_wanted(self) -> None:
        """Wait until a certificate is to be got, and can be."""
        while self._certificate is not None and (wait := await self._time_left()) > 0:
            self._becomes(Kept("serving", until=self._certificate.ends))
            await self._pause(min(wait, LOOKS_EVERY))
        while not self._registered():
            if self.kept.until <= self._clock():
                self._becomes(Kept("waiting", until=self.kept.until))
            await self._pause(LOOKS_EVERY)

    async def _time_left(self) -> float:
        """Seconds until it is to be renewed; 0 where there is none."""
        if (now := self._certificate) is None:
            return 0.0
        suggested = await self._suggested(now)
        return renew_at(now.begins, now.ends, suggested) - self._clock()

    async def _suggested(self, now: Certificate) -> float | None:
        """What the authority wants, asked now and then; an answer is as good as the certificate that it is of."""
        if self._asked_at is None or self._clock() - self._asked_at >= ASKS_EVERY:
            self._asked_at = self._clock()
            with contextlib.suppress(HardlineError):
                self._suggestion = await (await self._issuer()).wants_renewal(now)
        return self._suggestion

    async def _renew(self, key: ec.EllipticCurvePrivateKey) -> None:
        if self.kept.until <= self._clock():
            self._becomes(Kept("asking", until=self.kept.until))
        try:
            issuer = await self._issuer()
            found = await issuer.certificate(self.name, key, self._prove)
        finally:
            self.proof = None
        try:
            await asyncio.to_thread(self._store.keep_certificate, self.name, found)
        except CertificateError as failure:  # it is good until the next start
            log.warning("https.not_kept", name=self.name, reason=failure.message)
        self._serve(found, key)
        log.event("https.certified", name=self.name, days=round((found.ends - self._clock()) / 86_400, 1))

    def _prove(self, proof: object) -> None:
        self.proof = None if proof is None else proof_context(*proof)  # type: ignore[misc]

    def _serve(self, found: Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.context, self._certificate = browser_context(found.chain, key), found
        self._asked_at = self._suggestion = None
        self._becomes(Kept("serving", until=found.ends))

    async def _refused(self, failure: HardlineError) -> None:
        wait = pause_after(self._failures) * random.uniform(0.9, 1.1)
        log.warning("https.refused", name=self.name, reason=failure.message, hint=failure.hint or None, again_s=wait)
        state = "serving" if self.kept.until > self._clock() else "refused"
        self._becomes(Kept(state, failure.message, self.kept.until, self._clock() + wait))
        failures, until = self._failures, self._clock() + wait
        while self._failures == failures and 0 < (left := until - self._clock()) < wait + 1.0:  # it may be set back
            await self._pause(min(left, LOOKS_EVERY))

    async def _pause(self, seconds: float) -> None:
        """Until then, or until something changes."""
        self._woken.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()

    def _becomes(self, kept: Kept) -> None:
        if kept != self.kept:
            self.kept = kept
            self._changed()
