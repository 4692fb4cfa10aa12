"""Templates that answer: what they are told, what they may say, and what nobody gets to see."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from hardline.cache.templates.dynamic import MAX_BODY
from hardline.cache.templates.workers import MAX_WORKERS
from tests.cache.pages_served import Answer, Asking, read_answer, served, template


def page(root: Path, target: str, **asked: Any) -> Answer:
    """One page, by a server of its own."""
    answers = []

    async def story(asking: Asking) -> None:
        answers.append(await asking.ask(target, **asked))

    served(root, story)
    return answers[0]


def failures(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [record.fields for record in caplog.records if record.getMessage() == "page.failed"]


# ── what a template is told ──────────────────────────────────────────────────────────────────────────────────


def test_a_template_is_told_what_was_asked_for(tmp_path):
    template(tmp_path, "foo/bar@mako", "${path}\n${__file__}\n${method}\n${query['x']} ${query.all('x')}\n${len(body)}")
    answer = page(tmp_path, "/foo/b%61r?x=%3C1%3E&x=2&y=")
    assert answer.text.split("\n") == [
        "/foo/b%61r?x=%3C1%3E&x=2&y=",
        str(tmp_path / "foo/bar@mako"),
        "GET",
        "<1> ['<1>', '2']",
        "0",
    ]


def test_a_template_reads_the_fields_of_the_request(tmp_path):
    text = "${headers['x-a']} ${headers.get('X-B', 'none')} ${headers.all('HOST')} ${'X-A' in headers}"
    template(tmp_path, "@mako", text)
    assert page(tmp_path, "/", fields={"X-A": "1"}).text == "1 none ['here'] True"


@pytest.mark.parametrize("fields", [{}, {"Transfer-Encoding": "chunked"}])
def test_a_template_gets_what_was_sent(tmp_path, fields):
    template(tmp_path, "form@mako", "${method} ${body}")
    body = b"4\r\na=1&\r\n3\r\nb=2\r\n0\r\n\r\n" if fields else b"a=1&b=2"
    assert page(tmp_path, "/form", method="POST", fields=fields, body=body).text == "POST b'a=1&b=2'"


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("@mako", "/"),
        ("@mako", "/?x=/foo"),
        ("foo/@mako", "/foo/"),
        ("foo@mako", "/foo"),
        ("foo@mako", "/%66oo#part"),
        ("a b/ü&<.html@mako", "/a%20b/%C3%BC&%3C.html"),
        ("foo@mako", "//foo"),
        (".well-known/hidden@mako", "/.well-known/hidden"),
    ],
)
def test_a_page_has_the_name_of_its_template(tmp_path, name, target):
    template(tmp_path, name, "here")
    assert page(tmp_path, target).text == "here"


@pytest.mark.parametrize(
    "target",
    [
        *[
            "/foo/",
            "/foo@mako",
            "/foo@mako@mako",
            "/bar",
            "/d",
            "/d@mako",
            "/link",
            "/linked/outside",
            "/pipe",
        ],
        *["/../outside", "/%2e%2e/outside", "/d/..%2Ffoo", "/foo%00", "/%ff"],
        "/" + "x" * 300,
    ],
)
def test_where_there_is_no_template_there_is_no_page(tmp_path, target):
    root = tmp_path / "root"
    template(root, "foo@mako", "secret")
    template(tmp_path, "outside@mako", "secret")
    (root / "d").mkdir()
    (root / "d@mako").mkdir()
    (root / "link@mako").symlink_to("../outside@mako")
    (root / "linked").symlink_to("..")
    os.mkfifo(root / "pipe@mako")
    answer = page(root, target)
    assert (answer.status, answer.text) == (404, "no page")


@pytest.mark.parametrize("name", [".git/page", ".page", "sub/.x/", "link", "key"])
def test_a_template_that_would_be_no_file_for_visitors_is_no_page(tmp_path, name):
    for hidden in (".git/page", ".page", "sub/.x/"):
        template(tmp_path, f"{hidden}@mako", "hidden")
    (tmp_path / "link@mako").symlink_to(".git/page@mako")
    key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIABCDEFGHIJKLMNOPQRSTUVW\n-----END PRIVATE KEY-----\n"
    template(tmp_path, "key@mako", key)

    async def story(pages: Asking) -> None:
        assert (await pages.ask(f"/{name}")).status == 404

    served(tmp_path, story)


def test_a_link_inside_of_the_directory_is_followed(tmp_path):
    template(tmp_path, "d/real@mako", "${__file__}")
    (tmp_path / "link@mako").symlink_to("d/real@mako")
    assert page(tmp_path, "/link").text == str(tmp_path / "link@mako")


def test_what_must_not_be_shown_is_not_rendered(tmp_path):
    forbidden = template(tmp_path, "key@mako", "secret")

    async def story(asking: Asking) -> None:
        assert (await asking.ask("/key")).status == 404

    served(tmp_path, story, forbidden=lambda path, _: path == str(forbidden))


def test_templates_use_each_other_and_data(tmp_path):
    template(tmp_path, "base.html", "<html>${self.body()}</html>")
    template(tmp_path, "parts/head@mako", "head <%include file='deeper/part@mako'/>")
    template(tmp_path, "parts/deeper/part@mako", "part")
    template(tmp_path, "parts/count@data", "41")
    template(
        tmp_path,
        "parts/page@mako",
        "<%inherit file='/base.html'/><%include file='head@mako'/> "
        "${int(open(__file__.replace('page@mako', 'count@data')).read()) + 1} ${len(open('parts/count@data').read())}",
    )
    assert page(tmp_path, "/parts/page").text == "<html>head part 42 2</html>"


# ── what a template says ─────────────────────────────────────────────────────────────────────────────────────


def test_a_page_is_html_that_is_kept_nowhere(tmp_path):
    template(tmp_path, "@mako", "ünï")
    answer = page(tmp_path, "/")
    assert (answer.status, answer.text) == (200, "ünï")
    assert answer["Content-Type"] == "text/html; charset=utf-8"
    assert answer["Cache-Control"] == "no-store"


def test_a_template_may_say_something_else(tmp_path):
    template(
        tmp_path,
        "@mako",
        """<%
            response.status = 404
            response.headers["content-type"] = "text/plain; charset=utf-8"
            response.headers["Cache-Control"] = "max-age=60"
            response.headers["Set-Cookie"] = ["a=1", "b=2"]
        %>gone""",
    )
    answer = page(tmp_path, "/")
    assert (answer.status, answer.text, answer["Content-Type"]) == (404, "gone", "text/plain; charset=utf-8")
    assert answer["Cache-Control"] == "max-age=60"
    assert [value for name, value in answer.fields if name == "Set-Cookie"] == ["a=1", "b=2"]


@pytest.mark.parametrize(
    "code",
    [
        "response.status = 99",
        "response.status = 100",
        "response.status = 1000",
        "response.headers['X'] = 'a\\r\\nSet-Cookie: b'",
        "response.headers['X: y\\r\\nZ'] = 'a'",
        "response.headers['X'] = 'a\\0'",
        "response.headers['Content-Length'] = '1'",
        "response.headers['transfer-encoding'] = 'chunked'",
        "response.headers['Connection'] = 'upgrade'",
        "response.headers['X'] = ['a'] * 1000",
        "response.headers['X'] = 'a' * 100000",
        "response.status = 'fine'",
        "response.headers = None",
    ],
)
def test_what_would_break_http_is_a_mistake_of_the_page(tmp_path, caplog, code):
    template(tmp_path, "@mako", f"<% {code} %>text")
    answer = page(tmp_path, "/")
    assert (answer.status, "text" in answer.text) == (500, False)
    assert len(failures(caplog)) == 1


def test_head_gets_the_head_only(tmp_path):
    template(tmp_path, "@mako", "${method}${'x' * 1_000_000}")

    async def story(asking: Asking) -> None:
        reader, _ = await asking.connect("HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a")
        answer = await read_answer(reader, "HEAD")
        assert (answer.status, answer["Content-Length"]) == (200, "1000004")
        assert (await read_answer(reader)).body == b"GET" + b"x" * 1_000_000

    served(tmp_path, story)


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_that_has_no_body_has_none(tmp_path, status):
    template(tmp_path, "@mako", f"<% response.status = {status} %>text")

    async def story(asking: Asking) -> None:
        reader, _ = await asking.connect("GET / HTTP/1.1\r\nHost: a\r\nConnection: close")
        head, _, rest = (await reader.read()).partition(b"\r\n\r\n")
        assert (int(head.split()[1]), rest) == (status, b"")

    served(tmp_path, story)


def test_a_long_page_comes_whole(tmp_path):
    template(tmp_path, "@mako", "% for n in range(200_000):\n${'%050d' % n}\n% endfor")
    answer = page(tmp_path, "/")
    assert answer.body == b"".join(b"%050d\n" % n for n in range(200_000))


def test_visitors_who_take_their_time_hold_nobody_up(tmp_path):
    template(tmp_path, "long@mako", "${'x' * 30_000_000}")
    template(tmp_path, "short@mako", "short")

    async def story(asking: Asking) -> None:
        slow = []
        for _ in range(2 * MAX_WORKERS):
            reader, _ = await asking.connect("GET /long HTTP/1.1\r\nHost: a")
            slow.append(reader)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        async with asyncio.timeout(100):
            assert (await asking.ask("/short")).text == "short"

    served(tmp_path, story)


def test_long_pages_that_nobody_takes_find_their_limit(tmp_path):
    template(tmp_path, "long@mako", "${'x' * 5_000_000}")
    template(tmp_path, "short@mako", "short")

    async def story(asking: Asking) -> None:
        for _ in range(3):
            reader, writer = await asking.connect("GET /long HTTP/1.1\r\nHost: a")
            await reader.readuntil(b"\r\n\r\n")
        assert (await asking.ask("/long")).status == 503
        assert (await asking.ask("/short")).text == "short"
        writer.close()
        async with asyncio.timeout(100):
            while (await asking.ask("/long")).status == 503:
                await asyncio.sleep(0.05)

    served(tmp_path, story, on_disk=16_000_000)


# ── mistakes ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("secret\n\n${1 / 0}", 3, "ZeroDivisionError: division by zero"),
        ("secret\n${nobody}", 2, "NameError"),
        ("secret\n% if True:\n", 2, ""),
        ("secret\n<% def %>", 2, ""),
        ("secret\n${open('/nowhere')}", 2, "No such file or directory"),
        ("secret\n<%include file='nobody@mako'/>", 2, "nobody@mako: No such file"),
        ("secret\n<%include file='../outside@mako'/>", 2, "outside of the directory"),
        ("secret\n<%include file='/../outside@mako'/>", 2, "outside of the directory"),
        ("secret\n<%include file='link@mako'/>", 2, "outside of the directory"),
        ("secret\n<%include file='d'/>", 2, "no plain file"),
        ("secret\n<% raise SystemExit(3) %>", 2, "SystemExit: 3"),
        ("secret\n<% raise KeyboardInterrupt %>", 2, "KeyboardInterrupt"),
        ("secret\n<% raise ValueError('x' * 100000) %>", 2, "ValueError: xxx"),
        (b"secret\n\xff", 0, "'utf-8' failed"),
    ],
)
def test_a_mistake_is_told_to_the_owner_and_not_to_visitors(tmp_path, caplog, text, line, reason):
    root = tmp_path / "root"
    template(root, "bad@mako", text)
    template(root, "good@mako", "good")
    template(tmp_path, "outside@mako", "secret")
    (root / "link@mako").symlink_to("../outside@mako")
    (root / "d").mkdir()

    async def story(asking: Asking) -> None:
        answer = await asking.ask("/bad")
        assert answer.status == 500
        for source in ("secret", "bad@mako", "Error", str(root)):
            assert source not in answer.text
        assert (await asking.ask("/good")).text == "good"

    served(root, story)
    (told,) = failures(caplog)
    assert told["template"] == "bad@mako"
    assert reason in told["reason"]
    assert len(told["reason"]) <= 600
    if line:
        assert (told["file"], told["line"]) == ("bad@mako", line)
    assert all(record.levelno >= logging.WARNING for record in caplog.records if record.getMessage() == "page.failed")


def test_a_mistake_in_a_part_is_told_of_that_part(tmp_path, caplog):
    template(tmp_path, "@mako", "\n\n\n<%include file='d/part@mako'/>")
    template(tmp_path, "d/part@mako", "\n${1 / 0}")
    assert page(tmp_path, "/").status == 500
    assert [(told["file"], told["line"]) for told in failures(caplog)] == [("d/part@mako", 2)]


def test_a_template_that_was_edited_is_seen_at_once(tmp_path):
    file = template(tmp_path, "@mako", "1")
    part = template(tmp_path, "part@mako", "a")

    async def story(asking: Asking) -> None:
        assert (await asking.ask("/")).text == "1"
        when = file.stat().st_mtime_ns
        for number in range(2, 6):  # in the same second, and with the same length
            file.write_text(str(number))
            os.utime(file, ns=(when, when))
            assert (await asking.ask("/")).text == str(number)
        file.write_text("<%include file='part@mako'/>")
        assert (await asking.ask("/")).text == "a"
        part.write_text("b")
        assert (await asking.ask("/")).text == "b"
        part.with_name("old").write_text("c")
        os.utime(part.with_name("old"), (1, 1))
        part.with_name("old").rename(part)
        assert (await asking.ask("/")).text == "c"

    served(tmp_path, story)


def test_a_template_that_comes_and_goes_is_noticed(tmp_path):
    async def story(asking: Asking) -> None:
        assert (await asking.ask("/")).status == 404
        file = template(tmp_path, "@mako", "here")
        async with asyncio.timeout(100):
            while (await asking.ask("/")).status == 404:
                await asyncio.sleep(0.1)
        file.unlink()
        async with asyncio.timeout(100):
            while (await asking.ask("/")).status != 404:
                await asyncio.sleep(0.1)

    served(tmp_path, story)


# ── too much ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_too_long_a_body_is_refused_before_it_is_sent(tmp_path):
    template(tmp_path, "@mako", "${len(body)}")

    async def story(asking: Asking) -> None:
        head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: "
        reader, _ = await asking.connect(f"{head}{MAX_BODY + 1}")
        assert (await read_answer(reader)).status == 413
        reader, writer = await asking.connect(f"{head}{MAX_BODY}")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(bytes(MAX_BODY))
        assert (await read_answer(reader)).text == str(MAX_BODY)

    served(tmp_path, story)


@pytest.mark.parametrize(("count", "status"), [(1000, 200), (1001, 400)])
def test_too_many_parameters_are_no_mistake_of_the_page(tmp_path, caplog, count, status):
    template(tmp_path, "@mako", "${len(query.all('x'))}")
    assert page(tmp_path, "/?" + "&".join(["x="] * count)).status == status
    assert failures(caplog) == []


def test_too_long_a_body_is_refused_while_it_comes(tmp_path):
    template(tmp_path, "@mako", "${len(body)}")
    body = b"%x\r\n" % (MAX_BODY + 1) + bytes(MAX_BODY + 1)
    assert page(tmp_path, "/", method="POST", fields={"Transfer-Encoding": "chunked"}, body=body).status == 413


def test_a_page_without_an_end_is_a_mistake(tmp_path, caplog):
    template(tmp_path, "@mako", "% while True:\n${'x' * 1_000_000}\n% endwhile")
    assert page(tmp_path, "/").status == 500
    assert "longer than 64 MB" in failures(caplog)[0]["reason"]
