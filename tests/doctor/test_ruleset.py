"""What the rules of firewalls do with what comes to our ports, from what the programs really print."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.doctor import ruleset
from hardline.doctor.firewall import open_it
from hardline.doctor.ruleset import Packet, Rule, walk

pytestmark = pytest.mark.pure

TCP, LAN = Packet("tcp", 7008), Packet("udp", 6771)


def nft(*rules: list[dict[str, Any]], policy: str = "drop", others: tuple[dict[str, Any], ...] = ()) -> str:
    """As `nft -j list ruleset` prints an input chain with these rules."""
    where = {"family": "inet", "table": "filter"}
    chain = {**where, "name": "input", "handle": 1, "type": "filter", "hook": "input", "prio": 0, "policy": policy}
    things: list[dict[str, Any]] = [{"metainfo": {"version": "1.0.6"}}, {"table": {"family": "inet", "name": "filter"}}]
    things += [{"chain": chain}, *others]
    things += [{"rule": {**where, "chain": "input", "handle": 2 + at, "expr": expr}} for at, expr in enumerate(rules)]
    return json.dumps({"nftables": things})


def match(left: dict[str, Any], right: Any, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": left, "right": right}}


def dport(right: Any, protocol: str = "tcp") -> dict[str, Any]:
    return match({"payload": {"protocol": protocol, "field": "dport"}}, right)


ESTABLISHED = [match({"ct": {"key": "state"}}, ["established", "related"], "in"), {"accept": None}]
LOOPBACK = [match({"meta": {"key": "iifname"}}, "lo"), {"accept": None}]
ACCEPT, DROP = {"accept": None}, {"drop": None}
BY_ADDRESS = match({"payload": {"protocol": "ip", "field": "saddr"}}, {"prefix": {"addr": "10.0.0.0", "len": 8}})


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        (nft(policy="accept"), True),
        (nft(), False),
        (nft(ESTABLISHED, LOOPBACK, [dport(22), ACCEPT]), False),
        (nft(ESTABLISHED, [dport(7008), ACCEPT]), True),
        (nft([dport({"set": [22, 7008]}), ACCEPT]), True),
        (nft([dport({"set": [22, {"range": [7000, 7010]}]}), ACCEPT]), True),
        (nft([dport({"range": [1, 1024]}), ACCEPT]), False),
        (nft([dport(7008, "udp"), ACCEPT]), False),
        (nft([dport(7008, "th"), ACCEPT]), True),
        (nft([dport(7008), {"counter": {"packets": 1, "bytes": 2}}, {"log": None}, ACCEPT]), True),
        (nft([dport(7008), {"reject": {"type": "tcp reset"}}], policy="accept"), False),
        (nft([match({"meta": {"key": "l4proto"}}, {"set": ["tcp", "udp"]}), ACCEPT]), True),
        (nft([match({"ct": {"key": "state"}}, "invalid", "in"), DROP], policy="accept"), True),
        (nft([match({"ct": {"key": "state"}}, ["established", "related"], "!="), DROP], policy="accept"), False),
        (nft([BY_ADDRESS, dport(7008), ACCEPT]), None),
        (nft([BY_ADDRESS, DROP], [dport(7008), ACCEPT]), None),
        (nft([dport("@open"), ACCEPT]), None),
        (nft([dport(7008), {"limit": {"rate": 5, "per": "second"}}, ACCEPT]), None),
        (nft([{"xt": {"type": "match", "name": "conntrack"}}, ACCEPT]), None),
        (nft([dport(7008), {"jump": {"target": "mine"}}]), False),
        (json.dumps({"nftables": []}), True),
    ],
)
def test_of_nftables(text: str, passes: bool | None):
    assert ruleset.nft(text, TCP) is passes


def test_of_nftables_chains_are_followed_and_returned_from():
    mine = {"rule": {"family": "inet", "table": "filter", "chain": "mine", "handle": 9, "expr": [dport(7008), ACCEPT]}}
    text = nft([match({"meta": {"key": "l4proto"}}, "tcp"), {"jump": {"target": "mine"}}], others=(mine,))
    assert ruleset.nft(text, TCP) is True
    assert ruleset.nft(text, LAN) is False


def test_of_nftables_a_map_by_state_is_understood():
    states = {"set": [["established", ACCEPT], ["invalid", DROP]]}
    text = nft([{"vmap": {"key": {"ct": {"key": "state"}}, "data": states}}], [dport(7008), ACCEPT])
    assert ruleset.nft(text, TCP) is True
    assert ruleset.nft(text, LAN) is False


def test_of_two_tables_the_one_that_drops_decides():
    one, other = json.loads(nft(policy="accept")), json.loads(nft(policy="drop"))
    for thing in other["nftables"]:
        for each in thing.values():
            each.update(table="other") if isinstance(each, dict) else None
    both = json.dumps({"nftables": one["nftables"] + other["nftables"]})
    assert ruleset.nft(both, TCP) is False


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda deeper: st.lists(deeper)))
def test_what_is_no_ruleset_is_an_error_or_nothing(anything: Any):
    for text in (json.dumps(anything), json.dumps({"nftables": anything})):
        with contextlib.suppress(ValueError):
            assert ruleset.nft(text, TCP) in (True, False, None)


def test_tables_that_only_iptables_understands_are_left_to_it():
    extended = nft([{"xt": {"type": "match", "name": "conntrack"}}, ACCEPT])
    own = json.loads(nft(policy="drop"))["nftables"]
    for thing in own:
        for each in thing.values():
            each.update(table="other") if isinstance(each, dict) else None
    beside = json.dumps({"nftables": json.loads(extended)["nftables"] + own})
    assert ruleset.uses_extensions(extended)
    assert not ruleset.uses_extensions(nft())
    assert ruleset.nft(extended, TCP, without_extensions=True) is True
    assert ruleset.nft(beside, TCP, without_extensions=True) is False


def test_what_is_only_for_ipv6_keeps_nobody_out_who_comes_by_ipv4():
    text = nft(policy="drop").replace('"inet"', '"ip6"')
    assert ruleset.nft(text, TCP) is True


def test_rules_that_go_round_in_circles_come_to_an_end():
    assert walk({"a": [Rule(True, "jump:a"), Rule(None, "jump:a")]}, "a", "accept") is None
    wide = {f"c{n}": [Rule(None, f"jump:c{n + 1}")] * 10 for n in range(60)}
    assert walk(wide, "c0", "drop") is None


SAVED = """# Generated by iptables-save v1.8.9
*nat
:PREROUTING ACCEPT [0:0]
-A PREROUTING -p tcp -m tcp --dport 7008 -j DROP
COMMIT
*filter
:INPUT {policy} [0:0]
:FORWARD DROP [0:0]
:mine - [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
{rules}
-A mine -p udp -m udp --dport 6771 -m comment --comment "the LAN of hardline" -j ACCEPT
COMMIT
"""


@pytest.mark.parametrize(
    ("policy", "rules", "tcp", "lan"),
    [
        ("ACCEPT", "", True, True),
        ("DROP", "", False, False),
        ("DROP", "-A INPUT -p tcp -m tcp --dport 7008 -j ACCEPT", True, False),
        ("DROP", "-A INPUT -p tcp -m multiport --dports 22,7000:7010 -j ACCEPT", True, False),
        ("DROP", "-A INPUT -j mine", False, True),
        ("DROP", "-A INPUT -s 10.0.0.0/8 -j ACCEPT", None, None),
        ("ACCEPT", "-A INPUT -p udp -j REJECT --reject-with icmp-port-unreachable", True, False),
        ("ACCEPT", "-A INPUT -p tcp ! --dport 7008 -j DROP", True, True),
        ("ACCEPT", "-A INPUT -m conntrack --ctstate INVALID -j DROP", True, True),
        ("DROP", '-A INPUT -p tcp -j LOG --log-prefix "dropped "', False, False),
        ("DROP", "-A INPUT -p tcp -m tcp --dport 7008 -m limit --limit 5/sec -j ACCEPT", None, False),
    ],
)
def test_of_iptables(policy: str, rules: str, tcp: bool | None, lan: bool | None):
    text = SAVED.format(policy=policy, rules=rules)
    assert (ruleset.iptables(text, TCP), ruleset.iptables(text, LAN)) == (tcp, lan)


UFW = """Status: active
Logging: on (low)
Default: deny (incoming), allow (outgoing), disabled (routed)
New profiles: skip

To                         Action      From
--                         ------      ----
22/tcp                     LIMIT IN    Anywhere
{rules}
22/tcp (v6)                LIMIT IN    Anywhere (v6)
"""


@pytest.mark.parametrize(
    ("rules", "passes"),
    [
        ("", False),
        ("7008/tcp                   ALLOW IN    Anywhere", True),
        ("7008                       ALLOW IN    Anywhere", True),
        ("7000:7010/tcp              ALLOW IN    Anywhere", True),
        ("7008/udp                   ALLOW IN    Anywhere", False),
        ("7008/tcp                   DENY IN     Anywhere", False),
        ("7008/tcp                   ALLOW IN    192.168.1.0/24", None),
        ("Anywhere                   ALLOW IN    192.168.1.0/24", None),
    ],
)
def test_of_ufw(rules: str, passes: bool | None):
    assert ruleset.ufw(UFW.format(rules=rules), TCP) is passes
    assert ruleset.ufw("Status: inactive\n", TCP) is True


ZONE = """public (active)
  target: {target}
  icmp-block-inversion: no
  interfaces: eth0
  sources:
  services: dhcpv6-client mdns ssh
  ports: {ports}
  rich rules: {rich}
"""


@pytest.mark.parametrize(
    ("target", "ports", "rich", "tcp", "mdns"),
    [
        ("default", "", "", False, True),
        ("default", "7008/tcp", "", True, True),
        ("default", "7000-7010/tcp", "", True, True),
        ("ACCEPT", "", "", True, True),
        ("default", "", 'rule family="ipv4" accept', None, True),
    ],
)
def test_of_firewalld(target: str, ports: str, rich: str, tcp: bool | None, mdns: bool):
    text = ZONE.format(target=target, ports=ports, rich=rich)
    assert (ruleset.firewalld(text, TCP), ruleset.firewalld(text, Packet("udp", 5353))) == (tcp, mdns)


@pytest.mark.parametrize(
    ("tool", "command"),
    [
        ("ufw", "sudo ufw allow 7008/tcp && sudo ufw allow 6771/udp"),
        ("firewalld", "sudo firewall-cmd --add-port=7008/tcp --add-port=6771/udp && sudo firewall-cmd --runtime-to-"),
        ("iptables", "sudo iptables -I INPUT -p tcp --dport 7008 -j ACCEPT && sudo iptables -I INPUT -p udp --dport"),
        ("nftables", "tcp dport 7008 accept, udp dport 6771 accept"),
    ],
)
def test_the_command_that_opens_it_is_told(tool: str, command: str):
    assert command in open_it(tool, [TCP, LAN])
    assert open_it(tool, []) == ""
