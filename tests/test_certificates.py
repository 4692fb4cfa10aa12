"""Keys, certificates and .hash files: made once, never replaced, every mistake told (docs/PROTOCOL.md 1.4)."""

from __future__ import annotations

import hashlib
import os
import shutil
import ssl
import stat
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hardline.certificates import Identity, load, load_or_create
from hardline.errors import CertificateError

PEM = serialization.Encoding.PEM
DER = serialization.Encoding.DER


def beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def names(directory: Path) -> list[str]:
    return sorted(os.listdir(directory))


def refusal(path: Path, use=load_or_create) -> CertificateError:
    with pytest.raises(CertificateError) as caught:
        use(path)
    assert str(path.parent) in caught.value.message
    assert caught.value.hint
    return caught.value


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "blog.ini.cert"


@pytest.fixture
def made(path: Path) -> Path:
    load_or_create(path)
    return path


# ── new sets ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_first_start_makes_a_small_certificate_with_nothing_personal(path):
    identity = load_or_create(path)
    certificate = x509.load_der_x509_certificate(identity.der)
    assert len(identity.der) == 215
    assert certificate.version is x509.Version.v3
    assert certificate.subject.rfc4514_string() == certificate.issuer.rfc4514_string() == "CN=hardline"
    assert certificate.serial_number == 1
    assert (certificate.not_valid_after_utc - certificate.not_valid_before_utc).days == 36_500
    assert list(certificate.extensions) == []
    certificate.verify_directly_issued_by(certificate)


def test_the_first_start_leaves_three_files_that_only_their_owner_can_read(path):
    identity = load_or_create(path)
    assert names(path.parent) == ["blog.ini.cert", "blog.ini.cert.hash", "blog.ini.cert.private"]
    for each in path.parent.iterdir():
        assert stat.S_IMODE(each.stat().st_mode) == 0o600
    assert beside(path, ".hash").read_text() == str(identity.key_hash)
    assert beside(path, ".private").read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----\n")
    assert identity.password == ""


def test_the_key_hash_is_the_blake2b_of_what_the_file_holds(made):
    der = ssl.PEM_cert_to_DER_cert(made.read_text())
    identity = load(made)
    assert identity.der == der
    assert identity.key_hash.digest == hashlib.blake2b(der, digest_size=32).digest()[:20]
    assert identity.private_key_path == beside(made, ".private")


def test_the_second_start_finds_what_the_first_one_made(made):
    before = {each.name: each.read_bytes() for each in made.parent.iterdir()}
    assert load_or_create(made) == load(made)
    assert {each.name: each.read_bytes() for each in made.parent.iterdir()} == before


def test_the_private_key_is_never_printed(made):
    identity = load(made)
    assert "PRIVATE" not in repr(identity)
    assert identity.private_key_pem == beside(made, ".private").read_bytes()


def test_a_key_that_a_crash_left_alone_gets_its_certificate(made):
    key = beside(made, ".private").read_bytes()
    made.unlink()
    beside(made, ".hash").unlink()
    identity = load_or_create(made)
    assert identity.private_key_pem == key
    assert beside(made, ".hash").read_text() == str(identity.key_hash)


def test_a_missing_hash_is_written_anew(made):
    beside(made, ".hash").unlink()
    assert load(made).password == ""
    assert not beside(made, ".hash").exists()
    identity = load_or_create(made)
    assert beside(made, ".hash").read_text() == str(identity.key_hash)


def test_two_daemons_that_start_together_never_make_two_identities(path):
    together = threading.Barrier(8)

    def start(_: int) -> Identity | CertificateError:
        together.wait()
        try:
            return load_or_create(path)
        except CertificateError as failure:
            return failure

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(start, range(8)))
    final = load(path)
    assert all(outcome == final for outcome in outcomes if isinstance(outcome, Identity))
    assert names(path.parent) == ["blog.ini.cert", "blog.ini.cert.hash", "blog.ini.cert.private"]


# ── sets of the original ─────────────────────────────────────────────────────────────────────────────────────


def tlv(tag: int, *parts: bytes) -> bytes:
    """One DER value."""
    body = b"".join(parts)
    size = len(body)
    length = bytes([size]) if size < 128 else bytes([0x82]) + size.to_bytes(2, "big")
    return bytes([tag]) + length + body


def version_1_certificate(key: rsa.RSAPrivateKey) -> bytes:
    """What hardline 0.0.16 makes, in DER: X.509 version 1, serial 0, sha512WithRSA, a made-up subject."""
    algorithm = tlv(0x30, bytes.fromhex("06092a864886f70d01010d 0500"))
    name = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.COUNTRY_NAME, "NT"),
            x509.NameAttribute(x509.NameOID.COMMON_NAME, "commonName"),
        ]
    ).public_bytes()
    validity = tlv(0x30, tlv(0x17, b"240101000000Z"), tlv(0x18, b"21231208000000Z"))
    public = key.public_key().public_bytes(DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    body = tlv(0x30, tlv(0x02, b"\0"), algorithm, name, validity, name, public)
    signature = key.sign(body, padding.PKCS1v15(), hashes.SHA512())
    return tlv(0x30, body, algorithm, tlv(0x03, b"\0", signature))


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65_537, 4096)


@pytest.fixture
def original(path: Path, rsa_key: rsa.RSAPrivateKey) -> Path:
    der = version_1_certificate(rsa_key)
    path.write_text(ssl.DER_cert_to_PEM_cert(der))
    beside(path, ".private").write_bytes(
        rsa_key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    digits = hashlib.blake2b(der, digest_size=32).digest()[:20].hex()
    beside(path, ".hash").write_text(f"abcdefghij234-{digits}")
    for each in path.parent.iterdir():
        each.chmod(0o700)
    return path


def test_a_set_of_the_original_is_taken_as_it_is(original, rsa_key):
    before = {each.name: each.read_bytes() for each in original.parent.iterdir()}
    identity = load_or_create(original)
    assert identity.der == version_1_certificate(rsa_key)
    assert identity.password == "abcdefghij234"
    assert f"{identity.password}-{identity.key_hash}" == beside(original, ".hash").read_text()
    assert {each.name: each.read_bytes() for each in original.parent.iterdir()} == before


def test_a_password_of_capital_letters_counts_as_small_ones(original):
    hash_file = beside(original, ".hash")
    hash_file.write_text(hash_file.read_text().replace("abcdefghij234", "SeSaMe") + "\r\n")
    assert load(original).password == "sesame"


def test_a_hash_without_a_password_means_none(original):
    hash_file = beside(original, ".hash")
    hash_file.write_text(hash_file.read_text().partition("-")[2])
    assert load(original).password == ""


def test_the_first_certificate_of_a_chain_is_the_one_that_counts(original, tmp_path):
    expected = load(original)
    other = load_or_create(tmp_path / "other")
    original.write_bytes(b"# a comment\n" + original.read_bytes() + other.certificate_pem)
    assert load(original).key_hash == expected.key_hash
    assert load(original).certificate_pem == expected.certificate_pem


def test_a_certificate_without_its_rsa_key_is_not_replaced(original):
    original.unlink()
    beside(original, ".hash").unlink()
    assert "certificate is missing" in refusal(original).message
    assert names(original.parent) == ["blog.ini.cert.private"]


# ── what cannot be used ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o620, 0o602, 0o644, 0o777])
def test_a_key_that_others_may_touch_is_refused(made, mode):
    beside(made, ".private").chmod(mode)
    wrong = refusal(made)
    assert "other users may read or write" in wrong.message
    assert wrong.hint == f"chmod 600 {beside(made, '.private')}"


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700, 0o711])
def test_a_key_that_only_its_owner_may_read_is_taken(made, mode):
    beside(made, ".private").chmod(mode)
    assert load(made)


def test_a_lost_certificate_is_not_made_anew_while_its_hash_is_known(made):
    made.unlink()
    wrong = refusal(made)
    assert "the certificate is missing" in wrong.message
    assert names(made.parent) == ["blog.ini.cert.hash", "blog.ini.cert.private"]


def test_a_lost_key_is_not_made_anew(made):
    beside(made, ".private").unlink()
    assert "blog.ini.cert.private: this file is missing" in refusal(made).message
    assert names(made.parent) == ["blog.ini.cert", "blog.ini.cert.hash"]


def test_the_hash_of_another_certificate_is_refused(made):
    beside(made, ".hash").write_text("ab" * 20)
    wrong = refusal(made)
    assert "says abababab…" in wrong.message
    assert load_or_create(made.with_name("other"))


@pytest.mark.parametrize("text", ["", "hello", "ab" * 19, "sesame", "x" * 70_000, "\xff"])
def test_a_hash_file_that_makes_no_sense_is_refused(made, text):
    beside(made, ".hash").write_text(text, encoding="latin-1")
    assert "blog.ini.cert.hash" in refusal(made).message


@pytest.mark.parametrize("password", ["two-words", "a.b", "x" * 24, "a b"])
def test_a_password_that_no_url_could_carry_is_refused_without_repeating_it(made, password):
    beside(made, ".hash").write_text(f"{password}-{load(made).key_hash}")
    wrong = refusal(made)
    assert password not in wrong.message + wrong.hint


def test_the_key_of_another_certificate_is_refused(made, tmp_path):
    other = load_or_create(tmp_path / "other")
    beside(made, ".private").write_bytes(other.private_key_pem)
    assert "does not belong to the certificate" in refusal(made).message


def test_a_key_of_another_kind_is_refused(made, rsa_key):
    pem = rsa_key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    beside(made, ".private").write_bytes(pem)
    assert "does not belong to the certificate" in refusal(made).message


def test_an_encrypted_key_is_refused_with_the_command_that_helps(made):
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"pw"))
    beside(made, ".private").write_bytes(pem)
    wrong = refusal(made)
    assert "encrypted" in wrong.message
    assert "openssl pkey" in wrong.hint


def test_a_certificate_that_openssl_finds_too_weak_is_refused(path):
    key = rsa.generate_private_key(65_537, 1024)
    path.write_text(ssl.DER_cert_to_PEM_cert(version_1_certificate(key)))
    pem = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    beside(path, ".private").write_bytes(pem)
    beside(path, ".private").chmod(0o600)
    assert "too small" in refusal(path).message


GARBAGE = st.binary(max_size=200) | st.sampled_from(
    [
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        b"-----BEGIN PRIVATE KEY-----\n",
    ]
)


@pytest.mark.parametrize("suffix", ["", ".private", ".hash"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(garbage=GARBAGE)
def test_garbage_in_any_of_the_files_is_a_certificate_error(made, suffix, garbage):
    file = beside(made, suffix)
    good = file.read_bytes()
    file.write_bytes(garbage)
    try:
        refusal(made, use=load)
    finally:
        file.write_bytes(good)


@pytest.mark.parametrize("suffix", ["", ".private", ".hash"])
def test_a_directory_in_place_of_a_file_is_refused(made, suffix):
    beside(made, suffix).unlink()
    beside(made, suffix).mkdir()
    assert "no plain file" in refusal(made).message


def test_a_directory_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(CertificateError, match="no such file"):
        load_or_create(tmp_path / "nowhere" / "a.cert")


@pytest.fixture
def as_nobody():
    """A directory of a user who is not root, to whom permissions mean something."""
    directory = Path(tempfile.mkdtemp())
    us = os.geteuid()
    if us == 0:
        os.chown(directory, 65_534, 65_534)
        os.seteuid(65_534)
    yield directory
    os.seteuid(us)
    shutil.rmtree(directory)


def test_a_key_that_we_may_not_read_is_refused(as_nobody):
    load_or_create(as_nobody / "a.cert")
    (as_nobody / "a.cert.private").chmod(0)
    wrong = refusal(as_nobody / "a.cert")
    assert "a.cert.private: permission denied" in wrong.message
    assert "another user" in wrong.hint


def test_a_directory_that_we_may_not_write_takes_nothing_new(as_nobody):
    identity = load_or_create(as_nobody / "a.cert")
    (as_nobody / "a.cert.hash").unlink()
    as_nobody.chmod(0o500)
    try:
        assert "cannot be written: permission denied" in refusal(as_nobody / "b.cert").message
        assert load_or_create(as_nobody / "a.cert") == identity
    finally:
        as_nobody.chmod(0o700)


# ── disks that take nothing more ─────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def small_disk(tmp_path: Path):
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounting a disk of one page needs root on Linux")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", disk], capture_output=True, text=True)
    if mount.returncode:
        pytest.skip(f"no disk can be mounted here: {mount.stderr.strip()}")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_is_told_and_nothing_half_made_stays(small_disk):
    (small_disk / "ballast").write_bytes(bytes(8192))
    wrong = refusal(small_disk / "a.cert")
    assert "no space left" in wrong.message
    assert "make room" in wrong.hint
    assert names(small_disk) == ["ballast"]


def test_a_disk_that_is_full_after_the_key_leaves_what_the_next_start_completes(small_disk):
    (small_disk / "ballast").write_bytes(bytes(4096))
    assert "no space left" in refusal(small_disk / "a.cert").message
    assert names(small_disk) == ["a.cert.private", "ballast"]
    key = (small_disk / "a.cert.private").read_bytes()
    (small_disk / "ballast").unlink()
    assert load_or_create(small_disk / "a.cert").private_key_pem == key


def test_a_read_only_disk_serves_what_is_there_and_takes_nothing_new(small_disk):
    identity = load_or_create(small_disk / "a.cert")
    (small_disk / "a.cert.hash").unlink(missing_ok=True)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert load_or_create(small_disk / "a.cert") == identity
    assert "read-only" in refusal(small_disk / "b.cert").message
