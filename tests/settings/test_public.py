"""Public ports in the settings: a service's [Public], and the relay's range and list."""

from __future__ import annotations

import pytest

from hardline.errors import ConfigError
from hardline.identity import KeyHash
from hardline.routes import Endpoint
from hardline.settings.node import NodeSettings, changed_keys, parse_node
from hardline.settings.service import parse_service

pytestmark = pytest.mark.pure

SERVICE = "[Service]\nservice = 127.0.0.1:22\n"
NODE = "6d54994fa9c0edc0b30f2749118f5e963cad7ed2"
RELAY = "[Relay]\nenabled = yes\nallow = *\n"


@pytest.mark.parametrize(
    ("text", "port"), [("", None), ("no", None), ("yes", 0), ("Yes", 0), ("20007", 20_007), ("1", 1), ("65535", 65_535)]
)
def test_the_port_of_a_service(text: str, port: int | None) -> None:
    more = f"[Public]\nport = {text}\n" if text else ""
    assert parse_service(SERVICE + more, "s.ini").public_port == port


@pytest.mark.parametrize("text", ["0", "65536", "-1", "+1", "1e3", "٣", "maybe", "20000-20009", "1" * 5000])
def test_what_is_no_port(text: str) -> None:
    with pytest.raises(ConfigError, match="expected yes, no, or a port of 1 to 65535") as wrong:
        parse_service(f"{SERVICE}[Public]\nport = {text}\n", "s.ini")
    assert (wrong.value.line, wrong.value.key) == (4, "port")


def test_the_relays_that_are_asked() -> None:
    found = parse_service(f"{SERVICE}[Public]\nport = yes\nrelay = relay.example:443,\n [2001:db8::9]:7008\n", "s.ini")
    assert found.public_relays == (Endpoint("relay.example", 443), Endpoint("2001:db8::9", 7008))
    assert parse_service(f"{SERVICE}[Public]\nport = yes\n", "s.ini").public_relays == ()
    with pytest.raises(ConfigError, match="host:port"):
        parse_service(f"{SERVICE}[Public]\nport = yes\nrelay = relay.example\n", "s.ini")


def test_relays_without_a_port_are_a_note() -> None:
    found = parse_service(f"{SERVICE}[Public]\nrelay = relay.example:443\n", "s.ini")
    assert found.notes == ("[Public] relay has no effect without port or name",)


@pytest.mark.parametrize(
    "text",
    [
        f"{SERVICE}[Access]\nclients = invited\n[Public]\nport = yes\n",
        "[Cache]\ndirectory = /srv/photos\n[Public]\nport = yes\n",
        f"{SERVICE}[Cache]\ndirectory = site\n[Public]\nport = yes\n",
    ],
)
def test_a_service_that_is_not_for_everybody_or_has_no_socket_gets_none(text: str) -> None:
    with pytest.raises(ConfigError) as wrong:
        parse_service(text, "s.ini")
    assert wrong.value.key == "port"


def test_a_password_that_is_not_asked_is_a_note() -> None:
    found = parse_service("[Service]\nservice = 127.0.0.1:22\npassword = abcdef\n[Public]\nport = yes\n", "s.ini")
    assert "[Service] password is not asked of those who come by [Public] port" in found.notes


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("20000-20099", range(20_000, 20_100)),
        ("20000 - 20001", range(20_000, 20_002)),
        ("20000", range(20_000, 20_001)),
        ("64536-65535", range(64_536, 65_536)),
    ],
)
def test_the_range_of_a_relay(text: str, ports: range) -> None:
    settings = parse_node(f"{RELAY}public_ports = {text}\npublic_allow = {NODE}\n", "")
    assert (settings.relay.public_ports, settings.relay.public_allow) == (ports, (KeyHash.parse(NODE),))
    assert settings.notes == ()


@pytest.mark.parametrize(
    "text", ["20001-20000", "1023-1030", "20000-21000", "65000-65536", "20000-", "-20000", "yes", "1-2-3", "٣-٤"]
)
def test_what_is_no_range(text: str) -> None:
    with pytest.raises(ConfigError, match="a range of at most 1000 ports between 1024 and 65535"):
        parse_node(f"{RELAY}public_ports = {text}\n", "")


def test_a_range_with_a_port_that_is_in_use() -> None:
    for more in ("[Node]\np2pport = 20005\n", "[Node]\nlocalport = 20005\n"):
        with pytest.raises(ConfigError, match="port 20005 is used already"):
            parse_node(f"{more}{RELAY}public_ports = 20000-20009\n", "")
    with pytest.raises(ConfigError, match="port 20005 is used already"):
        parse_node(f"{RELAY}ports = 20005\npublic_ports = 20000-20009\n", "")


def test_never_for_everybody() -> None:
    with pytest.raises(ConfigError, match="key hashes of nodes") as wrong:
        parse_node(f"{RELAY}public_ports = 20000-20009\npublic_allow = *\n", "")
    assert wrong.value.hint == "a public port is only for nodes that are named"


@pytest.mark.parametrize("text", ["public_ports = 20000\n", f"public_allow = {NODE}\n"])
def test_one_without_the_other_is_a_note(text: str) -> None:
    notes = parse_node(RELAY + text, "").notes
    assert notes == ("[Relay] public_ports and public_allow have no effect without each other",)


def test_who_may_have_one_can_change_while_it_runs() -> None:
    now = parse_node(f"{RELAY}public_ports = 20000\npublic_allow = {NODE}\n", "")
    before = parse_node(f"{RELAY}public_ports = 20000\n", "")
    assert changed_keys(before, now) == ["[Relay] public_allow"]
    assert changed_keys(NodeSettings(), NodeSettings()) == []


USER = "anna:scrypt$14$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


@pytest.mark.parametrize(
    ("text", "name"),
    [("nas.example.org", "nas.example.org"), ("NAS.Example.org.", "nas.example.org"), ("xn--bcher-kva.example", None)],
)
def test_the_name_of_a_service(text: str, name: str | None) -> None:
    found = parse_service(f"{SERVICE}[Public]\nname = {text}\nrate = 20\naddresses = 192.0.2.0/24\n", "s.ini").public
    assert (found.name, found.rate, len(found.addresses)) == (name or text, 20, 1)


@pytest.mark.parametrize(
    "text",
    [
        *("localhost", "nas", "-a.example.org", "a..b", "nas.example.org:443", "https://nas.example.org"),
        *("bücher.example", f"{NODE}.example.org", f"x{NODE}.org", "*.example.org", "a" * 64 + ".org"),
        *("a." * 130 + "org", "10.0.0.1", "10.0.0.1/8"),
    ],
)
def test_what_is_no_name_or_tells_a_key_hash(text: str) -> None:
    with pytest.raises(ConfigError, match="expected a name") as wrong:
        parse_service(f"{SERVICE}[Public]\nname = {text}\n", "s.ini")
    assert wrong.value.key == "name"


def test_a_name_tells_no_password_and_lets_in_nobody_who_is_not_invited() -> None:
    name = "[Public]\nname = sesame.example.org\n"
    with pytest.raises(ConfigError, match="the password in it"):
        parse_service(f"{SERVICE}password = sesame\n{name}", "s.ini")
    with pytest.raises(ConfigError, match="= everyone, or users here"):
        parse_service(f"{SERVICE}[Access]\nclients = invited\n{name}", "s.ini")
    found = parse_service(f"{SERVICE}[Access]\nclients = invited\n{name}users = {USER}\n", "s.ini")
    assert [one.name for one in found.public.users] == ["anna"]
    assert "scrypt" not in repr(found)
    notes = parse_service(f"{SERVICE}password = word\n{name}", "s.ini").notes
    assert notes == ("[Service] password is not asked of those who come by [Public] name",)
    assert parse_service(f"{SERVICE}[Public]\nrate = 3\n", "s.ini").notes


def test_a_service_with_a_name_of_its_own_takes_its_public_one_for_its_visitors() -> None:
    found = parse_service(f"{SERVICE}[HTTP]\nhost = nas.lan\n[Public]\nname = nas.example.org\n", "s.ini")
    assert found.http.names == ("https://nas.example.org",)
    assert parse_service(f"{SERVICE}[Public]\nname = nas.example.org\n", "s.ini").http.names == ()


def test_the_names_that_a_relay_gives_to_nodes() -> None:
    found = parse_node(f"{RELAY}domains = nas.example.org {NODE}, *.ann.example.org   {NODE}\n", "h.ini").relay
    node = KeyHash.parse(NODE)
    assert found.domains == (("nas.example.org", node), ("*.ann.example.org", node))
    for wrong in ("nas.example.org", f"{NODE} nas.example.org", f"*.org {NODE}", f"* {NODE}", f"a.*.org {NODE}"):
        with pytest.raises(ConfigError, match="each with a node's key hash"):
            parse_node(f"{RELAY}domains = {wrong}\n", "h.ini")
    with pytest.raises(ConfigError, match="stands there twice"):
        parse_node(f"{RELAY}domains = nas.example.org {NODE}, NAS.example.org {NODE}\n", "h.ini")
    assert changed_keys(NodeSettings(), NodeSettings(relay=found)) >= ["[Relay] domains"]


def test_who_certifies() -> None:
    acme = parse_node("", "h.ini").acme
    assert (acme.directory, acme.contact, acme.trust) == (
        "https://acme-v02.api.letsencrypt.org/directory",
        "",
        None,
    )
    found = parse_node(
        "[ACME]\ndirectory = https://ca.lan/dir\ncontact = ann@example.org\ntrust = ca.pem\n", "/e/h.ini"
    )
    assert (found.acme.contact, str(found.acme.trust)) == ("ann@example.org", "/e/ca.pem")
    for wrong in ("directory = ca.lan", "contact = ann", "contact = a b@example.org"):
        with pytest.raises(ConfigError):
            parse_node(f"[ACME]\n{wrong}\n", "h.ini")


TLSRELAY = f"{RELAY}tlsrelay = 12000-12200\ntlsrelay_keys = certs\n"


def test_the_ports_for_servers_of_tx_tlsrelay() -> None:
    found = parse_node(f"{TLSRELAY}tlsrelay_host = relay.example\n", "/etc/hardline/hardline.ini").relay
    assert (found.tlsrelay[0], len(found.tlsrelay)) == (12_000, 201)
    assert (str(found.tlsrelay_keys), found.tlsrelay_host) == ("/etc/hardline/certs", "relay.example")
    assert not NodeSettings().relay.tlsrelay
    assert parse_node("[Relay]\nenabled = yes\ntlsrelay = 12000-12002\ntlsrelay_keys = /k\n").notes == ()


@pytest.mark.parametrize("ports", ["12000", "12000-12001", "12000-12199", "12002-12000", "80-82", "12000-13000", "x"])
def test_what_is_no_control_port_with_pairs_behind_it(ports: str) -> None:
    with pytest.raises(ConfigError) as wrong:
        parse_node(f"{RELAY}tlsrelay_keys = k\ntlsrelay = {ports}\n", "hardline.ini")
    assert (wrong.value.key, wrong.value.line) == ("tlsrelay", 5)


@pytest.mark.parametrize("host", ["[2001:db8::9]", "2001:db8::9"])
def test_an_address_has_no_brackets_for_them(host: str) -> None:
    assert parse_node(f"{TLSRELAY}tlsrelay_host = {host}\n").relay.tlsrelay_host == "2001:db8::9"


@pytest.mark.parametrize("host", ["relay.example:12000", "a b", "räla.example", "http://relay.example", "*"])
def test_what_is_no_host_that_servers_can_be_told(host: str) -> None:
    with pytest.raises(ConfigError, match="a name or an address") as wrong:
        parse_node(f"{TLSRELAY}tlsrelay_host = {host}\n", "hardline.ini")
    assert wrong.value.key == "tlsrelay_host"


def test_they_are_never_for_everybody() -> None:
    with pytest.raises(ConfigError, match="expected tlsrelay_keys beside it") as wrong:
        parse_node(f"{RELAY}tlsrelay = 12000-12200\n", "hardline.ini")
    assert (wrong.value.key, wrong.value.line) == ("tlsrelay", 4)


@pytest.mark.parametrize(
    "more",
    ["ports = 12050\n", "public_ports = 12150-12250\n", "[Node]\np2pport = 12000\n", "[Node]\nlocalport = 12200\n"],
)
def test_a_port_of_theirs_is_nothing_else(more: str) -> None:
    with pytest.raises(ConfigError, match="used already") as wrong:
        parse_node(f"{TLSRELAY}{more}", "hardline.ini")
    assert wrong.value.key == "tlsrelay"


def test_what_has_no_effect_is_a_note() -> None:
    assert parse_node("[Relay]\ntlsrelay = 12000-12200\ntlsrelay_keys = k\n").notes == (
        "[Relay] allow, ports, public_ports, tlsrelay and domains have no effect without enabled = yes",
    )
    assert parse_node(f"{RELAY}tlsrelay_keys = k\n").notes == (
        "[Relay] tlsrelay_keys and tlsrelay_host have no effect without tlsrelay",
    )
