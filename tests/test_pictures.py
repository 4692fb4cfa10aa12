"""The pictures in the documents: each is there, is told in words, too, and shows what the program still says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.pictures.words import IMAGES, ROOT, program, recorded

pytestmark = pytest.mark.pure

WIDTHS = (390, 1280)
MOST_PICTURES, MOST_BYTES = 8, 400_000
_SHOWN = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")


def shown() -> list[tuple[Path, str, Path]]:
    """Every picture that a document shows: the document, what it is called there, the file."""
    documents = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    return [
        (document, told, document.parent / place)
        for document in documents
        for told, place in _SHOWN.findall(document.read_text())
        if not place.startswith("http")
    ]


def test_every_picture_that_a_document_shows_is_there_and_told_in_words() -> None:
    assert shown()
    for document, told, file in shown():
        assert file.is_file(), f"{document.name} shows {file.name}, which is not there: make pictures"
        assert len(told.split()) >= 4, f"{document.name}: {file.name} needs a text for who does not see it"


def test_every_picture_is_shown_and_all_together_are_small() -> None:
    there = sorted(IMAGES.glob("*.webp"))
    assert {file.resolve() for _, _, file in shown()} == {file.resolve() for file in there}
    assert len(there) <= MOST_PICTURES
    assert sum(file.stat().st_size for file in there) <= MOST_BYTES
    for file in there:
        head = file.read_bytes()[:27]
        assert (head[:4], head[8:16]) == (b"RIFF", b"WEBPVP8X"), "RFC 9649, section 2.7"
        assert int.from_bytes(head[24:27], "little") + 1 in WIDTHS, f"{file.name} is no screen of a phone or a desk"


def test_what_a_picture_says_is_what_the_program_says() -> None:
    now = program()
    assert recorded().keys() == {file.name for file in IMAGES.glob("*.webp")}
    for name, words in recorded().items():
        gone = [line for line in words if line not in now]
        assert not gone, f"docs/images/{name} says {gone}, and the program does not any more: make pictures"
        assert len(words) >= 2, f"docs/images/{name} shows none of our pages"
