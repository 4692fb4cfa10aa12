"""[Gateway] and [Gateway:NAME]: what is reachable is named, and a name tells nothing of its label."""

from __future__ import annotations

import pytest

from hardline.errors import ConfigError
from hardline.settings.node import changed_keys, parse_node

pytestmark = pytest.mark.pure

HASH = "ab" * 20


def test_a_gateway_names_its_services():
    settings = parse_node(
        f"[Gateway]\nlisten = 127.0.0.1:7080, [::1]:7080\ndomain = Example.ORG.\n[Gateway:nas]\nlabel = word-{HASH}\n"
        "addresses = 10.0.0.0/8\n",
        "",
    )
    assert [str(at) for at in settings.gateway.listen] == ["127.0.0.1:7080", "[::1]:7080"]
    assert settings.gateway.domain == ("example.org",)
    assert str(settings.named["nas"].label) == f"word-{HASH}"
    assert not settings.named["nas"].mixed
    assert "word" not in repr(settings)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"[Gateway:*]\nlabel = {HASH}", "[Gateway:*] is refused"),
        ("[Gateway:nas]\nlabel = *", "label cannot be used"),
        ("[Gateway:nas]", "has no label"),
        (f"[Gateway:a.b]\nlabel = {HASH}", "is no public name"),
        (f"[Gateway:NAS]\nlabel = {HASH}", "is no public name"),
        (f"[Gateway:{HASH}]\nlabel = {HASH}", "a part of its label"),
        (f"[Gateway:my-word]\nlabel = word-{HASH}", "a part of its label"),
        (f"[Gateway:nas]\nlabel = {HASH}\nusers = anna:secret", "users cannot be used"),
        ("[Gateway]\nlisten = nas:80", "listen is 'nas:80'"),
        ("[Gateway]\nlisten = 127.0.0.1:7009", "port 7009 is used already"),
    ],
)
def test_what_is_refused_at_the_start(text, message):
    with pytest.raises(ConfigError) as caught:
        parse_node(text, "")
    assert message in str(caught.value)
    assert "secret" not in str(caught.value)


def test_what_changed_is_named_without_its_label():
    before = parse_node(f"[Gateway:nas]\nlabel = {HASH}", "")
    assert changed_keys(before, parse_node(f"[Gateway:nas]\nlabel = {'cd' * 20}", "")) == ["[Gateway:nas]"]
