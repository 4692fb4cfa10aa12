"""What a host asks of each of its relays."""

from __future__ import annotations

from hardline.identity import KeyHash
from hardline.relay.handles import handle_of, make_port_name
from hardline.relay.messages import Kind, Why
from hardline.relay.uses import Offered, RelayUses
from hardline.relay.wanted import Registration
from hardline.routes import Endpoint, RelayAddress
from tests.relay.running import NOW, in_loop, prover

ONE, OTHER = KeyHash(b"1" * 20), KeyHash(b"2" * 20)
RELAYS = (
    RelayAddress(Endpoint("one.example", 443), ONE),
    RelayAddress(Endpoint("other.example", 7008), OTHER),
    RelayAddress(Endpoint("other.example", 443), OTHER),
)


def uses(*offered: Offered) -> RelayUses:
    me = prover()
    return RelayUses(
        RELAYS,
        lambda: me,
        "secret",
        services=lambda: offered,
        joined=lambda joined: joined.tcp.close(),
        changed=lambda: None,
        clock=lambda: NOW,
    )


def offered(port: int | None, *relays: Endpoint, name: bytes = b"s") -> Offered:
    return Offered(KeyHash(name * 20), b"key of " + name, None, legacy=False, public_port=port, public_relays=relays)


@in_loop
async def test_a_public_port_is_asked_of_all_or_of_those_that_are_named() -> None:
    one = uses(
        offered(None, name=b"a"),
        offered(0, name=b"b"),
        offered(20_007, Endpoint("other.example", 443), name=b"c"),
        offered(0, Endpoint("elsewhere.example", 443), name=b"d"),
    )
    asked = [
        [(wanted.service.digest[:1], wanted.port) for wanted in client._wanted() if wanted.kind is Kind.PORT]
        for client in one.clients
    ]
    assert asked == [[(b"b", 0)], [(b"b", 0), (b"c", 20_007)]]
    [first, _] = one.clients
    [name] = [handle_of(wanted.prover) for wanted in first._wanted() if wanted.kind is Kind.PORT]
    assert name == handle_of(make_port_name(b"key of b", "secret", ONE)), "the same after every start"


@in_loop
async def test_where_it_is_and_why_not() -> None:
    service = offered(0)
    one = uses(service)
    first, other = one.clients
    assert one.public(service) == ((), ("one.example:443: not asked yet", "other.example:7008: not asked yet"))
    [wanted] = [wanted for wanted in first._wanted() if wanted.kind is Kind.PORT]
    first._registrations[1] = Registration(wanted, "name", registered=True, port=20_007)
    other._refused[service.key_hash, ""] = Why.ALLOW
    ports, without = one.public(service)
    assert ports == (Endpoint("one.example", 20_007),)
    assert [why.partition(" has to write")[0] for why in without] == ["other.example:7008: its owner"]
    elsewhere = offered(0, Endpoint("elsewhere.example", 443))
    assert uses(elsewhere).public(elsewhere) == ((), ("elsewhere.example:443: [Relay] use does not name it",))
    assert first.name_of(service.key_hash) == "", "nobody is told of a public port as of a way here"
