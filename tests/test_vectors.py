"""docs/PROTOCOL.md, its vectors and the code say the same: tests/vectors/N-*.json holds those of section N."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hardline.discovery import lpd
from hardline.errors import BadKeyHash, BadLabel, PeerError
from hardline.identity import KeyHash, Label
from hardline.proof import HOST, VISITOR, ProofReader, Prover
from hardline.punch import messages as punch
from hardline.relay.clienthello import ClientHello, read_client_hello
from hardline.relay.handles import handle_of, make_domain_name, make_handle, make_port_name, periods
from hardline.relay.lines import Line, Verb, encode_line, read_line
from hardline.relay.messages import Hello, Kind, Message, Register, encode, encode_go, parse, parse_go
from hardline.relay.proofs import NODE, check_registration, prove_registration
from hardline.relay.tlsrelay.switchboard import Switchboard
from hardline.relay.tlsrelay.words import (
    NEW_CONNECTION,
    NO_AVAILABLE_LISTENERS,
    NO_CONTROLLER_LINKED,
    Silence,
    listeners,
)
from hardline.routes import format_via, parse_via, parse_wan_hosts
from hardline.session import yamux
from hardline.session.hello import (
    HelloReader,
    HostHello,
    HostRefusal,
    LegacyHostLine,
    LegacyVisitorLine,
    VisitorHello,
    parse_host_hello,
)
from hardline.session.messages import read as read_message
from hardline.session.news import NEWS, REVOKED, News, check_revoked, encode_revoked
from hardline.session.status import StatusReader, StreamStatus
from hardline.session.windows import WindowBudget
from hardline.session.yamux import Yamux
from hardline.tunnel.names import ServerNames

pytestmark = pytest.mark.pure

HERE = Path(__file__).parent
SECTIONS = {path.stem: json.loads(path.read_text()) for path in sorted((HERE / "vectors").glob("*.json"))}
PROTOCOL = (HERE.parent / "docs" / "PROTOCOL.md").read_text()
# Hex in the document may be broken by spaces and line ends, and stands in back quotes.
DIGITS = re.sub(r"[\s`]", "", PROTOCOL)

HOST_BUDGET = 16 << 20


def vectors(section: str, group: str) -> Any:
    """Parametrize a test with one group of a section, each vector under its name."""
    found = SECTIONS[section][group]
    return pytest.mark.parametrize(
        "vector", found, ids=[str(each.get("name", index)) for index, each in enumerate(found)]
    )


def line_of(vector: dict[str, str]) -> bytes:
    """The vector's line as a reader finds it: without its end."""
    line = HelloReader().feed(bytes.fromhex(vector["line"]))
    assert line is not None
    return line


# ── the document ─────────────────────────────────────────────────────────────────────────────────────────────


def quoted_hex() -> list[tuple[str, str]]:
    """Every hex text that the document must quote, with where it is from; refused lines are quoted as text."""
    found = []
    for section, groups in SECTIONS.items():
        for group, members in groups.items():
            for each in members if isinstance(members, list) else [members]:
                fields = ("der", "key_hash", "code", "packet", "hex", "plain")
                texts = [each[field] for field in fields if field in each] + each.get("rolling", [])
                if "line" in each and not group.startswith(("refused", "read_")):
                    texts.append(each["line"])
                found += [(text, f"{section} {group}") for text in texts]
    return found


@pytest.mark.parametrize(("text", "where"), quoted_hex())
def test_the_document_quotes_the_vector(text, where):
    assert text in DIGITS, where


@pytest.mark.parametrize("vector", SECTIONS["4-hello"]["refused"] + SECTIONS["4-hello"]["read_as_nothing"])
def test_the_document_quotes_the_lines_that_are_refused_or_ignored(vector):
    line = line_of(vector)
    assert not line.isascii() or line.decode() in PROTOCOL


@vectors("7-candidates", "wan_hosts")
def test_the_document_quotes_the_lists_of_hosts(vector):
    assert all(text in PROTOCOL for text in [vector["text"], *vector["hosts"]])


def test_every_section_that_the_code_cites_exists():
    headings = set(re.findall(r"^#{2,3} ([0-9]+(?:\.[0-9])?) ", PROTOCOL, re.MULTILINE))
    cited = set()
    for path in [*(HERE.parent / "hardline").rglob("*.py"), *HERE.rglob("*.py")]:
        for tail in re.findall(r"docs/PROTOCOL\.md,? (?:sections? )?([0-9., and to]+)", path.read_text()):
            cited |= {(number, path.name) for number in re.findall(r"[0-9]+(?:\.[0-9])?", tail)}
    assert cited
    assert {(number, name) for number, name in cited if number not in headings} == set()


# ── 1 identity ───────────────────────────────────────────────────────────────────────────────────────────────


@vectors("1-identity", "key_hashes")
def test_a_certificate_has_its_key_hash(vector):
    assert str(KeyHash.of_certificate(bytes.fromhex(vector["der"]))) == vector["key_hash"]


def test_the_certificate_of_the_vectors_is_what_the_document_says():
    der = bytes.fromhex(SECTIONS["1-identity"]["key_hashes"][0]["der"])
    certificate = x509.load_der_x509_certificate(der)
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    key.public_key().verify(certificate.signature, certificate.tbs_certificate_bytes)
    assert certificate.subject.rfc4514_string() == certificate.issuer.rfc4514_string() == "CN=hardline"
    assert (len(der), certificate.version, certificate.serial_number) == (215, x509.Version.v3, 1)


@vectors("1-identity", "labels")
def test_a_label_is_read_and_printed(vector):
    label = Label.parse(vector["text"])
    assert (label.password, str(label.key_hash), str(label)) == (
        vector["password"],
        vector["key_hash"],
        vector["printed"],
    )


@vectors("1-identity", "refused_labels")
def test_what_is_no_label_is_refused(vector):
    with pytest.raises((BadKeyHash, BadLabel)):
        Label.parse(vector["text"])


@vectors("1-identity", "rolling_codes")
def test_a_key_hash_has_its_rolling_code(vector):
    assert KeyHash.parse(vector["key_hash"]).rolling(vector["day"]) == vector["code"]


# ── 2 TLS ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_alpn_name_is_written_with_its_length():
    alpn = SECTIONS["2-tls"]["alpn"]
    assert bytes.fromhex(alpn["hex"]) == bytes([len(alpn["name"])]) + alpn["name"].encode()


@vectors("2-tls", "server_names")
def test_a_host_answers_to_three_codes_and_for_hardline_1_to_the_key_hash(vector):
    target, day = KeyHash.parse(vector["key_hash"]), vector["day"]
    with_legacy, without = ServerNames([(target, True)]), ServerNames([(target, False)])
    for name in vector["rolling"]:
        assert with_legacy.find(name, day) == without.find(name, day) == target
    assert with_legacy.find(vector["plain"], day) == target
    assert without.find(vector["plain"], day) is None
    assert with_legacy.find(target.rolling(day + 2), day) is None


@vectors("2-tls", "psks")
def test_a_key_hash_has_its_psk(vector):
    assert KeyHash.parse(vector["key_hash"]).psk.hex() == vector["hex"]


@vectors("2-tls", "proofs")
def test_a_host_proves_itself_and_is_believed(vector):
    der = bytes.fromhex(SECTIONS["1-identity"]["key_hashes"][0]["der"])
    exporter, whole = bytes.fromhex(vector["exporter"]), bytes.fromhex(vector["hex"])
    assert Prover(der, Ed25519PrivateKey.from_private_bytes(bytes(range(32)))).prove(HOST, exporter).encode() == whole
    reader = ProofReader()
    rest = whole + b"the hello"
    while wanted := reader.wants:
        reader.feed(rest[:1])
        rest = rest[1:]
        assert wanted <= len(whole)
    assert rest == b"the hello"
    reader.proof.check(HOST, exporter, KeyHash.parse(vector["key_hash"]))
    with pytest.raises(PeerError):
        reader.proof.check(VISITOR, exporter)


# ── 3 hardline/1, 4 hello ────────────────────────────────────────────────────────────────────────────────────


@vectors("3-hardline1", "visitor")
def test_the_hardline_1_visitors_line(vector):
    ours = LegacyVisitorLine(vector["password"])
    assert ours.encode().hex() == vector["line"]
    assert LegacyVisitorLine.parse(line_of(vector)) == ours


@vectors("3-hardline1", "host")
def test_the_hardline_1_hosts_line(vector):
    ours = LegacyHostLine(vector["wan_hosts"])
    assert ours.encode().hex() == vector["line"]
    assert LegacyHostLine.parse(line_of(vector)) == ours


@vectors("4-hello", "visitor")
def test_the_visitors_hello(vector):
    ours = VisitorHello(vector["password"], vector["reached"])
    assert ours.encode().hex() == vector["line"]
    assert VisitorHello.parse(line_of(vector)) == ours


@vectors("4-hello", "clients")
def test_a_visitor_that_says_who_it_is(vector):
    der = bytes.fromhex(SECTIONS["1-identity"]["key_hashes"][0]["der"])
    exporter = bytes.fromhex(vector["exporter"])
    proof = Prover(der, Ed25519PrivateKey.from_private_bytes(bytes(range(32)))).prove(VISITOR, exporter)
    ours = VisitorHello(client=proof, invite=vector["invite"])
    assert ours.encode().hex() == vector["line"]
    assert VisitorHello.parse(line_of(vector)) == ours
    proof.check(VISITOR, exporter)
    assert str(proof.key_hash) == vector["key_hash"]
    with pytest.raises(PeerError):
        proof.check(HOST, exporter)


@vectors("4-hello", "host")
def test_the_hosts_hello(vector):
    ours = HostHello(vector["wan_hosts"], vector["title"], vector["instance"], parse_via(vector.get("via")))
    assert ours.encode().hex() == vector["line"]
    assert parse_host_hello(line_of(vector)) == ours


@vectors("4-hello", "refusal")
def test_the_hosts_refusal(vector):
    ours = HostRefusal(vector["error"], vector.get("why", ""))
    assert ours.encode().hex() == vector["line"]
    assert parse_host_hello(line_of(vector)) == ours


@vectors("4-hello", "read_as_nothing")
def test_what_counts_as_absent(vector):
    assert parse_host_hello(line_of(vector)) == HostHello()


@vectors("4-hello", "refused")
def test_a_hello_that_is_refused(vector):
    with pytest.raises(PeerError):
        VisitorHello.parse(line_of(vector))


# ── 5 streams ────────────────────────────────────────────────────────────────────────────────────────────────


def frame(name: str) -> bytes:
    """A frame of the vectors, by its name."""
    return next(bytes.fromhex(each["hex"]) for each in SECTIONS["5-streams"]["frames"] if each["name"] == name)


def visitor() -> Yamux:
    return Yamux(client=True, accepts=0, budget=WindowBudget(HOST_BUDGET))


def host() -> Yamux:
    return Yamux(client=False, accepts=10, budget=WindowBudget(HOST_BUDGET))


def with_payload(end: Yamux, stream: int, payload: bytes) -> bytes:
    header = bytearray(yamux.HEADER_SIZE)
    end.put_data_header(header, 0, stream, len(payload))
    return bytes(header) + payload


def receive(end: Yamux, *names: str) -> list[object]:
    """What frames of the vectors mean to `end`, with their payload as bytes."""
    events = end.receive(memoryview(b"".join(map(frame, names))))
    return [bytes(event.data) if isinstance(event, yamux.DataReceived) else event for event in events]


def test_the_frames_of_a_visitor():
    end = visitor()
    assert with_payload(end, end.open(), b"hello") == frame("stream 1 opens, with 5 bytes")
    end.finish(1)
    assert end.data_to_send() == frame("one direction of stream 1 ends")
    end.reset(1)
    assert end.data_to_send() == frame("stream 1 is reset")
    end.ping(42)
    assert end.data_to_send() == frame("ping 42")
    end.go_away()
    end.go_away(yamux.PROTOCOL_ERROR)
    assert end.data_to_send() == frame("go away: normal") + frame("go away: protocol error")
    quiet = visitor()
    quiet.open()
    assert quiet.data_to_send() == frame("stream 1 opens, without data")


def test_the_frames_of_a_host():
    end = host()
    assert receive(end, "stream 1 opens, with 5 bytes") == [yamux.StreamOpened(1), b"hello"]
    assert with_payload(end, 1, b"{}\n") == frame("stream 1 is accepted, with its status line")
    assert receive(end, "ping 42") == []
    assert end.data_to_send() == frame("pong 42")
    assert end.consumed(1, 131_072, now=0.0, round_trip=0.0)
    assert end.data_to_send() == frame("131072 bytes more may be sent on stream 1")


def test_what_frames_mean():
    end = host()
    assert receive(end, "stream 1 opens, without data") == [yamux.StreamOpened(1)]
    assert receive(end, "131072 bytes more may be sent on stream 1") == [yamux.WindowGrew(1)]
    assert end.room(1) == 262_144 + 131_072
    assert receive(end, "one direction of stream 1 ends") == [yamux.StreamEnded(1)]
    assert receive(end, "stream 1 is reset") == [yamux.StreamReset(1)]
    assert receive(end, "pong 42", "go away: protocol error") == [yamux.PongReceived(42), yamux.GoneAway(1)]
    opener = visitor()
    opener.open()
    assert receive(opener, "stream 1 is accepted, with its status line") == [b"{}\n"]


@vectors("5-streams", "refused")
def test_a_frame_that_ends_the_session(vector):
    with pytest.raises(PeerError):
        list(host().receive(memoryview(bytes.fromhex(vector["hex"]))))


@vectors("5-streams", "statuses")
def test_a_status_line(vector):
    ours = StreamStatus(vector["kind"], vector["detail"])
    assert ours.encode().hex() == vector["line"]
    assert StatusReader().feed(bytes.fromhex(vector["line"])) == ours


@vectors("5-streams", "read_statuses")
def test_a_status_line_of_another_writer(vector):
    expected = StreamStatus(vector["kind"], vector["detail"])
    assert StatusReader().feed(bytes.fromhex(vector["line"])) == expected


@vectors("5-streams", "refused_statuses")
def test_a_status_line_that_is_refused(vector):
    with pytest.raises(PeerError):
        StatusReader().feed(bytes.fromhex(vector["line"]))


# ── 6 LAN ────────────────────────────────────────────────────────────────────────────────────────────────────


@vectors("6-lan", "searches")
def test_a_search_on_the_lan(vector):
    ours = lpd.Search(vector["infohash"], vector["cookie"], vector["v"] or 0)
    assert ours.encode().hex() == vector["packet"]
    assert lpd.parse(bytes.fromhex(vector["packet"])) == ours


@vectors("6-lan", "answers")
def test_an_answer_on_the_lan(vector):
    ours = lpd.Answer(
        port=vector["port"],
        name=vector["infohash"],
        cookie=vector["cookie"],
        title=vector["title"],
        version=vector["v"] or 0,
        day=vector["day"],
        to=vector["to"],
        end=vector["end"],
        host=vector["host"],
    )
    assert ours.encode().hex() == vector["packet"]
    assert lpd.parse(bytes.fromhex(vector["packet"])) == ours


@vectors("6-lan", "goodbyes")
def test_a_goodbye_on_the_lan(vector):
    ours = lpd.Goodbye(vector["port"], vector["end"])
    assert ours.encode().hex() == vector["packet"]
    assert lpd.parse(bytes.fromhex(vector["packet"])) == ours
    assert lpd.sealed(ours.end) == vector["sealed"]


def test_the_lan_numbers_of_the_document_are_those_of_the_code():
    for text in (f"UDP port {lpd.PORT}", lpd.GROUP_4, lpd.GROUP_6, lpd.BROADCAST, f"{lpd.MAX_PACKET} bytes"):
        assert text in PROTOCOL


# ── 7 candidates ─────────────────────────────────────────────────────────────────────────────────────────────


@vectors("7-candidates", "wan_hosts")
def test_a_list_of_hosts(vector):
    assert [str(endpoint) for endpoint in parse_wan_hosts(vector["text"])] == vector["hosts"]


# ── 9 relay ──────────────────────────────────────────────────────────────────────────────────────────────────


@vectors("9-relay", "client_hellos")
def test_a_client_hello(vector):
    data = bytes.fromhex(vector["hex"])
    assert read_client_hello(data) == ClientHello(vector["server_name"], tuple(vector["protocols"]), len(data))


@vectors("9-relay", "proofs")
def test_what_proves_a_node_or_a_registration(vector):
    der = bytes.fromhex(SECTIONS["1-identity"]["key_hashes"][0]["der"])
    exporter = bytes.fromhex(vector["exporter"])
    prover = Prover(der, Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
    if vector["name"] == "a node":
        proof = prover.prove(NODE, exporter)
        ours: Message = Hello(proof)
        proof.check(NODE, exporter, KeyHash.parse(vector["key_hash"]))
    else:
        proof = prove_registration(prover, exporter)
        ours = Register(1, Kind.HANDLE, proof)
        assert str(check_registration(proof, exporter)) == vector["key_hash"]
        with pytest.raises(PeerError):
            check_registration(proof, bytes(32))
    assert proof.signature.hex() == vector["hex"]
    assert encode(ours).hex() == vector["line"]
    assert parse(line_of(vector)) == ours


@vectors("9-relay", "read_lines")
def test_a_line_of_a_control_connection(vector):
    found = parse(line_of(vector))
    assert found is not None
    assert encode(found).hex() == vector["line"]
    assert line_of(vector).decode() in PROTOCOL


@vectors("9-relay", "read_nothing")
def test_a_line_of_a_later_version(vector):
    assert parse(line_of(vector)) is None
    assert line_of(vector).decode() in PROTOCOL


@vectors("9-relay", "refused_lines")
def test_a_line_that_ends_a_control_connection(vector):
    with pytest.raises(PeerError):
        parse(line_of(vector))
    assert line_of(vector).decode() in PROTOCOL


@vectors("9-relay", "handles")
def test_the_handle_of_a_service(vector):
    key, relay = vector["private_key_pem"].encode(), KeyHash.parse(vector["relay"])
    ours = make_handle(key, vector["secret"], relay, periods(vector["day"])[0])
    assert ours.certificate.hex() == vector["der"]
    assert handle_of(ours) == vector["key_hash"]


@vectors("9-relay", "port_names")
def test_the_name_of_a_public_port(vector):
    key, relay = vector["private_key_pem"].encode(), KeyHash.parse(vector["relay"])
    ours = make_port_name(key, vector["secret"], relay)
    assert ours.certificate.hex() == vector["der"]
    assert handle_of(ours) == vector["key_hash"]
    assert vector["key_hash"] in PROTOCOL


@vectors("9-relay", "domain_names")
def test_the_name_of_a_domain(vector):
    key, relay = vector["private_key_pem"].encode(), KeyHash.parse(vector["relay"])
    ours = make_domain_name(key, vector["secret"], relay, vector["domain"])
    assert ours.certificate.hex() == vector["der"]
    assert handle_of(ours) == vector["key_hash"]
    assert vector["key_hash"] in PROTOCOL


@vectors("9-relay", "joins")
def test_a_line_that_joins(vector):
    line = bytes.fromhex(vector["hex"])
    assert encode_line(Verb(vector["verb"]), vector["rest"]) == line
    assert read_line(line + b"more") == Line(Verb(vector["verb"]), vector["rest"], len(line))
    assert line.decode().strip() in PROTOCOL
    if vector["verb"] == "GO":
        assert encode_go(parse_go(vector["rest"])) == vector["rest"]


@vectors("9-relay", "tlsrelay_listeners")
def test_what_a_server_of_tx_tlsrelay_is_told_first(vector):
    assert listeners(vector["host"], vector["public"], vector["reverse"]).hex() == vector["hex"]


def test_the_other_words_of_tx_tlsrelay():
    theirs = [bytes.fromhex(vector["hex"]) for vector in SECTIONS["9-relay"]["tlsrelay_words"]]
    assert theirs == [NEW_CONNECTION, NO_AVAILABLE_LISTENERS, NO_CONTROLLER_LINKED]
    assert all(word.decode().strip() in PROTOCOL for word in theirs)


@vectors("9-relay", "tlsrelay_said")
def test_what_a_server_of_tx_tlsrelay_may_say(vector):
    silence = Silence()
    broken = [silence.is_broken(bytes.fromhex(piece)) for piece in vector["pieces"]]
    assert any(broken) is vector["ends"]


@vectors("9-relay", "tlsrelay_pairs")
def test_whose_the_pairs_of_tx_tlsrelay_are(vector):
    board: Switchboard[str, str] = Switchboard(vector["pairs"])
    for what, *of in vector["events"]:
        match what, of:
            case "lease", (server, pair):
                assert board.lease(server) == pair
            case "leave", (server, waited):
                assert board.leave(server)[1] == waited
            case "come", (client, pair):
                board.come(client, pair)
            case "dialled", (pair, client):
                assert board.dialled(pair) == client
            case _:
                raise AssertionError(what)


@vectors("10-control", "lines")
def test_a_line_of_a_control_stream(vector):
    assert bytes.fromhex(vector["hex"]) == vector["text"].encode() + b"\n"
    message = punch.parse(vector["text"].encode())
    assert message is not None
    assert punch.encode(message) == bytes.fromhex(vector["hex"])
    assert vector["text"] in PROTOCOL


@vectors("10-control", "refused_lines")
def test_a_line_that_resets_a_control_stream(vector):
    with pytest.raises(PeerError):
        punch.parse(vector["text"].encode())
    assert f"\n{vector['text']}\n" in PROTOCOL


@vectors("10-control", "news")
def test_a_line_of_news(vector):
    line = bytes.fromhex(vector["hex"])
    assert line == vector["text"].encode() + b"\n"
    kind, value = read_message(line[:-1])
    assert (kind, News.parse(value).encode()) == (NEWS, line)
    assert f"\n{vector['text']}\n" in PROTOCOL


@vectors("10-control", "revoked")
def test_the_line_that_takes_the_right_to_visit_back(vector):
    assert encode_revoked() == bytes.fromhex(vector["hex"]) == vector["text"].encode() + b"\n"
    kind, value = read_message(vector["text"].encode())
    assert kind == REVOKED
    check_revoked(value)
    assert f"\n{vector['text']}\n" in PROTOCOL


@vectors("10-control", "refused_news")
def test_news_that_reset_a_control_stream(vector):
    kind, value = read_message(vector["text"].encode())
    with pytest.raises(PeerError):
        {NEWS: News.parse, REVOKED: check_revoked}[kind](value)
    assert f"\n{vector['text']}\n" in PROTOCOL


@vectors("10-control", "read_news")
def test_what_of_news_is_none_is_left_out(vector):
    _, value = read_message(vector["text"].encode())
    news = News.parse(value)
    hosts = None if news.wan_hosts is None else [str(one) for one in parse_wan_hosts(news.wan_hosts)]
    via = None if news.via is None else format_via(news.via)
    assert (hosts, via, news.title) == (vector["hosts"], vector["via"], vector["title"])


@vectors("10-control", "read_lines")
def test_what_is_no_address_is_ignored(vector):
    message = punch.parse(vector["text"].encode())
    assert isinstance(message, punch.Punch)
    assert list(map(str, message.at)) == vector["at"]


@vectors("10-control", "joins")
def test_the_line_of_a_reversal(vector):
    assert encode_line(Verb(vector["verb"]), vector["rest"]).hex() == vector["hex"]
    assert f"HARDLINE-{vector['verb']} {vector['rest']}\n" in PROTOCOL
