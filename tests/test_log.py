"""What the log keeps, and what a hostile peer cannot put into it."""

from __future__ import annotations

import json
import logging
import time

import pytest

from hardline import log


@pytest.fixture(autouse=True)
def restored():
    logger = logging.getLogger("hardline")
    before = (logger.handlers[:], logger.propagate, logger.level)
    yield
    logger.handlers[:], logger.propagate = before[0], before[1]
    logger.setLevel(before[2])


def test_an_event_is_a_line_of_name_and_fields(capsys):
    log.set_up("info")
    log.event("dial.won", service="e8684237", took_s=0.0841, via=None)
    line = capsys.readouterr().err.strip()
    assert line.split(" ", 1)[1] == "INFO    dial.won             service=e8684237 took_s=0.084"


@pytest.mark.parametrize("text", ["two words", "a=b", 'quo"te', "new\nline", "\x1b[31mred", "", "\u202eback"])
def test_a_peers_words_cannot_forge_a_field_or_a_line(capsys, text):
    log.set_up("info")
    log.event("x", reason=text)
    out = capsys.readouterr().err
    assert out.count("\n") == 1
    assert json.loads(out.partition("reason=")[2]) == text


def test_as_json_every_line_is_an_object(capsys):
    log.set_up("debug", "json")
    log.debug("x", n=1)
    log.warning("y", reason="a\nb")
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert (first["event"], first["level"], first["n"]) == ("x", "debug", 1)
    assert (second["level"], second["reason"]) == ("warning", "a\nb")


def test_below_the_level_nothing_is_said(capsys):
    log.set_up("warning")
    log.event("x")
    assert capsys.readouterr().err == ""


def test_what_happens_too_often_is_counted_instead_of_written(capsys):
    now = 1000.0
    log.set_up("debug", "json", clock=lambda: now)
    for number in range(100_000):
        log.debug("flooded", number=number)
    now += 1
    log.debug("flooded", number="the last")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert len(lines) == log.BURST + 1
    assert [line["number"] for line in lines] == [*range(log.BURST), "the last"]
    assert lines[-1]["not_shown"] == 100_000 - log.BURST
    assert all("not_shown" not in line for line in lines[:-1])


def test_in_the_long_run_so_many_lines_of_an_event_are_written_each_second(capsys):
    now = 0.0
    log.set_up("info", clock=lambda: now)
    for tick in range(60_000):
        now = tick / 1000
        log.event("flooded")
    assert len(capsys.readouterr().err.splitlines()) == pytest.approx(log.BURST + 60 * log.PER_SECOND, abs=2)


def test_an_event_that_floods_leaves_the_others_their_lines(capsys):
    log.set_up("info", clock=lambda: 0.0)
    for _ in range(1000):
        log.event("flooded")
    log.event("node.stopped")
    assert "node.stopped" in capsys.readouterr().err


HASH = "e8684237" + 32 * "a"
SECRETS = {
    "a label": (f"sesame-{HASH}", "e8684237"),
    "a host": (f"http://sesame-{HASH}.localhost:7009/private?x=1", "http://e8684237.localhost:7009"),
    "in a sentence": (
        f"no route to www.sesame-{HASH.upper()}.localhost, tried",
        "no route to www.E8684237.localhost, tried",
    ),
    "a login": ("https://ann:geheim@ip.example/token/4711?key=9#z", "https://ip.example"),
    "an exception": (
        repr(OSError(f"GET http://ip.example/{HASH}?token=9 failed")),
        "OSError('GET http://ip.example failed')",
    ),
}


@pytest.mark.parametrize("style", ["text", "json"])
@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO, logging.WARNING])
@pytest.mark.parametrize(("said", "kept"), SECRETS.values(), ids=SECRETS)
def test_no_address_password_or_token_is_written_at_any_level(capsys, style, level, said, kept):
    log.set_up("debug", style)
    log.event("x", level=level, reason=said)
    out = capsys.readouterr().err
    assert kept in (json.loads(out)["reason"] if style == "json" else out)
    for secret in ("sesame", "geheim", "token", "key=", "4711", 32 * "a", 32 * "A"):
        assert secret not in out


def test_of_what_was_asked_for_nothing_behind_the_question_mark_is_written(capsys):
    log.set_up("debug")
    log.debug("x", path="/files/a.txt?token=geheim")
    assert capsys.readouterr().err.endswith("path=/files/a.txt\n")


def test_other_hashes_are_left_as_they_are(capsys):
    log.set_up("debug")
    log.debug("x", sha256=64 * "a", service="e8684237", endpoint="[fe80::1%eth0]:7684")
    assert f"sha256={64 * 'a'} service=e8684237 endpoint=[fe80::1%eth0]:7684" in capsys.readouterr().err


def test_a_long_text_costs_as_much_as_it_is_long():
    """What is looked for in it is found in one pass, whatever a peer has put there."""

    def cost(text: str) -> float:
        record = logging.LogRecord("hardline", logging.INFO, "", 0, "x", (), None)
        record.fields = {"reason": text}
        began = time.process_time()
        log._Text().format(record)
        return time.process_time() - began

    for piece in ("a", "a-", "0", "http", "://", "@", "http://a", "?"):
        short, long = (piece * (size // len(piece)) for size in (20_000, 200_000))
        assert cost(long) < 100 * max(min(cost(short) for _ in range(3)), 0.0005)
