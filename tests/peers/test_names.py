"""Names that the user gives: what may be one, and a file of them that nothing is lost from."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.errors import ConfigError, WrongArgument
from hardline.identity import KeyHash, Label
from hardline.peers.names import MAX_NAMES, Names, check_name, name_in


def story(told: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """The test that is told as a coroutine."""

    @functools.wraps(told)
    def test(*args: object, **named: object) -> None:
        asyncio.run(told(*args, **named))  # type: ignore[arg-type]

    return test


ONE, OTHER = (Label(KeyHash(bytes([digit]) * 20)) for digit in (1, 2))
WITH_WORD = Label(ONE.key_hash, "sesame")


@pytest.mark.parametrize("text", ["nas", "NAS", "n", "my-nas-2", "x" * 32, "0g"])
def test_letters_digits_and_dashes_are_a_name(text: str) -> None:
    assert check_name(text) == text.lower()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-nas",
        "nas-",
        "n.as",
        "na s",
        "nas\n",
        "nås",
        "\u212ain",
        "x" * 33,
        "cafe",
        "bb89-bb33",
        "12",
        "hardline",
        "LocalHost",
    ],
)
def test_what_could_be_something_else_is_no_name(text: str) -> None:
    with pytest.raises(WrongArgument):
        check_name(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("NAS", "nas"),
        ("http://nas.localhost:7009/", "nas"),
        ("http://NAS.localhost:7009/a/b?c=d#e", "nas"),
        ("nas.localhost.", "nas"),
        ("nas:8080", "nas:8080"),
        ("http://nas/", "http://nas/"),
        ("https://nas.example.org/nas.localhost", "https://nas.example.org/nas.localhost"),
        ("localhost", "localhost"),
        (".localhost", ".localhost"),
    ],
)
def test_a_name_is_known_by_its_url_and_by_no_other_host(text: str, name: str) -> None:
    assert name_in(text) == name


@given(st.text(max_size=40))
def test_a_name_is_lower_case_and_no_address(text: str) -> None:
    try:
        name = check_name(text)
    except WrongArgument:
        return
    assert name == name.lower() == check_name(name)
    assert not set(name) <= set("0123456789abcdef-")


@story
async def test_names_are_there_again_after_a_restart(tmp_path: Path) -> None:
    names = Names(tmp_path / "names")
    assert await names.give("NAS", WITH_WORD) == "nas"
    await names.give("files", OTHER)
    again = Names(tmp_path / "names")
    await again.load()
    assert dict(again.all) == {"nas": WITH_WORD, "files": OTHER}
    assert (again.get("Nas"), again.of(ONE.key_hash), again.of(OTHER.key_hash)) == (WITH_WORD, "nas", "files")
    assert (tmp_path / "names").stat().st_mode & 0o777 == 0o600


@story
async def test_a_name_is_one_services_until_it_is_forgotten(tmp_path: Path) -> None:
    names = Names(tmp_path / "names")
    await names.give("nas", ONE)
    with pytest.raises(WrongArgument, match="already"):
        await names.give("nas", OTHER)
    await names.give("nas", WITH_WORD)  # the same service, by its whole address
    assert await names.forget("Nas") == WITH_WORD
    await names.give("nas", OTHER)
    with pytest.raises(WrongArgument, match="nothing is called"):
        await names.forget("files")


@story
async def test_what_was_written_by_hand_stays(tmp_path: Path) -> None:
    file = tmp_path / "names"
    file.write_text(f"# my places\n\nnas   {ONE}\nfiles bb89\nhardline {OTHER}\nnas {OTHER} \n")
    names = Names(file)
    await names.load()
    assert dict(names.all) == {"nas": OTHER}, "the last line of a name counts"
    with file.open("a") as appended:
        appended.write(f"office {ONE}\n")  # while the node runs
    await names.give("desk", ONE)
    before = f"# my places\n\nnas   {ONE}\nfiles bb89\nhardline {OTHER}\n"
    assert file.read_text() == f"{before}nas {OTHER} \noffice {ONE}\ndesk {ONE}\n"
    assert names.of(ONE.key_hash) == "desk", "the newest"
    await names.forget("nas")
    assert file.read_text() == f"{before}office {ONE}\ndesk {ONE}\n".replace(f"nas   {ONE}\n", "")


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
@story
async def test_files_of_other_editors_are_read(tmp_path: Path, end: str) -> None:
    file = tmp_path / "names"
    file.write_bytes(f"\ufeffnas {ONE}{end}# one\u2028files {OTHER}{end}desk\t{OTHER}".encode())
    names = Names(file)
    await names.load()
    assert dict(names.all) == {"nas": ONE, "desk": OTHER}
    await names.give("desk", OTHER)
    assert file.read_text().splitlines()[0] == f"nas {ONE}"


@story
async def test_a_name_leads_somewhere_while_another_is_given(tmp_path: Path) -> None:
    names = Names(tmp_path / "names")
    await names.give("nas", ONE)
    async with asyncio.TaskGroup() as group:
        giving = group.create_task(names.give("desk", OTHER))
        while not giving.done():
            assert names.get("nas") == ONE
            await asyncio.sleep(0)
    (tmp_path / "names").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="cannot be read"):
        await names.give("office", ONE)
    assert names.get("nas") == ONE, "as it was when it could be read"


@story
async def test_a_line_that_is_wrong_puts_no_address_into_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "names").write_text(f"{ONE} nas\nnas {str(ONE)[:-1]}\nnas {ONE}x\nnas-{ONE}\n")
    await Names(tmp_path / "names").load()
    told = [str(record.__dict__["fields"]) for record in caplog.records]
    assert len(told) == 4
    assert not any(str(ONE)[:30] in fields for fields in told)


@story
async def test_a_file_that_would_be_too_big_to_be_read_is_not_written(tmp_path: Path) -> None:
    file = tmp_path / "names"
    file.write_text("#" * 262_143 + "\n")
    with pytest.raises(ConfigError, match="bytes"):
        await Names(file).give("nas", ONE)
    assert file.stat().st_size == 262_144


@pytest.mark.parametrize("content", [b"\xff\xfe", b"#" * 300_000])
@story
async def test_a_file_that_cannot_be_read_is_not_written_over(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "names"
    file.write_bytes(content)
    names = Names(file)
    await names.load()
    with pytest.raises(ConfigError, match="cannot be read"):
        await names.give("nas", ONE)
    assert file.read_bytes() == content


@story
async def test_there_is_an_end_to_names(tmp_path: Path) -> None:
    (tmp_path / "names").write_text("".join(f"name{number} {ONE}\n" for number in range(MAX_NAMES)))
    names = Names(tmp_path / "names")
    with pytest.raises(ConfigError, match="1000 names"):
        await names.give("nas", ONE)


@story
async def test_two_at_once_are_both_kept(tmp_path: Path) -> None:
    names = Names(tmp_path / "names")
    await asyncio.gather(*(names.give(f"name{number}", ONE) for number in range(10)))
    again = Names(tmp_path / "names")
    await again.load()
    assert len(again.all) == 10
