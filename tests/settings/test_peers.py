"""[Peer:NAME]: links that are kept warm, as they are written."""

from __future__ import annotations

import pytest

from hardline.errors import ConfigError
from hardline.routes import Endpoint
from hardline.settings.node import NodeSettings, changed_keys, parse_node

pytestmark = pytest.mark.pure

HASH = "ab" * 20
PEER = f"[Peer:office]\nlabel = {HASH}\n"


def test_a_label_is_all_that_a_link_needs():
    settings = parse_node(PEER, "")
    office = settings.peers["office"]
    assert (str(office.label), office.keepwarm, office.bundle, office.ready) == (HASH, None, 1, "attempt")
    assert office.idle_timeout < 5  # a path that is dropped is said within 5 s
    assert settings.notes == ()
    assert changed_keys(NodeSettings(), settings) == ["[Peer:office]"]


def test_every_key_has_its_value():
    office = parse_node(
        PEER + "address = nas.example.org:7008, [2001:db8::1]:7008\nkeepwarm = 10m\nconnect_interval = 1\n"
        "ping_interval = 1\nidle_timeout = 3\nbundle = 2\nmax_streams = 100\nstream_window = 1MB\n"
        "session_window = 2MB\nnodelay = no\nsend_buffer = 64KB\nreceive_buffer = 128KB\ncongestion = BBR\n"
        "ready = start\nlisten = 127.0.0.1:8080\nhosts = App.example.org\nforwarded = append\nmax_connections = 5\n",
        "",
    ).peers["office"]
    assert office.address == (Endpoint("nas.example.org", 7008), Endpoint("2001:db8::1", 7008))
    assert (office.keepwarm, office.connect_interval, office.ping_interval, office.idle_timeout) == (600, 1, 1, 3)
    assert (office.bundle, office.max_streams, office.stream_window, office.session_window) == (
        2,
        100,
        1 << 20,
        2 << 20,
    )
    assert (office.nodelay, office.send_buffer, office.receive_buffer) == (False, 65_536, 131_072)
    assert (office.congestion, office.ready, office.listen) == ("bbr", "start", Endpoint("127.0.0.1", 8080))
    assert (office.hosts, office.forwarded, office.max_connections) == (("app.example.org",), "append", 5)
    assert parse_node(PEER + "keepwarm = always", "").peers["office"].keepwarm is None


@pytest.mark.parametrize(
    ("text", "key", "wrong"),
    [
        ("[Peer:office]", "label", "label is missing"),
        ("[Peer:office]\nlabel = secret", "label", "the address of a service"),
        (PEER + "pingintervall = 2", "pingintervall", "[Peer:office] has no key 'pingintervall'"),
        (PEER + "idle_timeout = 2", "idle_timeout", "not longer than ping_interval"),
        (PEER + "ping_interval = 10", "ping_interval", "not longer than ping_interval"),
        (PEER + "keepwarm = never", "keepwarm", "always, or a duration"),
        (PEER + "stream_window = 64KB", "stream_window", "a size from 256KB"),
        (PEER + "stream_window = 128MB", "stream_window", "expected at most session_window, which is 64MB"),
        (PEER + "session_window = 1GB", "session_window", "expected at most [Session] process_window"),
        (PEER + "congestion = b b r", "congestion", "the name of a congestion control"),
        (PEER + "ready = later", "ready", "one of attempt, start"),
        (PEER + "address = nas", "address", "host:port"),
        (PEER + "hosts = a:80", "hosts", "names of hosts without port"),
        (PEER + "listen = localhost:80", "listen", "ADDRESS:PORT"),
        (PEER + "listen = 127.0.0.1:7009", "listen", "hardline's own"),
        (PEER + "listen = [::1]:1\n[Gateway]\nlisten = [::1]:1", "listen", "[Gateway] listens on"),
        (PEER + f"[Peer:other]\nlabel = word-{HASH}", "label", "another [Peer:NAME] leads to the same service"),
        (f"[Peer:word]\nlabel = word-{HASH}", "", "a part of its label"),
        (f"[Peer:x{HASH.upper()}]\nlabel = {HASH}", "", "a part of its label"),
        (f"[Peer:]\nlabel = {HASH}", "", "has no name"),
        (f"[Peer:\x1b[2J]\nlabel = {HASH}", "", "characters that can be shown"),
    ],
)
def test_what_a_link_cannot_be(text, key, wrong):
    with pytest.raises(ConfigError) as failure:
        parse_node(text, "hardline.ini")
    assert failure.value.key == key
    assert failure.value.line
    assert wrong in failure.value.message
    assert "secret" not in failure.value.message


def test_what_has_no_effect_or_lets_others_in_is_a_note():
    assert parse_node(PEER + "forwarded = append", "").notes == (
        "[Peer:office] forwarded have no effect without listen",
    )
    [note] = parse_node(PEER + "listen = 0.0.0.0:8080", "").notes
    assert note.startswith("[Peer:office] listen: whoever can connect to 0.0.0.0:8080")


def test_windows_that_a_link_leaves_open_are_those_of_all():
    with pytest.raises(ConfigError) as failure:
        parse_node("[Session]\nstream_window = 1MB\nsession_window = 1MB\n" + PEER + "stream_window = 2MB", "")
    assert "session_window, which is 1MB" in failure.value.message
