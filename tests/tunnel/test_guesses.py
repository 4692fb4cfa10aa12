"""How often a password may be guessed."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.tunnel import guesses
from hardline.tunnel.guesses import (
    ALLOWED,
    MACHINE_EVERY,
    MAX_NETWORKS,
    MAX_PROVEN,
    OF_A_MACHINE,
    OF_A_SERVICE,
    PROVEN_FOR,
    TELL_EVERY,
    Guesses,
)

pytestmark = pytest.mark.pure

OF_AN_ADDRESS, ADDRESS_EVERY = ALLOWED[0]
OF_THE_WIDEST, WIDEST_EVERY = ALLOWED[-1]
A = ("a",)


def ipv6(customer: int, network: int = 0, host: int = 1) -> Sequence[str]:
    """Somebody in a /64 of a customer, who has a /48."""
    address = f"2001:db8:{customer:x}:{network:x}::{host:x}"
    return (address, *(str(ipaddress.ip_network(f"{address}/{prefix}", strict=False)) for prefix in (64, 56, 48)))


def judged(table: Guesses, guessers: Sequence[Sequence[str]], times: Iterable[float]) -> int:
    """How many of their guesses are judged when they guess wrong in turn at these times."""
    count = 0
    for step, now in enumerate(times):
        networks = guessers[step % len(guessers)]
        if not table.wait("diary", networks, now):
            table.wrong("diary", networks, now)
            count += 1
    return count


def quickly(seconds: float, since: float = 0.0) -> Iterable[float]:
    """A hundred times a second."""
    return (since + step / 100 for step in range(int(seconds * 100)))


def test_an_address_has_five_wrong_guesses_and_then_one_in_ten_seconds():
    assert judged(Guesses(), [A], quickly(1.0)) == OF_AN_ADDRESS
    assert judged(Guesses(), [A], quickly(100.0)) == OF_AN_ADDRESS + 9


def test_it_is_told_how_long_to_wait():
    table = Guesses()
    for _ in range(OF_AN_ADDRESS):
        table.wrong("diary", A, 0.0)
    assert table.wait("diary", A, 4.0) == pytest.approx(ADDRESS_EVERY - 4.0)
    assert table.wait("diary", A, ADDRESS_EVERY) == 0.0


@pytest.mark.parametrize("level", range(1, len(ALLOWED)))
def test_who_changes_his_address_within_a_network_has_what_that_network_has(level):
    guessers = [
        ipv6(1, host=1 + number) if level == 1 else ipv6(1, network=number if level == 2 else number << 8)
        for number in range(200)
    ]
    most, every = ALLOWED[level]
    assert judged(Guesses(), guessers, quickly(1.0)) == most
    assert judged(Guesses(), guessers, quickly(100.0)) == most + int((100.0 - 0.01) / every)


def test_all_the_networks_of_a_customer_are_no_more_than_one_of_many():
    guessers = [ipv6(1, network) for network in range(20_000)]
    seconds = 200_000 / 300
    count = judged(Guesses(), guessers, (step / 300 for step in range(200_000)))
    assert count <= OF_THE_WIDEST + seconds / WIDEST_EVERY


def test_a_neighbour_with_one_address_makes_nobody_wait_however_long_he_guesses():
    table = Guesses()
    for now in range(3600):
        judged(table, [ipv6(1, host=0xBAD)], [float(now)])
        assert table.wait("diary", ipv6(1, host=2), float(now)) == 0.0


def test_who_gave_the_right_word_pays_for_nobody_but_himself():
    table, proven, other = Guesses(), ipv6(1, host=2), ipv6(1, host=3)
    table.right("diary", proven, 0.0)
    judged(table, [ipv6(1, host=0x100 + number) for number in range(200)], quickly(100.0))
    assert table.wait("diary", other, 100.0) > 0
    assert table.wait("diary", proven, 100.0) == 0.0
    assert judged(table, [proven], quickly(1.0, since=100.0)) == OF_AN_ADDRESS


def test_a_machine_of_the_network_has_its_guesses_by_all_of_its_addresses_together():
    table, card = Guesses(), "2 02004c4f4f50"
    addresses = [("192.168.1.7",), ipv6(1), ("fe80::7%eth0", "fe80::/64%eth0")]
    addresses += [(f"192.168.1.{number}",) for number in range(100, 150)]

    def guessed(times):
        count = 0
        for step, now in enumerate(times):
            where = addresses[step % len(addresses)]
            if not table.wait("diary", where, now, card):
                table.wrong("diary", where, now, card)
                count += 1
        return count

    assert guessed(quickly(1.0)) == OF_A_MACHINE
    assert guessed(quickly(90.0, since=1.0)) == int(90 / MACHINE_EVERY)
    assert table.wait("diary", ("192.168.1.8",), 91.0, "2 02004c4f4f51") == 0.0, "another one beside it"
    assert table.wait("diary", ("192.168.1.8",), 91.0, card) > 0, "one more of its own"


def test_with_one_address_nobody_makes_others_behind_his_card_wait():
    """A repeater of a wireless network shows one card for all behind it."""
    table, card = Guesses(), "2 02004c4f4f50"
    for now in range(3600):
        if not table.wait("diary", A, float(now), card):
            table.wrong("diary", A, float(now), card)
        assert table.wait("diary", ("another",), float(now), card) == 0.0


def test_the_right_word_is_good_for_a_day_and_for_one_service():
    table, proven = Guesses(), ipv6(1, host=2)
    table.right("diary", proven, 0.0)
    for service in ("diary", "another"):
        for host in range(200):
            table.wrong(service, ipv6(1, host=0x100 + host), PROVEN_FOR)
    assert table.wait("diary", proven, PROVEN_FOR - 1) == 0.0
    assert table.wait("diary", proven, PROVEN_FOR) > 0
    assert table.wait("another", proven, PROVEN_FOR) > 0


def test_many_sources_together_have_sixty_a_minute_of_one_service():
    table = Guesses()
    guessers = [(f"s{number}",) for number in range(200)]
    for guesser in guessers:
        table.wrong("diary", guesser, 0.0)
    assert judged(table, guessers, quickly(60.0)) <= OF_A_SERVICE


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 3), st.floats(0, 5)), max_size=300))
def test_who_is_in_no_network_that_guessed_never_waits(steps):
    table, now = Guesses(), 0.0
    for customer, network, pause in steps:
        now += pause
        table.wrong("diary", ipv6(customer, network), now)
        assert table.wait("diary", ipv6(0xFFFF), now) == 0.0
        assert table.wait("diary", ("192.0.2.7",), now) == 0.0
    assert table.wait("another", ipv6(0), now) == 0.0


def test_right_ones_cost_nothing():
    table = Guesses()
    table.wrong("diary", A, 0.0)
    for second in range(1000):
        assert table.wait("diary", A, second / 10) == 0.0
        table.right("diary", A, second / 10)


def test_the_owner_is_told_once_an_hour_and_of_all_of_them():
    table = Guesses()
    seconds = range(0, 2 * int(TELL_EVERY), 10)
    told = {second: table.wrong("diary", (f"s{second % 7}",), float(second)) for second in seconds}
    assert [second for second, count in told.items() if count] == [40, 40 + TELL_EVERY]
    assert sum(told.values()) + table.untold("diary", 3 * TELL_EVERY) == 2 * TELL_EVERY / 10


def test_somebody_who_mistypes_is_no_news():
    table = Guesses()
    assert [table.wrong("diary", A, second) for second in (0.0, 1.0, 2.0)] == [0, 0, 0]


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(guesses, "MAX_SERVICES", 100)
    table = Guesses()
    for number in range(200):
        table.wrong(f"service {number}", A, float(number))
        table.right(f"service {number}", A, float(number))
    assert len(table._services) == 100
    for number in range(MAX_NETWORKS + 500):
        table.wrong("diary", ipv6(number), float(number))
        table.right("diary", ipv6(number), float(number))
    diary = table._services["diary"]
    assert (len(diary.networks), len(diary.proven)) == (MAX_NETWORKS, MAX_PROVEN)


def test_who_guesses_at_one_service_makes_no_other_forget_who_guessed():
    table = Guesses()
    assert judged(table, [A], quickly(1.0)) == OF_AN_ADDRESS
    for number in range(2 * MAX_NETWORKS):
        table.wrong("another", (f"s{number}",), 1.0)
    assert table.wait("diary", A, 1.0) > 0


def test_after_an_hour_a_source_is_as_new():
    table = Guesses()
    assert judged(table, [A], quickly(1.0)) == OF_AN_ADDRESS
    assert judged(table, [A], quickly(1.0, since=4000.0)) == OF_AN_ADDRESS
