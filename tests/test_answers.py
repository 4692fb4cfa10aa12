"""What the daemon says is looked at before anything is made of it, whichever command asked."""

from __future__ import annotations

import dataclasses
import json
import random
import types
import typing
from collections.abc import Mapping
from pathlib import Path

import pytest

from hardline import answers, asking
from hardline.cli import main
from hardline.errors import ConfigError
from hardline.node import happened, snapshot
from tests.support.oddanswers import odd_daemon, sample, spoilt
from tests.support.size import FULL

SEEDS = range(100 if FULL else 4)
ANSWERS, NEWS = answers.answers()

# Every command that asks a daemon, and the exit codes that it may have where the answers are as they should be.
COMMANDS: dict[str, tuple[int, ...]] = {
    "status": (0,),
    "status --json": (0,),
    "ls": (0,),
    "ls --json": (0,),
    "ls --watch": (1,),
    "lan": (0,),
    "relay": (0,),
    "relay --drain": (0,),
    "key": (0,),
    "key x": (0,),
    "log": (0,),
    "log x": (0,),
    "log --follow": (1,),
    "watch": (1,),
    "share 8000": (0,),
    "share 8000 --once": (1,),
    "change x": (0,),
    "pause x": (0,),
    "remove x": (0,),
    "remove x --forget-url": (0,),
    "invite x --to anna": (0,),
    "accept x": (0,),
    "who x": (0,),
    "revoke x anna": (0,),
    "ping x": (0, 4),
    "open --print": (0,),
    "open x --print": (0,),
    "open --revoke": (0,),
    "phone x": (0,),
    "phone x --stop": (0,),
    "name x y": (0,),
    "forget y": (0,),
    "nc x": (1,),
    "forward x 0": (1,),
    "inspect x": (1,),
    "inspect x --show 1": (0,),
    "inspect x --replay 1": (0,),
    "doctor x": (0, 1, 2, 4),
}


def lines(do: str, chance: random.Random, *, spoil: bool) -> list[bytes]:
    """What a daemon says to that: an answer, and some news."""
    said = [{"ok": sample(ANSWERS[do], chance)}, *({"news": sample(NEWS[do], chance)} for _ in range(2) if do in NEWS)]
    if spoil:
        at = chance.randrange(len(said))
        said[at] = {key: spoilt(value, chance) for key, value in said[at].items()}
    whole = [json.dumps(one).encode() + b"\n" for one in said]
    if spoil and chance.random() < 0.1:
        whole[-1] = whole[-1][: chance.randrange(len(whole[-1]))]
    return whole


# ── the shapes ───────────────────────────────────────────────────────────────────────────────────────────────

_FORMS = {
    **dict.fromkeys(("url", "urls", "link"), ":url"),
    **dict.fromkeys(("servicedir", "datadir"), ":path"),
    **dict.fromkeys(("asked_body", "heard_body"), ":base64"),
}
_FACTS = {"Outside.dht": ":Dht"}
_PLAIN: dict[object, str] = {str: "", bool: "!", int: "#", float: "#", Mapping[str, int]: "%"}


def told(kind: type) -> dict[str, str]:
    """The shape of one of the classes that are told, as answers.py writes it."""
    hints, shape = typing.get_type_hints(kind), dict[str, str]()
    for one in dataclasses.fields(kind):
        of, ends = hints[one.name], ""
        if isinstance(of, types.UnionType) and of != snapshot.Json:
            of, ends = next(part for part in typing.get_args(of) if part is not types.NoneType), "?"
        if "inline" in one.metadata:
            shape |= told(of)
            continue
        if typing.get_origin(of) is tuple:
            of, ends = typing.get_args(of)[0], f"[]{ends}"
        word = f":{of.__name__}" if dataclasses.is_dataclass(of) and isinstance(of, type) else _PLAIN.get(of, "*")
        word = _FACTS.get(f"{kind.__name__}.{one.name}", _FORMS.get(one.name, word))
        shape[one.name] = word + ends
    return shape


@pytest.mark.pure
def test_the_shapes_are_those_of_what_a_node_tells() -> None:
    classes = {**vars(snapshot), "Happening": happened.Happening}
    shared = {name: shape for name, shape in answers.shapes().items() if name in classes}
    assert len(shared) > 30
    for name, shape in shared.items():
        assert shape == told(classes[name]), name


@pytest.mark.pure
@pytest.mark.parametrize("seed", SEEDS)
def test_what_has_the_shape_passes(seed: int) -> None:
    chance = random.Random(seed)
    for do, kind in ANSWERS.items():
        answers.check(do, sample(kind, chance))
    for do, kind in NEWS.items():
        answers.check(do, sample(kind, chance), is_news=True)


@pytest.mark.pure
@pytest.mark.parametrize(
    ("do", "said", "where"),
    [
        ("log", {}, "log is an object, expected a list"),
        ("log", [7], "log[0] is 7, expected an object"),
        ("log", [{"when": "noon"}], "log[0].when is 'noon', expected a number"),
        ("log", [{"when": 1e300}], "log[0].when is 1e+300, expected a number"),
        ("log", [{"count": True}], "log[0].count is True, expected a number"),
        ("revoke", [{"who": None}], "revoke[0].who is None, expected a text"),
        ("door", {"door": "localhost", "host": "x"}, "door.door is 'localhost', expected an IP address and a port"),
        ("door", {"door": "127.0.0.1:1", "host": "a\r\nb"}, "door.host is 'a\\r\\nb', expected a host name"),
        ("find", {"url": "--help"}, "find.url is '--help', expected an address"),
        ("status", {"relays": {"served": {"refused": {"x": []}}}}, "status.relays.served.refused is an object"),
        ("ping", {"failure": 1}, "ping.failure is 1, expected a text"),
        ("ping", {"title": 1}, "ping.title is 1, expected a text"),
    ],
)
def test_what_is_of_another_kind_is_named_with_its_place(do: str, said: object, where: str) -> None:
    with pytest.raises(ConfigError) as refused:
        answers.check(do, said)
    assert refused.value.message.startswith("the daemon answers something that this version does not understand: ")
    assert where in refused.value.message


# ── the commands ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_shows_whatever_is_of_its_shape(
    command: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for seed in SEEDS:
        chance = random.Random(f"{command} {seed}")
        with odd_daemon(tmp_path, lambda do, chance=chance: lines(do, chance, spoil=False)):  # type: ignore[misc]
            code = main([*command.split(), "--datadir", str(tmp_path)])
        assert code in COMMANDS[command], f"seed {seed}: {capfd.readouterr()}"
        assert "does not understand" not in capfd.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_ends_with_a_traceback_whatever_is_answered(
    command: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for seed in SEEDS:
        chance = random.Random(f"spoilt {command} {seed}")
        with odd_daemon(tmp_path, lambda do, chance=chance: lines(do, chance, spoil=True)):  # type: ignore[misc]
            code = main([*command.split(), "--datadir", str(tmp_path)])
        assert code in (0, 1, 2, 4), f"seed {seed}: {capfd.readouterr()}"
    capfd.readouterr()


def test_a_line_without_an_end_fills_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(asking, "MAX_ANSWER", 1000)
    with odd_daemon(tmp_path, lambda do: [b'{"ok": "' + 10_000 * b"x"]):
        assert main(["status", "--datadir", str(tmp_path)]) == 1
    assert "the daemon gave no answer" in capsys.readouterr().err
