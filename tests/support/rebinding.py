"""Host headers that no server of this project answers to: a page of the internet can have made a browser send them."""

from __future__ import annotations

DIGITS = "6d54994fa9c0edc0b30f2749118f5e963cad7ed2"

FOREIGN_NAMES = [
    "foo.127.0.0.1",
    "127.1",
    "localhost.evil.com",
    "evil.com",
    "evillocalhost",
    f"{DIGITS}.evil.com",
    f"{DIGITS}.localhost.evil.com",
    DIGITS,
]

NO_HOSTS = [
    "",
    " ",
    "local host",
    " localhost",
    "localhost\t",
    "localhost\n",
    "localhost\x00",
    "user@localhost",
    f"user:pw@{DIGITS}.localhost",
    "localhost/",
    "http://localhost",
    "localhost:x",
    "localhost:-1",
    "localhost:65536",
    "localhost:700900",
    "localhost:70:09",
    "localhost:٧",
    "[::1]:x",
    "[::1]x",
    "[::1",
    "::1]",
    ":7009",
    ".",
    "..",
    "localhost..",
    ".localhost",
    f"a..{DIGITS}.localhost",
    f"{DIGITS}..localhost",
    f"ü.{DIGITS}.localhost",
    f"{DIGITS}。localhost",
    "localhost,localhost",
    "x" * 513 + ".localhost",
]
