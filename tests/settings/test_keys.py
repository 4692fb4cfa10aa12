"""Settings files: every key, its default, its range, and what a mistake says (docs/SETTINGS.md)."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.errors import ConfigError
from hardline.routes import Endpoint
from hardline.settings import node as of_node
from hardline.settings import service as of_service
from hardline.settings.local import LocalService
from hardline.settings.node import NodeSettings, changed_keys, parse_node
from hardline.settings.service import parse_service
from hardline.settings.units import KB, MB, Unreadable
from hardline.showable import clean_title

pytestmark = pytest.mark.pure

NODE_SECTIONS = {
    "Node": of_node.NodeSection,
    "LAN": of_node.LanSection,
    "Session": of_node.SessionSection,
    "Dial": of_node.DialSection,
    "Door": of_node.DoorSection,
    "DHT": of_node.DhtSection,
    "UPnP": of_node.UpnpSection,
    "Log": of_node.LogSection,
}
SERVICE_SECTIONS = {
    "Service": of_service.ServiceSection,
    "Info": of_service.InfoSection,
    "Access": of_service.AccessSection,
    "Cache": of_service.CacheSection,
}
EVERY_KEY = [
    (section, each.metadata["rule"].key or each.name)
    for section, cls in (NODE_SECTIONS | SERVICE_SECTIONS).items()
    for each in fields(cls)
]


def service(*lines: str, file: str = "services/blog.ini") -> of_service.ServiceSettings:
    return parse_service("\n".join(lines), file)


def local(*lines: str) -> str:
    return str(service("[Service]", *lines).target)


def mistake(*lines: str) -> ConfigError:
    read = parse_service if lines[0] == "[Service]" else parse_node
    with pytest.raises(ConfigError) as caught:
        read("\n".join(lines), "a.ini")
    return caught.value


# ── a service ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_service_needs_one_line_and_is_named_after_its_file():
    settings = service("[Service]", "service = localhost")
    assert settings.target == LocalService("tcp", "localhost", 80)
    assert (settings.title, settings.listed, settings.legacy) == ("blog", True, True)
    assert (settings.certfile, settings.password, settings.notes) == (None, None, ())


def test_every_key_of_a_service_is_read():
    settings = service(
        *("[Service]", "service = nas", "port = 8080", "certfile = keys/nas.pem", "password = SeSaMe", "legacy = no"),
        *("[Info]", "title = Photos: all", "listed = off"),
        *("[Access]", "usedht = no", "clients = everyone"),
        *("[Cache]", "directory = pics", "maxage = 3600", "MAXSIZE = 1048576", "downloadratelimit = 5"),
        *("dynamiccontent = yes", "allowlisting = on"),
    )
    assert settings.target == LocalService("tcp", "nas", 8080)
    assert (settings.certfile, settings.password, settings.legacy) == (Path("keys/nas.pem"), "sesame", False)
    assert (settings.title, settings.listed) == ("Photos: all", False)
    assert settings.access == of_service.AccessSection(use_dht=False)
    assert settings.cache == of_service.CacheSection(Path("pics"), 3600.0, MB, 5, True, True)
    assert not settings.notes


@pytest.mark.parametrize("clients", ["everyone", "Everyone", '"everyone"'])
def test_everyone_is_let_in_where_nobody_is_chosen(clients):
    assert not service("[Service]", "service = a", "[Access]", f"clients = {clients}").closed
    assert not service("[Service]", "service = a").closed


@pytest.mark.parametrize("clients", ["anna", "", "everyone, but ben", "*", "anna\n  ben", "none"])
def test_a_service_for_nobody_knows_whom_is_served_to_nobody(clients):
    closed = service("[Service]", "service = a", "[Access]", f"clients = {clients}").closed
    assert closed.startswith("not served: [Access] clients is ")
    assert closed.endswith("expected everyone or invited")


def test_a_service_for_invited_visitors_says_so():
    settings = service("[Service]", "service = a", "[Access]", "clients = Invited")
    assert (settings.for_invited, settings.closed) == (True, "")


def test_a_limit_of_connections_says_where_it_has_no_effect():
    assert service("[Service]", "service = a", "max_connections = 4").max_connections == 4
    assert service("[Service]", "service = a", "max_connections = none").max_connections is None
    files = service("[Service]", "service = a", "max_connections = 4", "[Cache]", "directory = pics")
    assert "[Service] max_connections has no effect with [Cache] directory" in files.notes


def test_the_password_is_not_printed_with_the_settings():
    assert "sesame" not in repr(service("[Service]", "service = localhost", "password = sesame"))


def test_a_password_is_what_the_message_says():
    assert service("[Service]", "service = localhost", f"password = {'X' * 22}").password == "x" * 22
    assert service("[Service]", "service = localhost", "password = aZ0_~!$&'()*+,;=").password == "az0_~!$&'()*+,;="
    wrong = mistake("[Service]", "service = localhost", "password = with-dash")
    assert "at most 22 letters (a-z), digits and _~!$&'()*+,;=, no dash and no dot" in wrong.message


def test_an_empty_password_is_none_and_a_missing_one_is_left_to_the_hash_file():
    assert service("[Service]", "service=a", "password =").password == ""
    assert service("[Service]", "service=a").password is None


@pytest.mark.parametrize("text", ["with-dash", "a.b", "a b", "x" * 23, "schlüssel", "\N{KELVIN SIGN}elvin"])
def test_a_password_that_no_url_could_carry_is_refused_without_repeating_it(text):
    wrong = mistake("[Service]", "service = localhost", f"password = {text}")
    assert (wrong.line, wrong.key) == (3, "password")
    assert text not in wrong.message


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("localhost", "localhost:80"),
        ("LOCALHOST", "localhost:80"),
        ("localhost:8000", "localhost:8000"),
        ("10.0.0.5", "10.0.0.5:80"),
        ("10.0.0.5:81", "10.0.0.5:81"),
        ("::1", "[::1]:80"),
        ("[::1]", "[::1]:80"),
        ("[::1]:8080", "[::1]:8080"),
        ("fe80::1%eth0", "[fe80::1%eth0]:80"),
        ("nas.example.org", "nas.example.org:80"),
        ("my_host", "my_host:80"),
        ("http://nas", "nas:80"),
        ("HTTP://Nas/", "nas:80"),
        ("http://nas:8080/", "nas:8080"),
        ("http://[::1]:8080", "[::1]:8080"),
        ("https://nas", "https://nas:443"),
        ("https://nas:8443", "https://nas:8443"),
        ("unix:/run/a.sock", "unix:/run/a.sock"),
        ("unix:///run/a.sock", "unix:/run/a.sock"),
        ('"localhost"', "localhost:80"),
    ],
)
def test_a_local_service_has_many_spellings(text, printed):
    assert local(f"service = {text}") == printed


@pytest.mark.parametrize("text", ["nas", "::1", "http://nas", "https://nas", "https://nas/"])
def test_the_key_port_stands_where_the_service_names_none(text):
    assert local(f"service = {text}", "port = 8443").endswith(":8443")
    assert local("port = 8443", f"service = {text}").endswith(":8443")


@pytest.mark.parametrize("text", ["nas:81", "http://nas:81", "https://nas:81"])
def test_two_ports_that_contradict_each_other_are_a_mistake(text):
    assert local(f"service = {text}", "port = 81").endswith(":81")
    wrong = mistake("[Service]", f"service = {text}", "port = 82")
    assert (wrong.line, wrong.hint) == (2, "write the port once")


@pytest.mark.parametrize("text", ["http://nas/photos", "https://nas/a/", "http://nas/?q", "http://nas#top"])
def test_a_path_after_the_host_is_a_mistake_since_paths_cannot_be_mapped(text):
    wrong = mistake("[Service]", f"service = {text}")
    assert "paths cannot be mapped" in wrong.message


@pytest.mark.parametrize(
    "text",
    [
        *("8000", "10.0.0", "10.0.0.256", "a b", "nas:", "nas:http", "nas:0", "nas:65536", ":80", "-", "[::1", "::g"),
        *("ftp://nas", "http://", "http://nas:99999", "http://nas:0", "http://a b", "http://me:pw@nas", "https://[::1"),
        *("unix:", "unix:a.sock", "unix:/", "unix://run/a.sock", "unix:/" + "x" * 107, "nas/photos", "a,b"),
    ],
)
def test_what_is_no_service_is_refused_with_its_line(text):
    wrong = mistake("[Service]", f"service = {text}")
    assert (wrong.line, wrong.key) == (2, "service")
    assert "expected" in wrong.message


def test_a_unix_socket_has_no_port():
    assert "no port" in mistake("[Service]", "service = unix:/run/a.sock", "port = 80").message


def test_verify_is_for_https_and_says_so_elsewhere():
    assert service("[Service]", "service = https://nas", "verify = no").target.verify is False
    assert service("[Service]", "service = https://nas").target.verify is True
    assert service("[Service]", "service = nas", "verify = no").notes == (
        "[Service] verify has no effect: the service is not https",
    )


@pytest.mark.parametrize("lines", [["[Service]"], ["[Service]", "service ="], ["[Info]", "title = x"], [""]])
def test_a_service_without_a_service_is_a_mistake_that_shows_how(lines):
    with pytest.raises(ConfigError, match="service is missing") as caught:
        service(*lines)
    assert "service = localhost" in caught.value.hint


def test_a_service_of_files_has_a_directory_and_no_target():
    read = service("[Service]", "service =", "[Cache]", "directory = /srv/www")
    assert read.target is None
    assert read.cache.directory == Path("/srv/www")


def test_a_cache_stands_beside_a_service():
    read = service("[Service]", "service = a", "[Cache]", "directory = x")
    assert str(read.target) == "a:80"
    assert not read.notes


def test_a_cache_without_a_directory_is_a_note():
    assert service("[Service]", "service = a", "[Cache]", "maxAge = 1h").notes == (
        "[Cache] has no effect without its key directory",
    )


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1", "8 0", ""])
def test_a_port_is_a_number_from_1_to_65535(port):
    wrong = mistake("[Service]", "service = nas", f"port = {port}")
    assert wrong.message == f"a.ini:3: port is {port!r}, expected a number from 1 to 65535"


def test_a_title_is_one_line_of_at_most_200_safe_characters():
    assert clean_title(" a\n b\x00\x1b[31m\u202ec ") == "a b[31mc"
    assert clean_title("x" * 500) == "x" * 200
    assert clean_title("a \0 b \u202e") == "a b"
    assert service("[Service]", "service=a", "[Info]", "title = \u202e\x07").title == "blog"


@given(st.text())
def test_a_title_once_cleaned_stays_as_it_is(text):
    clean = clean_title(text)
    assert clean_title(clean) == clean
    assert len(clean) <= 200
    assert not set(clean) & set("\0\r\n\x1b\u202e")


TARGETS = st.one_of(
    st.builds(
        LocalService,
        st.sampled_from(["tcp", "https"]),
        st.sampled_from(["localhost", "10.0.0.5", "::1", "a-b.c", "fd00::2"]),
        st.integers(1, 65_535),
    ),
    st.builds(lambda name: LocalService("unix", path=f"/{name}"), st.text("abc./ é", min_size=1, max_size=40)),
).filter(lambda target: not target.path.startswith("//"))


@given(TARGETS)
def test_a_local_service_comes_back_from_its_text(target):
    assert LocalService.parse(str(target)) == target


@given(st.text() | st.text("htps:/unix[].0123456789@#?%", max_size=30), st.none() | st.integers(1, 65_535))
def test_any_text_is_a_local_service_or_unreadable(text, port):
    try:
        target = LocalService.parse(text, port)
    except Unreadable:
        return
    assert (target.kind == "unix") == (target.port == 0)
    assert not set(str(target)) & set("\0\r\n\t")


# ── the daemon ───────────────────────────────────────────────────────────────────────────────────────────────


def test_without_a_file_the_defaults_are_those_of_the_documentation():
    settings = NodeSettings()
    assert parse_node("", "hardline.ini") == settings
    assert (settings.node.localport, settings.node.p2pport, settings.node.bind) == (7009, 7008, ())
    assert (settings.node.servicedir, settings.node.datadir) == (None, None)
    assert settings.lan == of_node.LanSection(True, True, True, True)
    assert (settings.session.keepwarm, settings.session.ping_interval, settings.session.ping_timeout) == (600, 15, 3)
    windows = (settings.session.stream_window, settings.session.session_window, settings.session.process_window)
    assert windows == (16 * MB, 64 * MB, 256 * MB)
    limits = (settings.session.max_sessions, settings.session.max_streams, settings.session.max_handshakes_per_source)
    assert (*limits, settings.session.hello_timeout) == (1000, 1000, 16, 10)
    assert settings.dial == of_node.DialSection(0.25, 10, 5)
    assert settings.door == of_node.DoorSection(10, 32 * KB, None)
    assert settings.dht.bootstrap == (Endpoint("bootstrap.jami.net", 4222),)
    assert (settings.dht.port, settings.dht.network, settings.upnp.lease) == (0, 0, 1800)
    assert settings.log == of_node.LogSection("info", "text")


def test_every_key_of_the_daemon_is_read():
    settings = parse_node(
        """
        [Node]
        servicedir = services
        datadir = "/srv/data"
        localport = 0
        p2pport = 7100
        bind = 127.0.0.1, [::1]
        public = home.example.org:7008,
            [2001:db8::9]:7008
        ip_service = https://ip.example.org/
        [LAN]
        enabled = no
        multicast = no
        broadcast = no
        mdns = no
        [Session]
        keepwarm = 1h
        ping_interval = 30
        ping_timeout = 5
        stream_window = 1MB
        session_window = 2MB
        process_window = 3MB
        bundle = 2
        max_sessions = 10
        max_streams = 11
        max_streams_per_source = 14
        max_handshakes_per_source = 12
        hello_timeout = 13
        [Dial]
        stagger = 0.1
        timeout = 20
        negative_cache = 0
        [Door]
        head_timeout = 5
        max_head = 64KB
        idle_timeout = 1h
        [DHT]
        enabled = no
        bootstrap = dht.example.org:4222
        proxies = http://a.example.org, https://b.example.org:88
        port = 4222
        network = 7
        originals = yes
        [UPnP]
        enabled = no
        lease = 1h
        [Log]
        level = DEBUG
        format = json
        """.replace("\n        ", "\n"),
        "/etc/hardline/hardline.ini",
    )
    assert settings.node == of_node.NodeSection(
        servicedir=Path("/etc/hardline/services"),
        datadir=Path("/srv/data"),
        localport=0,
        p2pport=7100,
        bind=("127.0.0.1", "::1"),
        public=(Endpoint("home.example.org", 7008), Endpoint("2001:db8::9", 7008)),
        ip_service="https://ip.example.org/",
    )
    assert settings.lan == of_node.LanSection(False, False, False, False)
    assert settings.session == of_node.SessionSection(3600, 30, 5, MB, 2 * MB, 3 * MB, 2, 10, 11, 14, 12, 13)
    assert settings.dial == of_node.DialSection(0.1, 20, 0)
    assert settings.door == of_node.DoorSection(5, 64 * KB, 3600)
    assert settings.dht == of_node.DhtSection(
        False, (Endpoint("dht.example.org", 4222),), ("http://a.example.org", "https://b.example.org:88"), 4222, 7, True
    )
    assert settings.upnp == of_node.UpnpSection(False, 3600)
    assert settings.log == of_node.LogSection("debug", "json")


def test_none_is_a_word_where_nothing_is_allowed():
    assert parse_node("[Door]\nidle_timeout = None", "").door.idle_timeout is None


def test_a_public_port_that_no_visitor_dials_is_a_note():
    assert parse_node("[Node]\npublic = nas.example:443, nas.example:7008", "").notes == ()
    [note] = parse_node("[Node]\npublic = nas.example:443, nas.example:80", "").notes
    assert note.startswith("[Node] public: visitors do not dial nas.example:80")


def test_a_service_file_has_no_sections_of_the_daemon():
    assert "no section [Relay]" in mistake("[Service]", "service = a", "[Relay]").message


def test_when_a_relay_is_needed_is_said_in_a_word():
    use = f"[Relay]\nuse = relay.example:443#{'ab' * 20}\n"
    assert parse_node(use, "").relay.when == "always"
    assert parse_node(f"{use}when = needed\n", "").relay.when == "needed"
    assert parse_node(f"{use}when = needed\n", "").notes == ()
    assert parse_node("[Relay]\nwhen = needed\n", "").notes == ("[Relay] when has no effect without use",)
    with pytest.raises(ConfigError, match="when"):
        parse_node(f"{use}when = sometimes\n", "")


@pytest.mark.parametrize(("stream", "session", "process"), [("4MB", "2MB", "3MB"), ("1MB", "4MB", "3MB")])
def test_windows_lie_within_each_other(stream, session, process):
    lines = ["[Session]", f"stream_window = {stream}", f"session_window = {session}", f"process_window = {process}"]
    wrong = mistake(*lines)
    assert "expected at most" in wrong.message
    assert wrong.hint.startswith("set ")


def test_one_window_alone_is_compared_with_the_defaults_of_the_others():
    wrong = mistake("[Session]", "", "session_window = 8MB")
    assert wrong.message == "a.ini:3: stream_window is 16MB, expected at most session_window, which is 8MB"
    assert mistake("[Session]", "stream_window = 128MB").line == 2


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ("Node", "localport = 65536"),
        ("Node", "p2pport = 70000"),
        ("Node", "p2pport = 7009"),
        ("Node", "localport = 7008"),
        ("Node", "bind = eth0"),
        ("Node", "bind = localhost"),
        ("Node", "servicedir = ~/services"),
        ("Node", "public = 203.0.113.9"),
        ("Node", "ip_service = ftp://a"),
        ("LAN", "enabled = maybe"),
        ("Session", "keepwarm = forever"),
        ("Session", "ping_interval = 0"),
        ("Session", "stream_window = 128KB"),
        ("Session", "stream_window = 2GB"),
        ("Session", "max_sessions = 0"),
        ("Session", "max_streams = -1"),
        ("Session", "hello_timeout = 0"),
        ("Dial", "stagger = 0"),
        ("Dial", "timeout = 1d"),
        ("Door", "max_head = 10"),
        ("Door", "idle_timeout = 0"),
        ("DHT", "bootstrap = nowhere"),
        ("DHT", "proxies = proxy.example.org"),
        ("DHT", "network = -1"),
        ("UPnP", "lease = 1"),
        ("Log", "level = loud"),
        ("Log", "format = xml"),
    ],
)
def test_what_is_out_of_range_is_refused_with_its_line_and_what_was_expected(section, line):
    wrong = mistake("# the daemon", f"[{section}]", line)
    assert (wrong.line, wrong.key) == (3, line.partition(" ")[0])
    assert "expected" in wrong.message


VALUES = st.sampled_from(["", "yes", "none", "1", "8000", "10m", "64KB", "localhost", "[::1]:80", "http://a", "~", '"'])
TEXTS = st.lists(
    st.one_of(
        st.sampled_from([f"[{name}]" for name in NODE_SECTIONS | SERVICE_SECTIONS]),
        st.builds("{} = {}".format, st.sampled_from([key for _, key in EVERY_KEY]), VALUES | st.text(max_size=8)),
        st.text(max_size=8),
    ),
    max_size=8,
).map("\n".join)


@given(st.text() | TEXTS)
@pytest.mark.parametrize("read", [parse_node, parse_service])
def test_any_text_gives_settings_or_a_config_error(read, text):
    with suppress(ConfigError):
        assert read(text, "a.ini").notes is not None


@given(st.sampled_from(EVERY_KEY), VALUES | st.text())
def test_any_value_of_any_key_gives_settings_or_a_config_error(section_and_key, value):
    section, key = section_and_key
    read = parse_node if section in NODE_SECTIONS else parse_service
    with suppress(ConfigError):
        assert read(f"[{section}]\n{key} = {value}", "a.ini").notes is not None


def test_changed_keys_are_named_as_they_are_written():
    before = parse_node("[Node]\nlocalport = 0\n", "a")
    now = parse_node("[LAN]\nmdns = no\n[Log]\nlevel = debug\n", "a")
    assert changed_keys(before, now) == ["[Node] localport", "[LAN] mdns", "[Log] level"]
    assert changed_keys(now, now) == []


def test_who_takes_part_in_punching_is_his_own_to_say():
    assert parse_node("", "").relay.punch
    assert not parse_node("[Relay]\npunch = no\n", "").relay.punch


FORWARD = "[Forward:{}]\nlabel = " + "0" * 40 + "\nlisten = {}\n"


def test_forwards_are_found_by_their_names():
    settings = parse_node(FORWARD.format("ssh", "127.0.0.1:2222") + FORWARD.format("db", "[::1]:2222"), "")
    assert {name: str(one.listen) for name, one in settings.forwards.items()} == {
        "ssh": "127.0.0.1:2222",
        "db": "[::1]:2222",
    }
    assert settings.notes == ()
    assert changed_keys(NodeSettings(), settings) == ["[Forward:ssh]", "[Forward:db]"]


def test_a_forward_beyond_loopback_is_as_it_is_written_with_a_note():
    [note] = parse_node(FORWARD.format("ssh", "0.0.0.0:2222"), "").notes
    assert note.startswith("[Forward:ssh] listen: whoever can connect to 0.0.0.0:2222")
    [note] = parse_node(FORWARD.format("\x1b[2J", "0.0.0.0:2222"), "").notes
    assert note.isprintable()


@pytest.mark.parametrize(
    ("text", "key", "wrong"),
    [
        ("[Forward:a]\nlisten = 127.0.0.1:1", "label", "label is missing"),
        ("[Forward:a]\nlabel = " + "0" * 40, "listen", "listen is missing"),
        (FORWARD.format("a", "127.0.0.1"), "listen", "expected ADDRESS:PORT"),
        (FORWARD.format("a", "localhost:1"), "listen", "expected ADDRESS:PORT"),
        (FORWARD.format("a", "127.0.0.1:7009"), "listen", "hardline's own"),
        (FORWARD.format("a", "[::1]:1") + FORWARD.format("b", "[::1]:1"), "listen", "another forward"),
        ("[Forward:a]\nlabel = secret\nlisten = 127.0.0.1:1", "label", "the address of a service"),
    ],
)
def test_what_a_forward_cannot_be(text, key, wrong):
    with pytest.raises(ConfigError) as failure:
        parse_node(text, "hardline.ini")
    assert failure.value.key == key
    assert wrong in failure.value.message
    assert "secret" not in failure.value.message


NAMED = "[Forward:{}]\nlabel = " + "0" * 40 + "\n"


def test_a_forward_without_a_port_is_a_name_for_socks():
    settings = parse_node("[SOCKS]\nlisten = 127.0.0.1:1080\n" + NAMED.format("nas"), "")
    assert (str(settings.socks.listen), settings.socks.max_connections) == ("127.0.0.1:1080", 256)
    assert settings.forwards["nas"].listen is None
    assert settings.notes == ()
    assert changed_keys(NodeSettings(), settings) == ["[Forward:nas]", "[SOCKS] listen"]


def test_socks_is_for_this_computer_and_for_those_that_are_named():
    settings = parse_node("[SOCKS]\nlisten = 0.0.0.0:1080\nclients = 192.168.1.0/24, 2001:db8::1\n", "")
    assert list(map(str, settings.socks.clients)) == ["192.168.1.0/24", "2001:db8::1/128"]
    [note] = parse_node("[SOCKS]\nclients = 192.168.1.0/24\n", "").notes
    assert note.startswith("[SOCKS] clients has no effect")


@pytest.mark.parametrize(
    ("text", "key", "wrong"),
    [
        ("[SOCKS]\nlisten = 0.0.0.0:1080", "listen", "others than this computer's programs"),
        ("[SOCKS]\nlisten = 192.168.1.2:1080", "listen", "others than this computer's programs"),
        ("[SOCKS]\nlisten = 127.0.0.1:7008", "listen", "hardline's own"),
        ("[SOCKS]\nlisten = localhost:1080", "listen", "expected ADDRESS:PORT"),
        ("[SOCKS]\nlisten = [::1]:1\n" + FORWARD.format("a", "[::1]:1"), "listen", "another forward"),
        ("[SOCKS]\nlisten = [::1]:1\n" + NAMED.format("a b"), "", "no name for SOCKS"),
        ("[SOCKS]\nlisten = [::1]:1\n" + NAMED.format("a") + NAMED.format("A"), "", "the name of another"),
        ("[SOCKS]\nlisten = [::1]:1\nclients = all", "clients", "addresses or networks"),
    ],
)
def test_what_socks_cannot_be(text, key, wrong):
    with pytest.raises(ConfigError) as failure:
        parse_node(text, "hardline.ini")
    assert failure.value.key == key
    assert wrong in failure.value.message
