"""What systemd hears."""

from __future__ import annotations

import socket

import pytest

from hardline.notify import notify


@pytest.mark.parametrize("abstract", [False, True])
def test_the_state_goes_to_the_socket_that_systemd_named(tmp_path, monkeypatch, abstract):
    name = f"@hardline-test-{tmp_path.name}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hearing:
        hearing.bind("\0" + name[1:] if abstract else name)
        hearing.settimeout(100)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        notify(READY="1", STATUS="serving 2 services")
        assert hearing.recv(1000) == b"READY=1\nSTATUS=serving 2 services"


@pytest.mark.parametrize("name", ["", "/nowhere/at/all", "relative"])
def test_nobody_listening_is_no_failure(monkeypatch, name):
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    notify(READY="1")


def test_who_listens_and_does_not_read_stops_nobody(tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hearing:
        hearing.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        for _ in range(1000):  # the kernel keeps ten
            notify(STATUS="still here")
        assert hearing.recv(1000) == b"STATUS=still here"
