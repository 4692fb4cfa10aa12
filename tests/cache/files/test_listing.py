"""A directory's page and its JSON."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from urllib.parse import unquote_to_bytes, urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.cache.files.listing import (
    POLICY,
    HtmlListing,
    JsonListing,
    Listed,
    iso_time,
    readable_size,
)
from hardline.cache.files.order import Order

pytestmark = pytest.mark.pure

NAMES = [
    *(
        "plain.txt",
        "a b",
        "100%",
        "a#b",
        "a?b",
        "ünïcode",
        "<b>bold",
        "'\"",
        ".hidden",
        "a:b",
        "http:",
        "a\nb",
        "a&amp;b",
    ),
    *(
        "\udcff\udcfe",
        "x" * 255,
        "<script>alert(1)<!--",
        "\u202egnp.exe",
        "a\\b",
        "\x1b[31m",
        "‮",
        " ",
        "~",
        "-",
        "&",
    ),
]
file_names = st.binary(min_size=1, max_size=40).filter(
    lambda name: not {0, 0x2F} & set(name) and name not in (b".", b"..")
)


class Page(HTMLParser):
    """Links to what is listed, with what they say; and every tag.  `commands` lead to the same list, in other ways."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[tuple[str, str]] = []
        self.commands: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        self._open.append(tag)
        if tag == "a":
            href = dict(attrs)["href"] or ""
            if href.startswith("./?") or href == "./":
                self.commands.append(href)
                self._open[-1] = "command"
            else:
                self.links.append((href, ""))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() not in (tag, "command" if tag == "a" else tag):
            pass

    def handle_data(self, data: str) -> None:
        if {"style", "script"} & set(self._open):
            return
        self.text += data
        if "a" in self._open:
            href, said = self.links[-1]
            self.links[-1] = href, said + data


def page(*entries: Listed, names: tuple[str, ...] = (), wrong: str = "") -> str:
    form = HtmlListing(names)
    return form.opening() + "".join(map(form.row, entries)) + form.closing(len(entries), wrong)


def listed(*entries: Listed, names: tuple[str, ...] = (), wrong: str = "") -> dict:
    form = JsonListing(names)
    rows = form.separator.join(map(form.row, entries))
    return json.loads(form.opening() + rows + form.closing(len(entries), wrong))


def file(name: str, size: int = 1, modified: int = 1_700_000_000) -> Listed:
    return Listed(name, False, size, modified)


# ── the page ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("is_directory", [False, True])
def test_every_name_is_escaped_and_its_link_leads_to_it(name, is_directory):
    check_link(name, is_directory)


@given(file_names, st.booleans())
def test_any_name_is_escaped_and_its_link_leads_to_it(name, is_directory):
    check_link(name.decode("utf-8", "surrogateescape"), is_directory)


def check_link(name: str, is_directory: bool) -> None:
    entry = Listed(name, is_directory, 1, 1)
    seen, plain = Page(page(entry)), Page(page(Listed("plain", is_directory, 1, 1)))
    (href, said), *_ = seen.links
    base = "http://x.localhost:7009/gateway/a/b/"
    led = urlsplit(urljoin(base, href))
    assert (led.scheme, led.netloc, led.query, led.fragment) == ("http", "x.localhost:7009", "", "")
    path = led.path.removeprefix("/gateway/a/b/")
    assert path.endswith("/") == is_directory
    assert unquote_to_bytes(path.removesuffix("/")) == name.encode("utf-8", "surrogateescape")
    assert seen.tags == plain.tags
    assert seen.attributes == plain.attributes
    assert len(said) - is_directory == len(name)
    assert all(letter.isprintable() or letter == " " or ord(letter) > 127 for letter in said)
    assert not any(letter in said for letter in "\u202e\x1b\n")
    assert re.match(r"(\./)?[A-Za-z0-9_.~%-]+/?\Z", href)
    assert ":" not in name or href.startswith("./")
    assert listed(entry)["entries"][0]["href"] == href


def test_a_page_leads_up_but_not_out():
    assert [href for href, _ in Page(page()).links] == []
    links = Page(page(names=("photos", "<2026>"))).links
    assert links == [("../../", "Files"), ("../", "photos"), ("../", "../")]
    assert "<h1><bdi>&lt;2026&gt;</bdi></h1>" in page(names=("photos", "<2026>"))


def test_a_page_tells_sizes_and_dates():
    seen = Page(page(file("a", 123_456), Listed("d", True, 0, 0)))
    assert "121 KB" in seen.text
    assert "2023-11-14 22:13" in seen.text
    assert "Modified (UTC)" in seen.text
    assert "1970-01-01 00:00" in seen.text
    assert "0 B" not in seen.text  # nobody knows how much is in a directory


@pytest.mark.parametrize("modified", [-1, 2**60])
def test_a_date_that_no_calendar_has_is_left_out(modified):
    assert "<time></time></li>" in page(file("a", 1, modified))
    assert listed(file("a", 1, modified))["entries"][0]["modified"] is None


def test_an_empty_directory_says_so_and_what_went_wrong_is_told():
    assert "There is nothing in it." in page()
    assert "There is nothing in it." not in page(file("a"))
    assert "It could not be read" in page(file("a"), wrong="It could not be read")


def test_a_markdown_text_can_be_had_as_a_page():
    assert Page(page(file("READ ME.md"))).links[1] == ("READ%20ME.md?as_markdown=1", "as a page")
    assert len(Page(page(Listed("x.md", True, 0, 0))).links) == 1


def test_a_page_runs_its_own_script_and_loads_nothing():
    whole = page(file("a"), names=("b",))
    for tag in ("style", "script"):
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", whole, re.DOTALL)
        assert f"{tag}-src 'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" in POLICY
    assert "default-src 'none'" in POLICY
    assert "form-action 'self'" in POLICY
    assert not {"img", "iframe", "base", "link"} & set(Page(whole).tags)


def test_columns_sort_and_the_way_is_kept_while_something_is_looked_for():
    form = HtmlListing((), "Photos", Order("size", True, 'a"<b'))
    seen = Page(form.opening() + form.closing(0, ""))
    assert seen.commands == [
        "./",
        "./?zip",
        "./?filter=a%22%3Cb",
        "./?sort=size&filter=a%22%3Cb",
        "./?sort=time&order=desc&filter=a%22%3Cb",
    ]
    assert "Size ↓" in seen.text
    assert "No name here has that in it." in seen.text
    assert 'value="a&quot;&lt;b"' in form.opening()


# ── JSON ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_json_has_what_ptth_has_and_more():
    answer = listed(file("ünï.txt", 5), Listed("d", True, 0, 0), names=("src", "x y"))
    assert answer["path"] == "/src/x y/"
    assert answer["complete"] is True
    assert answer["entries"] == [
        {
            "name": "ünï.txt",
            "is_dir": False,
            "size": 5,
            "modified": "2023-11-14T22:13:20Z",
            "href": "%C3%BCn%C3%AF.txt",
        },
        {"name": "d", "is_dir": True, "size": 0, "modified": "1970-01-01T00:00:00Z", "href": "d/"},
    ]
    assert listed()["entries"] == []
    assert listed()["path"] == "/"


def test_json_says_when_it_is_not_all():
    answer = listed(file("a"), wrong="there is more")
    assert (answer["complete"], answer["problem"]) == (False, "there is more")


@given(file_names)
def test_json_is_valid_for_every_name(name):
    text = name.decode("utf-8", "surrogateescape")
    (entry,) = listed(file(text), names=(text,))["entries"]
    entry["name"].encode()  # no half characters, which many readers refuse
    assert unquote_to_bytes(entry["href"].removeprefix("./")) == name


# ── sizes, times ─────────────────────────────────────────────────────────────────────────────────────────────


SIZES = {0: "0 B", 1: "1 B", 999: "999 B", 1000: "1.0 KB", 1024: "1.0 KB", 10_200: "10 KB", (1 << 20) - 1: "1.0 MB"}
SIZES |= {1_572_864: "1.5 MB", 3 << 30: "3.0 GB", 1 << 40: "1.0 TB", 5000 << 40: "5000 TB"}


@pytest.mark.parametrize(("size", "text"), SIZES.items())
def test_sizes_are_short(size, text):
    assert readable_size(size) == text


def test_times_are_those_of_rfc_3339():
    assert iso_time(1_700_000_000) == "2023-11-14T22:13:20Z"
    assert iso_time(-1) == iso_time(1 << 60) == ""


def test_of_a_very_long_way_the_root_and_the_nearest_are_named():
    page = HtmlListing([str(number) for number in range(100)]).opening()
    crumbs = page.partition("<nav>")[2].partition("</nav>")[0]
    assert crumbs.startswith(f'<a href="{"../" * 100}"><bdi>Files</bdi></a> / … / ')
    assert '<a href="../"><bdi>98</bdi></a> /' in crumbs
    assert crumbs.count("<a ") == 31
