"""Registrations: found by their names, replaced by who comes back, bounded for everybody."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.relay.messages import Kind, Why
from hardline.relay.registry import Registration, Registry, RegistryLimits, holder_of_port, is_public, pool_of

pytestmark = pytest.mark.pure


@dataclass(frozen=True)
class Node:
    """A control connection."""

    number: int
    source: str = "203.0.113.7"
    network: str = "203.0.113.0/24"


ONE, TWO = Node(1), Node(2, "198.51.100.4", "198.51.100.0/24")


def handle(holder: Node, number: int, name: str = "a", instance: str = "") -> Registration[Node]:
    return Registration(holder, number, Kind.HANDLE, name, instance)


def test_what_is_registered_is_found_until_it_leaves():
    registry = Registry[Node](RegistryLimits())
    assert registry.find("a") is None
    assert registry.register(handle(ONE, 1, "a")) == []
    assert registry.register(handle(ONE, 2, "b")) == []
    assert registry.find("a") == registry.find("a") == handle(ONE, 1, "a")
    assert registry.held_by(ONE) == (handle(ONE, 1, "a"), handle(ONE, 2, "b"))
    assert registry.unregister(ONE, 1) == handle(ONE, 1, "a")
    assert registry.unregister(ONE, 1) is None
    assert registry.find("a") is None
    assert registry.leave(ONE) == [handle(ONE, 2, "b")]
    assert registry.leave(ONE) == []
    assert len(registry) == 0


def test_who_comes_back_replaces_what_was_there_also_where_there_is_no_room():
    registry = Registry[Node](RegistryLimits(registrations=1, per_source=1, per_network=1, per_connection=1))
    registry.register(handle(ONE, 1))
    again = Node(3)
    assert registry.register(handle(again, 1)) == [handle(ONE, 1)]
    assert registry.find("a") == handle(again, 1)
    assert registry.leave(ONE) == []
    assert registry.register(handle(again, 1, "b")) == [handle(again, 1)], "its own number means another name now"
    assert registry.find("a") is None
    assert len(registry) == 1


def test_instances_of_a_name_take_turns():
    registry = Registry[Node](RegistryLimits())
    for number, node in enumerate((ONE, TWO)):
        registry.register(handle(node, number, "a", f"instance {number}"))
    found = [registry.find("a") for _ in range(4)]
    assert [one.holder for one in found if one is not None] == [ONE, TWO, ONE, TWO]
    registry.leave(ONE)
    assert registry.find("a") == registry.find("a") == handle(TWO, 1, "a", "instance 1")


@pytest.mark.parametrize(
    ("limits", "taken", "one", "why"),
    [
        (RegistryLimits(registrations=2), [handle(ONE, 1, "a"), handle(TWO, 1, "b")], handle(ONE, 2, "c"), Why.FULL),
        (RegistryLimits(per_connection=1), [handle(ONE, 1, "a")], handle(ONE, 2, "c"), Why.QUOTA),
        (RegistryLimits(per_source=1), [handle(ONE, 1, "a")], handle(Node(9), 2, "c"), Why.QUOTA),
        (RegistryLimits(per_network=1), [handle(ONE, 1, "a")], handle(Node(9, "203.0.113.8"), 2, "c"), Why.QUOTA),
    ],
)
def test_there_is_no_more_than_the_owner_allows_and_what_is_there_stays(limits, taken, one, why):
    registry = Registry[Node](limits)
    for each in taken:
        assert registry.register(each) == []
    assert registry.register(one) is why
    assert registry.find("c") is None
    assert all(registry.find(each.name) == each for each in taken)
    registry.leave(ONE)
    assert registry.register(one) == []


NODES = [Node(0), Node(1), Node(2, "203.0.113.8"), Node(3, "198.51.100.4", "198.51.100.0/24")]


@given(
    st.lists(
        st.tuples(st.sampled_from(["register", "unregister", "leave"]), st.sampled_from(NODES), st.integers(0, 3))
        | st.tuples(st.just("register"), st.sampled_from(NODES), st.integers(0, 3)),
        max_size=60,
    ),
    st.data(),
)
def test_whatever_comes_and_goes_it_counts_what_it_holds(steps, data):
    limits = RegistryLimits(registrations=6, per_source=4, per_network=5, per_connection=3)
    registry, held = Registry[Node](limits), set[Registration[Node]]()
    for what, node, number in steps:
        match what:
            case "register":
                name, instance = data.draw(st.sampled_from("abc")), data.draw(st.sampled_from(["", "x"]))
                one = handle(node, number, name, instance)
                replaced = registry.register(one)
                if not isinstance(replaced, Why):
                    held = (held - set(replaced)) | {one}
            case "unregister":
                held.discard(registry.unregister(node, number))  # type: ignore[arg-type]
            case "leave":
                held -= set(registry.leave(node))
        assert len(registry) == len(held) <= 6
        for each in NODES:
            assert set(registry.held_by(each)) == {one for one in held if one.holder == each}
        for name in "abc":
            assert (registry.find(name) is not None) == any(one.name == name for one in held)
        for source in {each.source for each in NODES}:
            assert sum(one.holder.source == source for one in held) <= 4
    for each in NODES:
        registry.leave(each)
    assert not len(registry)
    assert not registry._of_source
    assert not registry._of_network
    assert not registry._pools


def test_a_public_port_shares_its_pool_with_nothing_and_is_no_secret():
    service = "0123456789012345678901234567890123456789"
    port, named, domain = pool_of(Kind.PORT, service), pool_of(Kind.NAMED, service), pool_of(Kind.DOMAIN, "nas.example")
    assert len({port, named, domain}) == 3
    assert (holder_of_port(port), holder_of_port(named), holder_of_port(domain)) == (service, "", "")
    assert (is_public(port), is_public(named), is_public(domain)) == (True, False, True)
