"""A certificate authority that speaks ACME, and one order at it.

    directory ─▶ account ─▶ order ─▶ challenge ─▶ `prove` it ─▶ finalize ─▶ chain

The library asks and waits in threads of its own, every request with a limit of time and size; what waits between
requests waits here.  What an authority says is for people, and cut to a line.  Source: RFC 8555; RFC 8737; RFC 9773.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import requests
from acme import errors, messages
from acme.client import ClientNetwork, ClientV2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from josepy.jwa import ES256
from josepy.jwk import JWKEC

from hardline import __version__
from hardline.disks import Disk, DiskHangs
from hardline.errors import HardlineError
from hardline.https.bounded import Bounded, TooMuch
from hardline.https.challenge import TlsAlpn01, proof_certificate
from hardline.https.store import Certificate, Store, certificate_of
from hardline.showable import one_line

T = TypeVar("T")

Proof = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]

_ANSWERS_WITHIN = 15  # seconds, each request
_DECIDES_WITHIN = 90.0  # seconds: validation, and the certificate
_ALL_WITHIN = 600.0  # seconds for a certificate
_ENDS_WITHIN = 150.0  # seconds for several requests, also of who says a byte now and then
_LOOK_EVERY = 0.5  # seconds
_LOOKS_AFTER = datetime.timedelta(seconds=0.5), datetime.timedelta(seconds=15)  # at least, and at most
_LOOKED_AT = 2  # names at once: it looks at each from several places, and relays take only so many visits a second
_TRIES = 3
_MAX_SAID = 300  # characters of what it says


class _Client(ClientV2):
    """One that is asked again as often as the authority wants, within reason: it may say 0, and it may say a year."""

    @classmethod
    def retry_after(cls, response: requests.Response, default: int) -> datetime.datetime:
        now, wanted = datetime.datetime.now(), super().retry_after(response, default)
        return min(max(wanted, now + _LOOKS_AFTER[0]), now + _LOOKS_AFTER[1])


class NotIssued(HardlineError):
    """There is no certificate, for the reason that the message says."""


class Authority:
    """The one whose directory is at `url`.  `contact` is a mail address or "", `trust` a file of certificates that its
    own is checked against, None for those that everybody trusts.
    """

    def __init__(self, url: str, contact: str, trust: Path | None, store: Store) -> None:
        self._url, self._contact, self._trust, self._store = url, contact, trust, store
        # Like a disk: a thread that waits for it cannot be called back, and nobody else is to wait for that.
        self._threads = Disk("the certificate authority", threads=4, patience=_ENDS_WITHIN)
        self._client: ClientV2 | None = None
        self._opening = asyncio.Lock()
        self._proving = asyncio.Semaphore(_LOOKED_AT)
        self.account = ""  # what this host's account is called there, once that is known

    async def certificate(
        self, name: str, key: ec.EllipticCurvePrivateKey, prove: Callable[[Proof | None], None]
    ) -> Certificate:
        """Get one for `name`.  `prove` is given what connections by acme-tls/1 are to be shown, and None afterwards.

        Raises NotIssued, CertificateError.
        """
        try:
            async with asyncio.timeout(_ALL_WITHIN) as limit:
                order = await self._ordered(name, key, prove, limit)
        except TimeoutError:
            raise NotIssued("the certificate authority came to no end in time") from None
        except HardlineError:
            raise
        except Exception as failure:  # what the library has read only when it is looked at
            raise _not_understood(failure) from None
        finally:
            prove(None)
        try:
            return certificate_of(str(order.fullchain_pem).encode(), name, key)
        except ValueError as failure:
            raise NotIssued(f"the certificate authority sent something else than the certificate: {failure}") from None

    async def _ordered(
        self,
        name: str,
        key: ec.EllipticCurvePrivateKey,
        prove: Callable[[Proof | None], None],
        limit: asyncio.Timeout,
    ) -> messages.OrderResource:
        client = await self._open()
        csr = _request(name, key)
        order = await self._ask(lambda: client.new_order(csr))
        for authorization in order.authorizations:
            if authorization.body.status != messages.STATUS_VALID:
                limit.reschedule(None)  # those before it have limits
                async with self._proving:
                    limit.reschedule(asyncio.get_running_loop().time() + _ALL_WITHIN)
                    await self._prove(client, name, authorization, prove)
        return await self._ask(lambda: _finalized(client, order))

    async def wants_renewal(self, certificate: Certificate) -> float | None:
        """When it suggests to renew a certificate, in seconds since 1970; None where it says nothing of that."""
        try:
            client = await self._open()
            when, _ = await self._ask(lambda: client.renewal_time(certificate.pem))
        except HardlineError:
            return None
        return None if when is None else when.timestamp()

    async def _open(self) -> ClientV2:
        async with self._opening:
            if self._client is None:
                self._client = await self._ask(self._opened)
            return self._client

    def _opened(self) -> ClientV2:
        kept = self._store.account(self._url)
        network = ClientNetwork(
            JWKEC(key=kept.key),
            alg=ES256,
            verify_ssl=cast(bool, str(self._trust)) if self._trust is not None else True,
            user_agent=f"hardline/{__version__}",
            timeout=_ANSWERS_WITHIN,
        )
        network.session.mount("https://", Bounded())
        network.session.mount("http://", Bounded())
        client = _Client(_Client.get_directory(self._url, network), network)
        if client.external_account_required():
            raise NotIssued("the certificate authority wants an account that was made elsewhere: choose another")
        wanted = messages.NewRegistration.from_data(email=self._contact or None, terms_of_service_agreed=True)
        try:
            account = client.new_account(wanted)
        except errors.ConflictError as known:  # by this key, which is not lost
            account = messages.RegistrationResource(body=messages.Registration(), uri=known.location)
            network.account = account
        if account.uri != kept.url:
            self._store.keep_account(self._url, account.uri)
        self.account = account.uri
        return client

    async def _prove(
        self, client: ClientV2, name: str, authorization: Any, prove: Callable[[Proof | None], None]
    ) -> None:
        found = next((one for one in authorization.body.challenges if isinstance(one.chall, TlsAlpn01)), None)
        if found is None:
            raise NotIssued("the certificate authority does not know the challenge tls-alpn-01: choose another")
        response, validation = found.response_and_validation(client.net.key)
        now = datetime.datetime.now(datetime.UTC)
        prove(await asyncio.to_thread(proof_certificate, name, validation, now))
        await self._ask(lambda: client.answer_challenge(found, response))
        try:
            async with asyncio.timeout(_DECIDES_WITHIN):
                while True:
                    state, _ = await self._ask(lambda: client.poll(authorization))
                    if state.body.status == messages.STATUS_VALID:
                        return
                    if state.body.status not in (messages.STATUS_PENDING, messages.STATUS_PROCESSING):
                        raise NotIssued(_why_invalid(state))
                    await asyncio.sleep(_LOOK_EVERY)
        except TimeoutError:
            raise NotIssued("the certificate authority did not look at the name in time") from None

    async def _ask(self, work: Callable[[], T]) -> T:
        """Have the library do something, which it may do twice.  Raises NotIssued."""
        try:
            for _ in range(_TRIES):
                with contextlib.suppress(_BadNonce):
                    return await self._threads.run(lambda: _told(work), lambda _: None)
            raise NotIssued("the certificate authority takes none of its own nonces")
        except messages.Error as failure:
            if failure.code == "accountDoesNotExist":
                self._client = None  # it is made anew next time
            raise NotIssued(_said(failure)) from None
        except errors.IssuanceError as failure:
            raise NotIssued(_said(failure.error)) from None
        except TooMuch as failure:
            raise NotIssued(f"the certificate authority sent {failure}") from None
        except (errors.TimeoutError, DiskHangs):
            raise NotIssued("the certificate authority did not answer in time") from None
        except requests.RequestException as failure:
            raise NotIssued(f"the certificate authority cannot be reached: {_cause(failure)}") from None
        except HardlineError:
            raise
        except Exception as failure:  # the library raises whatever Python does with what it did not expect
            raise _not_understood(failure) from None


class _BadNonce(Exception):
    """It was not looked at, and is to be said once more (RFC 8555, section 6.5); the library does that once."""


def _told(work: Callable[[], T]) -> T:
    try:
        return work()
    except messages.Error as failure:
        if failure.code == "badNonce":
            raise _BadNonce from None
        raise


def _request(name: str, key: ec.EllipticCurvePrivateKey) -> bytes:
    """For `name`, and with nothing else in it."""
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )


def _finalized(client: ClientV2, order: messages.OrderResource) -> messages.OrderResource:
    return client.finalize_order(order, datetime.datetime.now() + datetime.timedelta(seconds=_DECIDES_WITHIN))


def _why_invalid(state: messages.AuthorizationResource) -> str:
    said = [_said(one.error) for one in state.body.challenges if one.error is not None]
    return said[0] if said else "the certificate authority could not see that the name leads here"


def _said(failure: messages.Error) -> str:
    return f"the certificate authority says: {_line(failure.detail or failure.title or failure.typ or 'no')}"


def _not_understood(failure: Exception) -> NotIssued:
    answer = failure.args[0] if failure.args else None
    if isinstance(answer, requests.Response):
        why = f"it answered with status {answer.status_code}"
    else:
        why = _line(failure) or type(failure).__name__
    return NotIssued(f"the certificate authority was not understood: {why}")


def _line(what: object) -> str:
    return one_line(str(what), _MAX_SAID)


def _cause(failure: requests.RequestException) -> str:
    if isinstance(failure, requests.exceptions.SSLError):
        return "its own certificate is not trusted ([ACME] trust)"
    return "no answer in time" if isinstance(failure, requests.Timeout) else "no connection"
