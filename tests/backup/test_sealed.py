"""A backup as bytes."""

from __future__ import annotations

import hashlib
import json
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl import pwhash
from nacl.secret import SecretBox

from hardline.backup import sealed
from hardline.backup.sealed import seal, unseal
from hardline.errors import ConfigError, WrongArgument

pytestmark = pytest.mark.pure

SALT, NONCE = bytes(range(16)), bytes(range(24))
FILES = {"services/wiki.ini": b"[Service]\nservice = 8000\n", "data/keys/ab": b"\xff\x00", "hardline.ini": b""}

names = st.sampled_from(["hardline.ini", "services/a", "services/b.ini.cert", "data/node.cert", "data/keys/c.d"])


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
    monkeypatch.setattr(sealed, "OPSLIMIT", pwhash.argon2id.OPSLIMIT_MIN)
    monkeypatch.setattr(sealed, "MEMLIMIT", pwhash.argon2id.MEMLIMIT_MIN)


@settings(max_examples=50)
@given(st.dictionaries(names, st.binary(max_size=300)), st.text(max_size=30))
def test_what_was_put_in_comes_out(files, passphrase):
    assert unseal(seal(files, passphrase, SALT, NONCE), passphrase) == files


def test_another_passphrase_opens_nothing():
    with pytest.raises(WrongArgument, match="passphrase"):
        unseal(seal(FILES, "correct horse", SALT, NONCE), "correct horsf")


@given(st.data())
def test_a_changed_byte_is_seen(data):
    whole = bytearray(seal(FILES, "x", SALT, NONCE))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises((WrongArgument, ConfigError)):
        unseal(bytes(whole), "x")


@given(st.binary(max_size=200))
def test_what_is_no_backup_is_none(data):
    for text in (data, b"hardline backup 1\n" + data):
        with pytest.raises((WrongArgument, ConfigError)):
            unseal(text, "x")


def crafted(told: object, *, costs: tuple[int, int] | None = None) -> bytes:
    ops, memory = costs or (sealed.OPSLIMIT, sealed.MEMLIMIT)
    head = b"hardline backup 1\n" + struct.pack("!IQ", ops, memory) + SALT
    salt = hashlib.blake2b(head, digest_size=16).digest()
    key = pwhash.argon2id.kdf(32, b"x", salt, opslimit=sealed.OPSLIMIT, memlimit=sealed.MEMLIMIT)
    box = SecretBox(key).encrypt(zlib.compress(json.dumps(told).encode()), NONCE)
    return head + bytes(box)


ELSEWHERE = ("/etc/passwd", "services/../../x", "data/", "services", "a/b", "data/a/b/c", "data/a\0b", "hardline.ini/x")
UNKNOWN = ("data/cached", "data/control", "data/cache/a", "services/a/b", "services/.a", "data/keys/../x", "")
NOT_SHOWN = ("services/\x1b[2J", "services/\ud800", "services/" + "n" * 256)


@pytest.mark.parametrize("name", ELSEWHERE + UNKNOWN + NOT_SHOWN)
def test_a_name_that_leads_elsewhere_is_refused(name):
    with pytest.raises(ConfigError, match="belongs to no node"):
        unseal(crafted({"files": {name: ""}}), "x")


@pytest.mark.parametrize("told", [[], {}, {"files": []}, {"files": {"data/a": 1}}, {"files": {"data/a": "?"}}, 7])
def test_what_cannot_be_understood_is_said(told):
    with pytest.raises(ConfigError):
        unseal(crafted(told), "x")


def test_nobodys_file_takes_all_memory(monkeypatch):
    for costs in ((sealed.OPSLIMIT, 1 << 40), (1 << 31, sealed.MEMLIMIT)):
        with pytest.raises(ConfigError, match="memory or time"):
            unseal(crafted({"files": {}}, costs=costs), "x")
    monkeypatch.setattr(sealed, "MOST", 1000)
    with pytest.raises(ConfigError):
        unseal(crafted({"files": {"data/a": "A" * 100_000}}), "x")


@pytest.mark.parametrize("one", ["[],", "{},", '"",'])
def test_what_is_made_to_take_memory_is_refused_before_it_is_read(one, monkeypatch):
    monkeypatch.setattr(json, "loads", lambda _: pytest.fail("it was read"))
    with pytest.raises(ConfigError):
        unseal(sealed_text(one * 200_000), "x")


def sealed_text(text: str) -> bytes:
    head = sealed._MAGIC + sealed._COSTS.pack(1, 1 << 13) + SALT
    return head + bytes(SecretBox(sealed._key("x", head, 1, 1 << 13)).encrypt(zlib.compress(text.encode()), NONCE))


def test_a_computer_with_too_little_memory_says_so(monkeypatch):
    def none(*_: object, **__: object) -> None:
        raise sealed.NoMemory("Unexpected failure in key derivation")

    monkeypatch.setattr(sealed.pwhash.argon2id, "kdf", none)
    with pytest.raises(ConfigError, match="memory"):
        seal(FILES, "x", SALT, NONCE)
