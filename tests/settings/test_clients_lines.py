"""Lines of NAME.ini.clients, put in and taken out: everything else stays as it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.identity import KeyHash
from hardline.settings.clients import client_lines, parse_clients, with_client, without_clients

pytestmark = pytest.mark.pure

KEYS = [KeyHash(bytes([digit]) * 20) for digit in range(4)]
lines = st.one_of(
    st.sampled_from([f"{key} somebody, since May" for key in KEYS]),
    st.sampled_from([f"  {KEYS[0]}", f"\t{KEYS[1]}\tx", f"# {KEYS[2]}", "", "nonsense", f"{KEYS[3]}"]),
    st.text(st.characters(exclude_characters="\r\n"), max_size=20),
)
ended = st.lists(st.builds(str.__add__, lines, st.sampled_from(["\n", "\r\n", "\r"])))
texts = st.builds(lambda parts, last: "".join(parts) + last, ended, lines)


@given(texts)
def test_who_is_read_is_who_may_visit(text: str) -> None:
    assert {key for key, _ in client_lines(text)} == parse_clients(text, "x").allowed


@given(texts, st.sampled_from(KEYS))
def test_who_is_put_in_may_visit_and_everybody_else_as_before(text: str, key: KeyHash) -> None:
    after = with_client(text, key, "Anna, since 2026-11-30")
    assert after.startswith(text)
    assert parse_clients(after, "x").allowed == parse_clients(text, "x").allowed | {key}


@given(texts, st.sets(st.sampled_from(KEYS)))
def test_who_is_taken_out_may_not_and_no_other_line_is_lost(text: str, keys: set[KeyHash]) -> None:
    after = without_clients(text, keys)
    assert parse_clients(after, "x").allowed == parse_clients(text, "x").allowed - keys
    assert without_clients(text, set()) == text
