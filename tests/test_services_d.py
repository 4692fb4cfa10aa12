"""The examples that people copy from, and the page that explains them, are right."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from hardline.settings import node, service
from hardline.settings.directory import ServiceDirectory, read_ini
from hardline.settings.local import LocalService
from hardline.settings.service import parse_service

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "services.d").glob("*.ini*"))
EXAMPLES = [each for each in EXAMPLES if each.name.endswith((".ini", ".ini.example"))]

SECTIONS = [
    *(service.ServiceSection, service.InfoSection, service.AccessSection, service.CacheSection),
    *(service.PublicSection, node.RelaySection),
    *(node.NodeSection, node.LanSection, node.SessionSection, node.DialSection, node.DoorSection),
    *(node.DhtSection, node.UpnpSection, node.LogSection),
]


def test_there_is_an_example_of_each_kind():
    settings = {each.name.partition(".")[0]: parse_service(read_ini(each), each.name) for each in EXAMPLES}
    assert settings["example"].target is None
    assert settings["example"].cache.directory == Path("example")
    assert settings["example"].cache.allow_listing is True
    assert settings["web-server"].target == LocalService("tcp", "localhost", 8000)
    assert settings["cached-site"].target == LocalService("tcp", "localhost", 8000)
    assert settings["cached-site"].cache.max_age == 3600
    assert settings["dynamic"].cache.dynamic_content is True
    assert settings["https"].target == LocalService("https", "192.168.1.1", 8443, verify=False)
    assert settings["unix-socket"].target.kind == "unix"
    assert settings["another-host"].target == LocalService("tcp", "192.168.1.10", 8080)
    assert settings["another-host"].listed is False
    assert settings["password"].password == "sesame"
    assert settings["public-port"].public_port == 0


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_offered_when_it_is_copied_into_a_service_directory(example, tmp_path):
    name = example.name.partition(".")[0]
    (tmp_path / f"{name}.ini").write_bytes(example.read_bytes())
    directory = ServiceDirectory(tmp_path)
    directory.load()
    assert directory.problems == {}
    assert directory.services[name].settings.notes == ()
    assert directory.services[name].title != name


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_every_example_teaches_in_lines_that_fit_a_screen(example):
    lines = example.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# ")
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize("section", SECTIONS, ids=lambda cls: cls.__name__)
def test_the_page_of_settings_has_a_row_for_every_key(section):
    page = (ROOT / "docs" / "SETTINGS.md").read_text(encoding="utf-8")
    title = (section.__doc__ or "").partition("]")[0].lstrip("[")
    rows = page.partition(f"### [{title}]\n")[2].partition("\n#")[0]
    documented = [line.split("`")[1] for line in rows.splitlines() if line.startswith("| `")]
    assert documented == [each.metadata["rule"].key or each.name for each in fields(section)]
