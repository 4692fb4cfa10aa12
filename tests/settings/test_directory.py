"""The directory of services: what it offers, what it refuses, and how it is followed."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardline.errors import ConfigError
from hardline.identity import KeyHash
from hardline.settings.directory import MAX_SERVICES, Service, ServiceDirectory, read_ini
from hardline.settings.ini import quoted
from hardline.settings.local import LocalService
from hardline.settings.service import CacheSection, ServiceSettings, parse_service
from hardline.settings.units import Unreadable
from hardline.settings.writing import bring_back, find_shared, make_directory, remove_service, write_service
from tests.support.beats import beats

PLAIN = "[Service]\nservice = localhost\n"


def put(directory: Path, name: str, text: str = PLAIN) -> Path:
    """Save a file as a careful editor does: whole."""
    draft = directory / f".{name}.draft"
    draft.write_text(text)
    draft.rename(directory / f"{name}.ini")
    return directory / f"{name}.ini"


def loaded(path: Path) -> ServiceDirectory:
    directory = ServiceDirectory(path)
    directory.load()
    return directory


# ── loading ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_ini_file_is_a_service_with_an_identity_of_its_own(tmp_path):
    put(tmp_path, "blog")
    put(tmp_path, "wiki", PLAIN + "port = 8080\n[Info]\ntitle = Our wiki\n")
    directory = loaded(tmp_path)
    assert list(directory.services) == ["blog", "wiki"]
    assert directory.problems == {}
    blog, wiki = directory.services["blog"], directory.services["wiki"]
    assert blog.identity.certificate_path == tmp_path / "blog.ini.cert"
    assert (blog.title, wiki.title) == ("blog", "Our wiki")
    assert wiki.settings.target == LocalService("tcp", "localhost", 8080)
    assert blog.key_hash != wiki.key_hash
    assert str(blog.label) == (tmp_path / "blog.ini.cert.hash").read_text()


def test_a_restart_keeps_every_url(tmp_path):
    put(tmp_path, "blog")
    assert loaded(tmp_path).services == loaded(tmp_path).services


def test_a_directory_that_is_missing_is_made_for_its_owner_only(tmp_path):
    assert loaded(tmp_path / "a" / "services").services == {}
    assert stat.S_IMODE((tmp_path / "a" / "services").stat().st_mode) == 0o700


def test_a_directory_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "services"):
        with pytest.raises(ConfigError, match=str(path)) as caught:
            make_directory(path)
        assert caught.value.hint


@pytest.mark.parametrize(
    "name", [".hidden.ini", "blog.ini~", "#blog.ini#", ".#blog.ini", "blog.ini.bak", "a.txt", "~a.ini"]
)
def test_what_editors_and_people_put_aside_is_no_service(tmp_path, name):
    (tmp_path / name).write_text(PLAIN)
    directory = loaded(tmp_path)
    assert (directory.services, directory.problems) == ({}, {})
    assert os.listdir(tmp_path) == [name]


def test_a_certfile_starts_from_the_directory_unless_it_is_a_whole_path(tmp_path):
    services = tmp_path / "services"
    services.mkdir()
    put(services, "a", PLAIN + "certfile = mine.pem\n")
    put(services, "b", PLAIN + f"certfile = {tmp_path}/keys.pem\n")
    found = loaded(services).services
    assert found["a"].identity.certificate_path == services / "mine.pem"
    assert found["b"].identity.certificate_path == tmp_path / "keys.pem"


def test_the_label_has_the_password_of_the_settings_else_that_of_the_hash_file(tmp_path):
    put(tmp_path, "blog")
    key_hash = loaded(tmp_path).services["blog"].key_hash
    (tmp_path / "blog.ini.cert.hash").write_text(f"Vanity-{key_hash}")
    assert str(loaded(tmp_path).services["blog"].label) == f"vanity-{key_hash}"
    put(tmp_path, "blog", PLAIN + "password = Sesame\n")
    assert str(loaded(tmp_path).services["blog"].label) == f"sesame-{key_hash}"
    put(tmp_path, "blog", PLAIN + "password =\n")
    assert str(loaded(tmp_path).services["blog"].label) == str(key_hash)


# ── mistakes ─────────────────────────────────────────────────────────────────────────────────────────────────


def break_syntax(file: Path) -> None:
    file.write_text("[Service]\nport = http\n")


def break_encoding(file: Path) -> None:
    file.write_bytes(b"[Service]\nservice = caf\xe9\n")


def break_size(file: Path) -> None:
    file.write_text(PLAIN + "# more\n" * 20_000)


def break_kind(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def break_link(file: Path) -> None:
    file.unlink()
    file.symlink_to("nowhere")


def break_key(file: Path) -> None:
    file.with_name(f"{file.name}.cert.private").chmod(0o644)


def break_certificate(file: Path) -> None:
    file.with_name(f"{file.name}.cert").write_text("garbage")


BREAKAGES = [break_syntax, break_encoding, break_size, break_kind, break_link, break_key, break_certificate]


@pytest.mark.parametrize("damage", BREAKAGES)
def test_a_file_that_broke_keeps_its_last_good_service_and_says_so(tmp_path, damage):
    file = put(tmp_path, "blog")
    put(tmp_path, "wiki")
    directory = loaded(tmp_path)
    before = dict(directory.services)
    damage(file)
    directory.load()
    assert directory.services == before
    problem = directory.problems["blog"]
    assert (problem.name, problem.file, problem.still_serving) == ("blog", file, True)
    assert str(file) in problem.message


@pytest.mark.parametrize("damage", BREAKAGES)
def test_a_file_that_was_never_good_is_not_offered_and_stops_no_other(tmp_path, damage):
    file = put(tmp_path, "blog")
    put(tmp_path, "wiki")
    loaded(tmp_path)
    damage(file)
    directory = loaded(tmp_path)
    assert list(directory.services) == ["wiki"]
    assert directory.problems["blog"].still_serving is False


def test_a_mistake_is_told_with_its_line(tmp_path):
    put(tmp_path, "printer", "[Service]\nservice = localhost\nport = http\n")
    (tmp_path / "latin.ini").write_bytes(b"[Service]\n\nservice = caf\xe9\n")
    problems = loaded(tmp_path).problems
    assert problems["printer"].message.endswith("printer.ini:3: port is 'http', expected a number from 1 to 65535")
    assert "latin.ini:3: this is not UTF-8" in problems["latin"].message


def test_a_problem_ends_when_the_file_is_mended_or_removed(tmp_path):
    put(tmp_path, "a")
    put(tmp_path, "b")
    directory = loaded(tmp_path)
    break_syntax(tmp_path / "a.ini")
    break_syntax(tmp_path / "b.ini")
    directory.load()
    assert set(directory.problems) == {"a", "b"}
    put(tmp_path, "a")
    (tmp_path / "b.ini").unlink()
    directory.load()
    assert (list(directory.services), directory.problems) == (["a"], {})


def test_two_services_cannot_share_a_certificate_and_the_first_keeps_it(tmp_path):
    put(tmp_path, "m", PLAIN + "certfile = shared.pem\n")
    directory = loaded(tmp_path)
    put(tmp_path, "a", PLAIN + "certfile = shared.pem\n")
    directory.load()
    assert list(directory.services) == ["m"]
    problem = directory.problems["a"]
    assert "same certificate as m.ini" in problem.message
    assert problem.still_serving is False


def test_a_service_that_takes_the_certificate_of_another_goes_on_as_it_was(tmp_path):
    put(tmp_path, "a")
    put(tmp_path, "b")
    directory = loaded(tmp_path)
    before = dict(directory.services)
    put(tmp_path, "a", PLAIN + "certfile = b.ini.cert\n")
    directory.load()
    assert directory.services == before
    assert directory.problems["a"].still_serving is True


def test_a_certificate_may_move_to_another_file_name(tmp_path):
    put(tmp_path, "old", PLAIN + "certfile = mine.pem\n")
    directory = loaded(tmp_path)
    key_hash = directory.services["old"].key_hash
    (tmp_path / "old.ini").rename(tmp_path / "new.ini")
    directory.load()
    assert {name: each.key_hash for name, each in directory.services.items()} == {"new": key_hash}


def test_a_name_that_cannot_be_shown_is_a_problem_that_can(tmp_path):
    for raw in (b"bad\nname.ini", b"latin\xe9.ini"):
        (Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + raw))).write_text(PLAIN)
    problems = loaded(tmp_path).problems
    assert set(problems) == {"bad\\nname", "latin\\udce9"}
    for problem in problems.values():
        assert problem.message.encode()


def test_more_files_than_can_be_offered_are_told(tmp_path):
    for number in range(MAX_SERVICES + 1):
        (tmp_path / f"{number:04}.ini").write_text("[Service]\n")
    problem = loaded(tmp_path).problems[""]
    assert f"{MAX_SERVICES + 1} services" in problem.message
    assert f"{MAX_SERVICES:04}" not in loaded(tmp_path).problems


def test_a_directory_that_went_away_offers_nothing_and_is_a_problem(tmp_path):
    services = tmp_path / "services"
    services.mkdir()
    put(services, "blog")
    directory = loaded(services)
    shutil.rmtree(services)
    directory.reload()
    assert directory.services == {}
    assert "no such file" in directory.problems[""].message
    assert not services.exists()


def test_the_log_tells_a_problem_once_and_its_end_once(tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="hardline")
    file = put(tmp_path, "blog", PLAIN + "[Cache]\nallowListing = yes\n")
    directory = loaded(tmp_path)
    break_syntax(file)
    directory.load()
    directory.load()
    put(tmp_path, "blog")
    directory.load()
    assert [record.getMessage() for record in caplog.records] == ["service.noted", "service.broken", "service.mended"]
    noted, broken, _ = (record.fields for record in caplog.records)
    assert noted["notes"] == "[Cache] has no effect without its key directory"
    assert (broken["service"], broken["still_serving"]) == ("blog", True)
    assert "expected a number" in broken["reason"]


def test_the_log_tells_once_that_a_service_is_closed(tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="hardline")
    put(tmp_path, "blog", PLAIN + "[Access]\nclients = anna\n")
    directory = loaded(tmp_path)
    directory.load()
    [record] = caplog.records
    assert (record.levelname, record.getMessage(), record.fields["service"]) == ("WARNING", "service.closed", "blog")
    assert "expected everyone or invited" in record.fields["reason"]


INVITED = PLAIN + "[Access]\nclients = invited\n"
ANNA, BEN = KeyHash(b"a" * 20), KeyHash(b"b" * 20)


def test_those_may_visit_whom_the_file_names(tmp_path):
    put(tmp_path, "blog", INVITED)
    (tmp_path / "blog.ini.clients").write_text(f"# who\n\n{ANNA} Anna, since May\n  {str(BEN).upper()}\n")
    blog = loaded(tmp_path).services["blog"]
    assert blog.clients == {ANNA, BEN}
    assert not blog.settings.notes
    assert [blog.lets_in(one) for one in (ANNA, blog.key_hash, KeyHash(bytes(20)), None)] == [True, True, False, False]
    assert (blog.listed, blog.legacy) == (False, False)


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (None, "blog.ini.clients is missing"),
        (b"", "names nobody"),
        (b"# nobody yet\n", "names nobody"),
        (b"anna\n", "blog.ini.clients:1: expected a key hash first"),
        (b"\xff\xfe\x00", "blog.ini.clients:1: expected a key hash first"),
        (b"x" * 2_000_000, "so nobody may visit"),
    ],
)
def test_a_list_that_cannot_be_read_lets_nobody_in_and_says_so(tmp_path, text, note):
    put(tmp_path, "blog", INVITED)
    (tmp_path / "blog.ini.clients").write_text(f"{ANNA}\n")
    directory = loaded(tmp_path)
    assert directory.services["blog"].lets_in(ANNA)
    (tmp_path / "blog.ini.clients").unlink()
    if text is not None:
        (tmp_path / "blog.ini.clients").write_bytes(text)
    directory.reload()
    blog = directory.services["blog"]
    assert blog.clients == frozenset()
    assert any(note in each for each in blog.settings.notes)


def test_who_is_taken_out_is_out_also_while_the_settings_are_broken(tmp_path):
    file = put(tmp_path, "blog", INVITED)
    (tmp_path / "blog.ini.clients").write_text(f"{ANNA}\n{BEN}\n")
    directory = loaded(tmp_path)
    break_syntax(file)
    (tmp_path / "blog.ini.clients").write_text(f"{BEN}\n")
    directory.reload()
    assert directory.problems["blog"].still_serving
    assert directory.services["blog"].clients == {BEN}


@pytest.mark.parametrize("end", ["\u2028", "\u0085", "\f", "\x1c"])
def test_a_remark_stays_a_remark_whatever_is_in_it(tmp_path, end):
    put(tmp_path, "blog", INVITED)
    (tmp_path / "blog.ini.clients").write_text(f"# Ben said:{end}{BEN}\n{ANNA} and{end}{BEN}\r\n")
    assert loaded(tmp_path).services["blog"].clients == {ANNA}


def test_who_is_taken_out_is_out_also_while_another_service_has_the_same_certificate(tmp_path):
    put(tmp_path, "a")
    put(tmp_path, "b", INVITED)
    (tmp_path / "b.ini.clients").write_text(f"{ANNA}\n")
    directory = loaded(tmp_path)
    put(tmp_path, "b", INVITED.replace("[Access]", "certfile = a.ini.cert\n[Access]"))
    (tmp_path / "b.ini.clients").write_text("")
    directory.reload()
    assert directory.problems["b"].still_serving
    assert directory.services["b"].clients == frozenset()


def test_a_bad_line_keeps_nobody_else_out_and_many_are_a_few_notes(tmp_path):
    put(tmp_path, "blog", INVITED)
    (tmp_path / "blog.ini.clients").write_text("anna\n" * 1000 + f"{BEN} Ben\n")
    blog = loaded(tmp_path).services["blog"]
    assert blog.clients == {BEN}
    assert len(blog.settings.notes) == 6
    assert "995 more" in blog.settings.notes[-1]


def test_what_was_handed_out_cannot_be_changed(tmp_path):
    put(tmp_path, "blog")
    with pytest.raises(TypeError):
        loaded(tmp_path).services["x"] = None  # type: ignore[index]


# ── following ────────────────────────────────────────────────────────────────────────────────────────────────


def follow(directory: ServiceDirectory, story: Callable[[Callable[..., Awaitable[None]]], Awaitable[None]]) -> None:
    """Run `story` while the directory is watched; it gets a function that waits until something is true."""

    async def run() -> None:
        news = asyncio.Condition()

        async def changed() -> None:
            async with news:
                news.notify_all()

        async def until(truth: Callable[[], bool]) -> None:
            async with asyncio.timeout(100), news:
                await news.wait_for(truth)

        watching = asyncio.get_running_loop().create_task(directory.watch(changed))
        try:
            await story(until)
        finally:
            watching.cancel()
            await asyncio.wait([watching])
        assert watching.cancelled()

    asyncio.run(run())


def test_services_come_change_and_go_while_the_daemon_runs(tmp_path):
    directory = loaded(tmp_path)

    async def story(until):
        put(tmp_path, "blog")
        await until(lambda: "blog" in directory.services)
        key_hash = directory.services["blog"].key_hash
        put(tmp_path, "blog", PLAIN + "[Info]\ntitle = New\n")
        await until(lambda: directory.services["blog"].title == "New")
        assert directory.services["blog"].key_hash == key_hash
        (tmp_path / "blog.ini").unlink()
        await until(lambda: not directory.services)

    follow(directory, story)


def test_a_broken_file_and_its_mending_are_noticed(tmp_path):
    put(tmp_path, "blog")
    directory = loaded(tmp_path)

    async def story(until):
        break_syntax(tmp_path / "blog.ini")
        await until(lambda: "blog" in directory.problems)
        assert "blog" in directory.services
        put(tmp_path, "blog")
        await until(lambda: not directory.problems)

    follow(directory, story)


def test_a_new_password_in_the_hash_file_and_new_permissions_of_a_key_are_noticed(tmp_path):
    put(tmp_path, "blog")
    directory = loaded(tmp_path)
    key_hash = directory.services["blog"].key_hash

    async def story(until):
        (tmp_path / "blog.ini.cert.hash").write_text(f"sesame-{key_hash}")
        await until(lambda: directory.services["blog"].label.password == "sesame")
        (tmp_path / "blog.ini.cert.private").chmod(0o644)
        await until(lambda: "blog" in directory.problems)

    follow(directory, story)


def test_a_directory_that_is_deleted_and_made_anew_is_followed_again(tmp_path):
    services = tmp_path / "services"
    services.mkdir()
    put(services, "blog")
    directory = loaded(services)

    async def story(until):
        shutil.rmtree(services)
        await until(lambda: not directory.services and "" in directory.problems)
        services.mkdir()
        put(services, "wiki")
        await until(lambda: "wiki" in directory.services and not directory.problems)
        put(services, "news")
        await until(lambda: "news" in directory.services)

    follow(directory, story)


def test_a_change_that_changes_nothing_wakes_nobody(tmp_path):
    put(tmp_path, "blog")
    directory = loaded(tmp_path)
    calls: list[set[str]] = []

    async def run() -> None:
        called = asyncio.Event()

        async def changed() -> None:
            calls.append(set(directory.services))
            called.set()

        watching = asyncio.get_running_loop().create_task(directory.watch(changed))
        async with asyncio.timeout(100):
            (tmp_path / "readme.txt").write_text("hello")
            put(tmp_path, "blog", "# a comment\n" + PLAIN)
            put(tmp_path, "wiki")  # its new certificate files are changes, too
            await called.wait()
            called.clear()
            put(tmp_path, "news")
            await called.wait()
        watching.cancel()
        await asyncio.wait([watching])

    asyncio.run(run())
    assert calls == [{"blog", "wiki"}, {"blog", "wiki", "news"}]


def test_what_the_daemon_raises_ends_the_watch(tmp_path):
    directory = loaded(tmp_path)

    async def run() -> None:
        async def changed() -> None:
            raise RuntimeError("the daemon's own mistake")

        put(tmp_path, "blog")
        async with asyncio.timeout(100):
            await directory.watch(changed)

    with pytest.raises(RuntimeError, match="own mistake"):
        asyncio.run(run())


def test_a_cancelled_watch_ends_at_once(tmp_path):
    directory = loaded(tmp_path)

    async def run() -> float:
        loop = asyncio.get_running_loop()
        reached = asyncio.Event()

        async def changed() -> None:
            reached.set()

        watching = loop.create_task(directory.watch(changed))
        put(tmp_path, "blog")
        await reached.wait()
        began = beats()
        watching.cancel()
        await asyncio.wait([watching])
        return beats() - began

    assert asyncio.run(run()) < 1.0


# ── the files of `hardline share` and `hardline remove` ──────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("8000", LocalService("tcp", "localhost", 8000)),
        ("nas:8080", LocalService("tcp", "nas", 8080)),
        ("[::1]:8080", LocalService("tcp", "::1", 8080)),
        ("http://localhost:3000/", LocalService("tcp", "localhost", 3000)),
        ("https://nas", LocalService("https", "nas", 443)),
        ("https://[fd00::1]:8443", LocalService("https", "fd00::1", 8443)),
        ("unix:/run/a b.sock", LocalService("unix", path="/run/a b.sock")),
    ],
)
def test_a_shared_target_is_the_service_that_is_then_loaded(tmp_path, target, expected):
    file = write_service(tmp_path, "blog", target, None)
    assert file == tmp_path / "blog.ini"
    service = loaded(tmp_path).services["blog"]
    assert (service.settings.target, service.title) == (expected, "blog")


@pytest.mark.parametrize("name", ["photos", "a b", "ünï # ; = [x]", "50% 'off'", '"quoted"', 'half"'])
def test_a_shared_directory_is_a_service_that_lists_it(tmp_path, name):
    (tmp_path / name).mkdir()
    services = tmp_path / "services"
    write_service(services, "blog", str(tmp_path / name), None)
    settings = loaded(services).services["blog"].settings
    assert (settings.target, settings.cache.directory, settings.cache.allow_listing) == (None, tmp_path / name, True)


def test_a_directory_that_is_not_there_is_not_shared(tmp_path):
    with pytest.raises(ConfigError, match="no such file or directory"):
        write_service(tmp_path, "blog", str(tmp_path / "nowhere"), None)


@pytest.mark.parametrize(
    "title", ["My blog", "# 1: 50% off; 'now' = \"free\"", '"quoted"', "ünï \u202e cöde", "a\n[Cache]\ndirectory = /"]
)
def test_any_title_is_written_so_that_it_is_read_as_one(tmp_path, title):
    write_service(tmp_path, "blog", "8000", title)
    directory = loaded(tmp_path)
    assert directory.problems == {}
    assert directory.services["blog"].title == " ".join(title.replace("\u202e", "").split())[:200].replace("  ", " ")
    assert directory.services["blog"].settings.cache.directory is None


@pytest.mark.parametrize(
    ("name", "safe"),
    [("blog", "blog"), ("My Blog!", "My-Blog"), ("../../etc/x", "etc-x"), (".a_b", "a_b"), ("-", None)],
)
def test_a_name_is_made_safe_for_a_file(tmp_path, name, safe):
    services = tmp_path / "services"
    if safe is None:
        with pytest.raises(ConfigError, match="no name"):
            write_service(services, name, "8000", None)
    else:
        assert write_service(services, name, "8000", None) == services / f"{safe}.ini"


@pytest.mark.parametrize(
    "target",
    ["", "0", "65536", "http", "nas:http", "http://nas/photos", "ftp://nas", "unix:a", "unix:/a\nport = 1", "٣"],
)
def test_what_cannot_be_shared_is_refused_with_a_hint(tmp_path, target):
    if target == "http":  # a host name like any other
        assert write_service(tmp_path, "blog", target, None)
        return
    with pytest.raises(ConfigError) as caught:
        write_service(tmp_path, "blog", target, None)
    assert caught.value.hint
    assert os.listdir(tmp_path) == []


def test_a_service_is_never_overwritten(tmp_path):
    write_service(tmp_path, "blog", "8000", None)
    with pytest.raises(ConfigError, match="already") as caught:
        write_service(tmp_path, "blog", "9000", None)
    assert "--name" in caught.value.hint
    assert "8000" in (tmp_path / "blog.ini").read_text()


def share(services: Path, target: str, name: str | None = None) -> Service:
    """As the daemon does."""
    file = bring_back(services, name, target) or write_service(services, name, target, like=Path(target).name)
    return loaded(services).services[file.name.removesuffix(".ini")]


@pytest.mark.parametrize("name", [None, "web"])
def test_what_was_removed_comes_back_as_it_was_when_the_same_is_shared(tmp_path, name):
    before = share(tmp_path, "8000", name)
    before.file.write_text("[Service]\nservice = localhost\nport = 8000\npassword = sesame\n[Info]\nlisted = no\n")
    before = loaded(tmp_path).services[before.name]
    assert remove_service(tmp_path, before.name) == before.file
    assert loaded(tmp_path).services == {}
    other = share(tmp_path, "9000")
    assert share(tmp_path, "http://localhost:8000/", name) == before
    assert other.key_hash != before.key_hash


def test_the_url_of_what_was_removed_leads_to_nothing_else(tmp_path):
    services = tmp_path / "services"
    public, private = tmp_path / "pub" / "photos", tmp_path / "priv" / "photos"
    for directory in (public, private):
        directory.mkdir(parents=True)
    first = share(services, str(public))
    remove_service(services, first.name)
    second = share(services, str(private))
    assert (second.name, second.title) == ("photos-2", "photos")
    remove_service(services, second.name)
    third = share(services, "photos:80")
    assert len({one.key_hash for one in (first, second, third)}) == 3
    # Each comes back, with a number or without, in whatever order.
    assert share(services, str(private)) == second
    assert share(services, str(public)) == first


def test_a_name_that_was_something_elses_is_refused_with_what_to_do(tmp_path):
    before = share(tmp_path, "8000", "blog")
    remove_service(tmp_path, "blog")
    with pytest.raises(ConfigError, match="what was shared as blog before was localhost:8000") as caught:
        share(tmp_path, "9000", "blog")
    leftovers = sorted(os.listdir(tmp_path))
    assert leftovers == ["blog.ini.cert", "blog.ini.cert.hash", "blog.ini.cert.private", "blog.ini.removed"]
    for each in leftovers:
        assert each in caught.value.hint
        (tmp_path / each).unlink()
    assert share(tmp_path, "9000", "blog").key_hash != before.key_hash


def test_of_several_that_were_the_same_the_last_comes_back(tmp_path):
    for number, name in enumerate(["b", "a", "c"]):
        share(tmp_path, "8000", name)
        remove_service(tmp_path, name)
        os.utime(tmp_path / f"{name}.ini.removed", (number % 2, number % 2))
    assert share(tmp_path, "8000").name == "a"


@pytest.mark.parametrize(
    "text", ["", "[Service]\nnonsense", "[Service]\nservice = localhost\nport = 8000\n[Access]\nclients = ann"]
)
def test_what_was_put_aside_and_could_not_be_served_is_not_put_back(tmp_path, text):
    (tmp_path / "localhost-8000.ini.removed").write_text(text)
    assert share(tmp_path, "localhost:8000").name == "localhost-8000-2"
    with pytest.raises(ConfigError, match="before"):
        share(tmp_path, "8000", "localhost-8000")


@pytest.mark.parametrize("left", ["blog.ini.cert", "blog.ini.cert.private", "blog.ini.cert.hash"])
def test_a_certificate_of_nobody_knows_what_is_taken_only_by_name(tmp_path, left):
    (tmp_path / left).write_text("")
    assert write_service(tmp_path, None, "8000", like="blog").name == "blog-2.ini"
    assert write_service(tmp_path, "blog", "8000").name == "blog.ini"


def test_a_file_that_took_its_place_meanwhile_is_not_overwritten(tmp_path):
    share(tmp_path, "8000", "blog")
    remove_service(tmp_path, "blog")
    put(tmp_path, "blog", "[Service]\nservice = localhost\nport = 9000\n")
    assert bring_back(tmp_path, None, "8000") is None
    assert "9000" in (tmp_path / "blog.ini").read_text()


@pytest.mark.parametrize("name", ["blok", "../blog", "", ".", "/etc/passwd", "blog.ini.cert", "x" * 300, "a\0b"])
def test_what_is_no_service_cannot_be_removed(tmp_path, name):
    write_service(tmp_path, "blog", "8000", None)
    (tmp_path / "blog.ini.cert").write_text("")
    with pytest.raises(ConfigError, match="no service") as caught:
        remove_service(tmp_path, name)
    assert ("blog" in caught.value.hint) == (name in ("blok", "../blog"))
    assert sorted(os.listdir(tmp_path)) == ["blog.ini", "blog.ini.cert"]


def test_a_service_that_another_removes_while_it_is_read_is_just_gone(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_ini(tmp_path / "gone.ini")


# ── names and paths of any kind ──────────────────────────────────────────────────────────────────────────────

# What a settings file can hold as a path: no line ends, no controls but the tab, nothing that UTF-8 cannot say.
PATHS = st.text(st.characters(exclude_categories=["Cc", "Cs"]) | st.just("\t"), min_size=1, max_size=60)


@given(PATHS)
@settings(max_examples=500)
def test_a_path_that_is_written_is_the_path_that_is_read(path):
    text = f"[Service]\nservice =\n[Cache]\ndirectory = {quoted(f'/{path}')}\nallowListing = yes\n"
    assert parse_service(text, "a.ini").cache.directory == Path(f"/{path}")


@given(st.text(max_size=30))
def test_no_path_gets_anything_else_into_a_settings_file(path):
    try:
        text = f"[Service]\nservice =\n[Cache]\ndirectory = {quoted(f'/{path}')}\n"
    except Unreadable:
        return
    assert parse_service(text, "a.ini") == ServiceSettings(None, "a", cache=CacheSection(directory=Path(f"/{path}")))


@pytest.mark.parametrize(
    ("like", "names"),
    [
        ("Café", ["Cafe", "Cafe-2", "Cafe-3"]),
        ("Мой дом", ["service-1", "service-2", "service-3"]),
        ("👩\u200d👩\u200d👧", ["service-1", "service-2", "service-3"]),
        ("写真 2024", ["2024", "2024-2", "2024-3"]),
        ("", ["service-1", "service-2", "service-3"]),
        ("x" * 500, ["x" * 64, "x" * 64 + "-2", "x" * 64 + "-3"]),
    ],
)
def test_a_service_that_nobody_named_gets_a_name_of_its_own_and_keeps_its_title(tmp_path, like, names):
    for number, name in enumerate(names):
        assert write_service(tmp_path, None, str(8000 + number), like=like).name == f"{name}.ini"
    directory = loaded(tmp_path)
    assert directory.problems == {}
    assert {service.title for service in directory.services.values()} == {like[:200] or name for name in names}


def test_a_number_that_something_else_had_is_not_given_again(tmp_path):
    first = write_service(tmp_path, None, "8000", like="写真")
    url = loaded(tmp_path).services["service-1"].label
    first.unlink()
    write_service(tmp_path, None, "9000", like="音楽")
    assert loaded(tmp_path).services["service-2"].label != url


def test_what_is_shared_already_is_found_however_it_is_written(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "link").symlink_to("photos")
    put(tmp_path, "files", f"[Service]\nservice =\n[Cache]\ndirectory = {tmp_path}/link\n")
    put(tmp_path, "web", "[Service]\nservice = localhost\nport = 8000\n")
    put(tmp_path, "safe", "[Service]\nservice = https://nas\nverify = no\n")
    put(tmp_path, "relative", "[Service]\nservice =\n[Cache]\ndirectory = photos\n")
    services = loaded(tmp_path).services.values()

    def name(target):
        found = find_shared(services, target)
        return found and found.name

    assert name(str(tmp_path / "photos")) == "files"
    assert [name(target) for target in ("8000", "localhost:8000", "http://localhost:8000/")] == ["web"] * 3
    assert name("https://nas:443") == "safe"
    assert [name(target) for target in ("8001", "nas:443", "/photos", "nonsense", "")] == [None] * 5


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        ((PLAIN, PLAIN), "if b.ini.cert is a copy, remove it, b.ini.cert.private and b.ini.cert.hash"),
        ((PLAIN, PLAIN + "certfile = a.ini.cert\n"), "remove the key certfile from b.ini"),
        ((PLAIN + "certfile = b.ini.cert\n", PLAIN), "remove the key certfile from a.ini"),
    ],
)
def test_the_hint_about_a_certificate_twice_names_what_is_there(tmp_path, texts, says):
    put(tmp_path, "a", PLAIN)
    loaded(tmp_path)
    for suffix in ("", ".private", ".hash"):
        shutil.copy(tmp_path / f"a.ini.cert{suffix}", tmp_path / f"b.ini.cert{suffix}")
    for name, text in zip("ab", texts, strict=True):
        put(tmp_path, name, text)
    (problem,) = loaded(tmp_path).problems.values()
    assert "has the same certificate as" in problem.message
    assert says in problem.hint
    # And what it says helps.
    if "certfile" not in problem.hint:
        for suffix in ("", ".private", ".hash"):
            (tmp_path / f"b.ini.cert{suffix}").unlink()
        assert loaded(tmp_path).problems == {}


@pytest.mark.parametrize("name", ["می\u200cخواهم", "👩\u200d👩", "\u3000a", "Мой дом"])
def test_a_file_may_be_named_in_any_script(tmp_path, name):
    put(tmp_path, name)
    assert list(loaded(tmp_path).services) == [name]


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-32"])
def test_a_file_in_another_encoding_is_told_from_one_with_a_mistake(tmp_path, codec):
    (tmp_path / "a.ini").write_bytes(PLAIN.encode(codec))
    (problem,) = loaded(tmp_path).problems.values()
    assert "UTF" in problem.message
    assert problem.hint == "save the file as UTF-8"


def test_a_file_with_a_mark_and_line_ends_of_another_system_is_read(tmp_path):
    (tmp_path / "a.ini").write_bytes(b"\xef\xbb\xbf[Service]\r\nservice = localhost\r\nport = 81\r\n")
    assert loaded(tmp_path).services["a"].settings.target == LocalService("tcp", "localhost", 81)
