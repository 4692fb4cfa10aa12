"""What a person means by TARGET, and what is refused with both meanings named."""

from __future__ import annotations

import os
import pwd
import socket
from pathlib import Path

import pytest

from hardline.errors import ConfigError, WrongArgument
from hardline.target import read_target, refuse_everything


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["photos", "8000", "nas:8080", "x.ini", "写真", "a\tb", "unlike://this"])
def test_a_directory_that_is_there_comes_before_every_other_meaning(here: Path, name: str) -> None:
    (here / name).mkdir(parents=True)
    assert read_target(name) == str(here / name)
    assert read_target(f"./{name}/") == str(here / name)
    os.chdir(here / name)
    assert read_target(".") == str(here / name)


@pytest.mark.parametrize(
    "target", ["8000", "nas:8080", "[::1]:80", "http://nas", "HTTP://nas", "https://192.168.1.5", "unix:/run/a"]
)
def test_what_is_no_path_is_the_daemons_to_understand(here: Path, target: str) -> None:
    assert read_target(target) == target


def test_a_socket_is_named_from_where_the_person_stands(here: Path) -> None:
    assert read_target("unix:run/app.sock") == f"unix:{here}/run/app.sock"


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("Musik", 'there is no file "Musik" here; a computer needs its port: Musik:80'),
        ("nas:", 'there is no file "nas:" here; a computer needs its port: nas:80'),
        ("192.168.1.5", 'there is no file "192.168.1.5" here; a computer needs its port: 192.168.1.5:80'),
        ("./Musik", "there is no file or directory ./Musik"),
        ("/no/such place", "there is no file or directory '/no/such place'"),
        ("~/Musik", "there is no file or directory ~/Musik"),
        ("nas:http", "there is no file nas:http here, and http is no port"),
        ("a:b.txt", "there is no file a:b.txt here, and b.txt is no port"),
        ("80a", "there is no file 80a here, and a port has digits only"),
        ("-1", "port is -1, expected a number from 1 to 65535"),
        ("ftp://nas", "ftp://nas cannot be shared: only http, https and unix can"),
        *(
            (f"{user}@nas:80", "there is no such file here, and a computer is named without user name and password")
            for user in ("ada", "ada:secret")
        ),
        (":80", "there is no file :80 here"),
        ("::1", "the port of ::1 cannot be told from its address"),
        ("70000", "port is 70000, expected a number from 1 to 65535"),
        ("0", "port is 0, expected a number from 1 to 65535"),
        ("9" * 5000, f"port is {'9' * 199}…, expected a number from 1 to 65535"),
        ("a" * 5000, f"there is no file {'a' * 199}… here"),
        ("a/" * 5000, f"there is no file or directory {'a/' * 99}a…"),
        ("", "what should be shared is empty"),
        ("a\nb\x1b[31m", 'there is no file "a\\nb\\x1b[31m" here; a computer needs its port: a\\nb\\x1b[31m:80'),
        ("caf\udce9", 'there is no file "caf\\udce9" here; a computer needs its port: caf\\udce9:80'),
        ("٣", "there is no file ٣ here"),
    ],
)
def test_what_is_nothing_of_all_that_is_a_wrong_argument(here: Path, typed: str, says: str) -> None:
    with pytest.raises(WrongArgument) as caught:
        read_target(typed)
    assert caught.value.message == says
    assert caught.value.code == 2


def test_things_of_other_kinds_are_called_by_their_name(here: Path) -> None:
    os.mkfifo("fifo")
    Path("loop").symlink_to("loop")
    Path("gone").symlink_to("nowhere")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("app.sock")
        for name, says, hint in [
            ("fifo", "fifo is a pipe", ""),
            ("/dev/null", "/dev/null is a device", ""),
            ("loop", "loop is a link that leads nowhere", ""),
            ("gone", "gone is a link that leads nowhere", ""),
            ("app.sock", "app.sock is a socket", f"hardline share unix:{here}/app.sock"),
        ]:
            with pytest.raises(WrongArgument) as caught:
                read_target(name)
            assert caught.value.message.startswith(says)
            assert hint in caught.value.hint


def test_a_file_is_itself_and_one_that_holds_secrets_is_not_shared_by_accident(here: Path) -> None:
    (here / ".ssh").mkdir()
    for name in ("report.pdf", "8000", ".env", ".ssh/config"):
        (here / name).write_text("")
    for name in ("report.pdf", "8000"):
        assert read_target(name) == str(here / name)
        refuse_everything(str(here / name))
    with pytest.raises(ConfigError, match="is hidden; to share it all the same, add --hidden"):
        refuse_everything(str(here / ".env"))
    refuse_everything(str(here / ".env"), hidden=True)
    for hidden in (False, True):
        with pytest.raises(ConfigError, match=r"is one of .ssh; to share it all the same, add --yes"):
            refuse_everything(str(here / ".ssh/config"), hidden=hidden)
    with pytest.raises(ConfigError, match="shows the insides of this computer"):
        refuse_everything("/proc/self/status", hidden=True)


def test_a_directory_that_was_removed_under_ones_feet_is_an_error(here: Path) -> None:
    (here / "gone").mkdir()
    os.chdir(here / "gone")
    (here / "gone").rmdir()
    with pytest.raises(WrongArgument):
        read_target(".")


# ── sharing too much ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_home_is_not_shared_by_accident(tmp_path: Path) -> None:
    (tmp_path / "Pictures").mkdir()
    (tmp_path / ".ssh").mkdir()
    for number in range(41):
        (tmp_path / f".hidden{number}").touch()
    with pytest.raises(ConfigError) as caught:
        refuse_everything(str(tmp_path))
    says = f"{tmp_path} holds .ssh and 41 other hidden names; share a directory inside it, or add --yes"
    assert (caught.value.message, caught.value.code) == (says, 1)
    refuse_everything(str(tmp_path / "Pictures"))


def test_what_holds_ones_home_or_everything_is_not_shared_by_accident(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home" / "ada"))
    for directory in ("/", str(tmp_path), str(tmp_path / "home"), str(tmp_path / "home" / "ada")):
        with pytest.raises(ConfigError, match="share a directory inside it, or add --yes"):
            refuse_everything(directory)
    refuse_everything(str(tmp_path / "home" / "ada" / "photos"))


def test_homes_of_others_are_not_shared_by_accident(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/nowhere")
    homes = {"ann": 1000, "www-data": 33}
    for name in homes:
        (tmp_path / name / "home").mkdir(parents=True)
    users = [
        pwd.struct_passwd((name, "x", number, number, "", str(tmp_path / name / "home"), "/bin/sh"))
        for name, number in [*homes.items(), ("nobody", 65_534)]
    ]
    monkeypatch.setattr(pwd, "getpwall", lambda: users)
    for directory in (tmp_path / "ann", tmp_path / "ann" / "home"):
        with pytest.raises(ConfigError, match="the home of ann; share a directory inside it, or add --yes"):
            refuse_everything(str(directory))
    refuse_everything(str(tmp_path / "www-data"))


def test_a_copy_of_a_home_one_level_down_is_not_shared_by_accident(tmp_path: Path) -> None:
    for name in ("ann/.ssh", "code/.config", "code/.git"):
        (tmp_path / "backup" / name).mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"backup holds ann/\.ssh; share a directory inside it, or add --yes"):
        refuse_everything(str(tmp_path / "backup"))
    (tmp_path / "backup" / "ann" / ".ssh").rmdir()
    refuse_everything(str(tmp_path / "backup"))


def test_a_project_with_hidden_names_of_its_own_is_shared(tmp_path: Path) -> None:
    for name in (".git", ".gitignore", ".cache", "hello.html"):
        (tmp_path / name).touch()
    refuse_everything(str(tmp_path))
