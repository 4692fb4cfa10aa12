"""The kept corpus, every cut of it, and mutations of it, through every target."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hardline.session.hello import parse_object
from tests.fuzz import replay
from tests.fuzz.replay import CORPUS, MAX_FILE, check, check_corpus, check_growth, check_memory, corpus, stretched
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_and_every_cut_of_it_break_nothing(name):
    check_corpus(name)


@pytest.mark.parametrize("name", TARGETS)
def test_no_piece_of_the_corpus_that_is_repeated_takes_long(name):
    for data in corpus(name).values():
        for long, quarter in stretched(data):
            check_growth(TARGETS[name], long, quarter)


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_of_the_corpus_takes_much_memory(name):
    for data in corpus(name).values():
        check_memory(TARGETS[name], data)


@pytest.mark.parametrize("name", TARGETS)
def test_mutations_of_the_corpus_break_nothing(name):
    kept = list(corpus(name).values())

    @settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(mutations(kept))
    def mutated(data):
        check(TARGETS[name], data)

    mutated()


def mutations(kept: list[bytes]) -> st.SearchStrategy[bytes]:
    """Pieces of kept inputs, with pieces left out, put in and changed."""
    return st.builds(
        mutate,
        st.sampled_from(kept),
        st.lists(
            st.tuples(st.integers(0, 2000), st.integers(0, 8), st.one_of(st.binary(max_size=8), st.sampled_from(kept))),
            max_size=4,
        ),
    )


def mutate(data: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    for position, removed, added in edits:
        position %= len(data) + 1
        data = data[:position] + added + data[position + removed :]
    return data[:MAX_FILE]


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_has_inputs_that_are_small(name):
    sizes = {file: len(data) for file, data in corpus(name).items()}
    assert len(sizes) >= 8
    assert [file for file, size in sizes.items() if size > MAX_FILE] == []


def test_no_corpus_is_left_without_its_target():
    assert {directory.name for directory in CORPUS.iterdir() if directory.is_dir()} == set(TARGETS)


# The harness itself, on targets with a bug planted in them.


def test_a_target_that_breaks_on_one_cut_of_one_input_is_found():
    """As if nobody had thought of a line that ends within a key."""

    def broken(data: bytes) -> None:
        if data.endswith(b'"passw'):
            raise KeyError("password")

    with pytest.raises(AssertionError, match="KeyError"):
        check_corpus("hello", broken)


def test_a_target_that_forgets_an_error_of_the_peers_is_found():
    def broken(data: bytes) -> None:
        parse_object(data)

    with pytest.raises(AssertionError, match="PeerError"):
        check_corpus("hello", broken)


def test_a_target_that_breaks_on_a_mutation_only_is_found():
    kept = [b"length 1"]

    @settings(max_examples=2000, deadline=None, database=None)
    @given(mutations(kept))
    def mutated(data):
        assert not data.startswith(b"length") or data == b"length 1"

    with pytest.raises(AssertionError):
        mutated()


def test_a_target_that_needs_much_memory_is_found():
    with pytest.raises(AssertionError, match="MB"):
        check_memory(lambda data: bytearray(64 << 20) and None, b"x")


def test_a_target_that_needs_much_time_is_found(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(replay, "MOST_SECONDS", 0.05)

    def slow(data: bytes) -> None:
        for _ in range(10_000_000):
            pass

    with pytest.raises(AssertionError, match="took"):
        check(slow, b"x")


def test_a_target_that_needs_four_times_as_long_for_twice_as_much_is_found():
    def quadratic(data: bytes) -> None:
        while data:
            data = data[1:]
            for _ in range(len(data) // 40):
                pass

    def linear(data: bytes) -> None:
        for _ in range(50 * len(data)):
            pass

    long, quarter = next(stretched(b"ab"))
    check_growth(linear, long, quarter)
    with pytest.raises(AssertionError, match="times as long"):
        check_growth(quadratic, long, quarter)
