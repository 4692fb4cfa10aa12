"""The order of a directory's list, out of a query."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.cache.files.order import NAME, SIZE, TIME, Order, name_of

pytestmark = pytest.mark.pure

BY_NAME = Order()
names = st.text(st.characters(exclude_characters="\0/", exclude_categories=()), min_size=1)


def test_directories_come_first_and_numbers_count():
    mixed = [("file 10", False), ("file 9", False), ("Zoo", True), ("alpha", True), ("File 9b", False), ("b", False)]
    mixed += [("file 09", False), ("v1.10", False), ("v1.9", False), ("file", False), ("2", False), ("10", False)]
    ordered = [name_of(key) for key in sorted(BY_NAME.key(*entry, 0, 0) for entry in mixed)]
    first = ["alpha", "Zoo", "2", "10", "b", "file", "file 09", "file 9", "File 9b", "file 10", "v1.9", "v1.10"]
    assert ordered == first


@given(st.lists(st.integers(0, 10**30), min_size=2, max_size=2))
def test_numbers_of_any_length_count(numbers):
    keys = [BY_NAME.key(f"a{number}b", False, 0, 0) for number in numbers]
    assert (keys[0] < keys[1]) == (numbers[0] < numbers[1])


@given(
    names,
    st.booleans(),
    st.integers(-(10**25), 10**25),
    st.integers(),
    st.sampled_from([NAME, SIZE, TIME]),
    st.booleans(),
)
def test_a_key_gives_back_the_name_that_it_was_made_of(name, is_directory, size, modified, by, falling):
    assert name_of(Order(by, falling).key(name, is_directory, size, modified)) == name


@given(st.lists(st.tuples(names, st.booleans(), st.integers(0, 1 << 60), st.integers(0, 1 << 40)), max_size=20))
def test_sizes_and_times_sort_by_their_value_with_directories_first(entries):
    for by, value in ((SIZE, 2), (TIME, 3)):
        for falling in (False, True):
            order = Order(by, falling)
            keyed = sorted(((order.key(*entry), entry) for entry in entries), reverse=falling)
            kinds = [not entry[1] for _, entry in keyed]
            assert kinds == sorted(kinds)
            for kind in (False, True):
                values = [entry[value] for _, entry in keyed if entry[1] is kind]
                assert values == sorted(values, reverse=falling)


@given(st.text(max_size=300))
def test_any_query_is_an_order(query):
    order = Order.parse(query)
    assert order.by in (NAME, SIZE, TIME)
    assert Order.parse(order.query[1:]) == order


def test_a_query_says_what_and_how():
    assert Order.parse("sort=size&order=desc&filter=Holiday") == Order(SIZE, True, "Holiday")
    assert Order.parse("sort=evil&order=up&filter=") == Order()
    assert Order.parse("&".join("a=1" for _ in range(100))) == Order()
    assert Order(TIME, True, "a b&c").query == "?sort=time&order=desc&filter=a+b%26c"


def test_the_column_that_is_sorted_by_turns_round():
    assert Order().sorted_by(NAME) == Order(NAME, True)
    assert Order().sorted_by(SIZE) == Order(SIZE, True)  # the largest are looked for
    assert Order(SIZE, True).sorted_by(SIZE) == Order(SIZE, False)


def test_letters_are_found_in_capitals_or_not():
    assert Order(wanted="straSSe").takes("Hauptstraße 1.jpg")
    assert not Order(wanted="x").takes("Hauptstraße 1.jpg")
