"""Which files are the daemon's own, wherever a shared directory lies and whatever it is reached through."""

from __future__ import annotations

import os

import pytest

from hardline.cache.own import OwnFiles


@pytest.fixture
def node(tmp_path):
    """services/ with a service whose certificate lies elsewhere, data/ with a cache, and what is not the node's."""
    for name in (
        *(
            "services/blog.ini",
            "services/blog.ini.cert",
            "services/blog.ini.cert.private",
            "services/blog.ini.cert.hash",
        ),
        *("services/blog.ini~", "services/old/hash.bak", "services/x-cert.bak"),
        *("services/.blog.ini.1a2b", "services/notes.txt", "data/node.cert.private", "data/routes.db"),
        *("data/cache/photos/a.jpg", "data/cache/other/b.jpg", "keys/nas.pem", "keys/nas.pem.private", "hardline.ini"),
        *("home/a.txt", "services-of-mine/x.ini", "database/y"),
    ):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    (tmp_path / "data/control.sock").touch()
    own = OwnFiles(tmp_path / "services", tmp_path / "data")
    own.also([tmp_path / "keys/nas.pem", tmp_path / "keys/nas.pem.private", tmp_path / "hardline.ini"])
    return tmp_path, own


def is_forbidden(node, root, name):
    tmp_path, own = node
    file = os.path.realpath(tmp_path / name)
    return own.judge(tmp_path / root)(file, os.stat(file))


@pytest.mark.parametrize(
    "name",
    [
        *(
            "services/blog.ini",
            "services/blog.ini.cert",
            "services/blog.ini.cert.private",
            "services/blog.ini.cert.hash",
        ),
        *("services", "services/notes.txt", "services/blog.ini~", "services/old/hash.bak", "services/x-cert.bak"),
        *("services/.blog.ini.1a2b", "data", "data/node.cert.private", "data/control.sock", "data/cache/other/b.jpg"),
        *("keys/nas.pem", "keys/nas.pem.private", "hardline.ini"),
    ],
)
@pytest.mark.parametrize("root", [".", "services", "data", "keys", "data/cache/photos"])
def test_the_daemons_own_files_are_forbidden_whatever_is_shared(node, root, name):
    assert is_forbidden(node, root, name)


@pytest.mark.parametrize("name", ["home", "home/a.txt", "services-of-mine/x.ini", "database/y"])
def test_what_only_lies_near_is_not(node, name):
    assert not is_forbidden(node, ".", name)


def test_a_cache_of_a_service_is_its_own_and_nobody_elses(node):
    assert not is_forbidden(node, "data/cache/photos", "data/cache/photos/a.jpg")
    assert is_forbidden(node, "data/cache/photos", "data/cache/other/b.jpg")
    assert is_forbidden(node, "data/cache", "data/cache/photos/a.jpg")


@pytest.mark.parametrize("name", ["services/blog.ini.cert.private", "data/node.cert.private", "keys/nas.pem.private"])
def test_a_hard_link_to_one_of_them_is_one_of_them(node, name):
    tmp_path, _ = node
    os.link(tmp_path / name, tmp_path / "home/innocent.txt")
    assert is_forbidden(node, "home", "home/innocent.txt")
    assert not is_forbidden(node, "home", "home/a.txt")


def test_where_links_lead_is_what_counts(tmp_path, node):
    os.symlink(tmp_path / "data", tmp_path / "way")
    own = OwnFiles(tmp_path / "services", tmp_path / "way")
    file = os.path.realpath(tmp_path / "data/node.cert.private")
    assert own.judge(tmp_path)(file, os.stat(file))


@pytest.mark.parametrize(
    ("root", "answer"),
    [
        *((".", True), ("services", True), ("data", True), ("data/cache", True), ("data/sub", True)),
        *(("data/cache/photos", False), ("home", False), ("services-of-mine", False), ("new", False)),
    ],
)
def test_no_site_is_cached_over_them(node, root, answer):
    tmp_path, own = node
    assert own.overlaps(tmp_path / root) is answer
