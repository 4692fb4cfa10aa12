"""What the pictures of the documents show, and what must still be so for them to be true.

    docs/images/NAME.webp       a page of ours as Chromium shows it
    docs/images/words.json      for each, the words on it that stand in the program

A picture is true while its words are: a colour may change without all being made anew, what a button is called may not.
`make pictures` makes them (tests/pictures/test_scenes.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
RECORD = IMAGES / "words.json"
_PLACES = ("hardline/web", "hardline/door", "hardline/doctor")
_SHORTEST = 4  # letters: what is shorter stands anywhere


def program() -> str:
    """All that the pages are made of."""
    files = (file for place in _PLACES for file in sorted((ROOT / place).iterdir()) if file.suffix in (".py", ".js"))
    return "\n".join(file.read_text() for file in files)


def said_by(program: str, lines: Iterable[str]) -> list[str]:
    """Those of the lines that somebody sees which are the program's own words, each once, in order."""
    seen = dict.fromkeys(line.strip() for line in lines)
    return [line for line in seen if len(line) >= _SHORTEST and line in program]


def recorded() -> dict[str, list[str]]:
    """The words of each picture, by its file's name."""
    found: dict[str, list[str]] = json.loads(RECORD.read_text())
    return found
