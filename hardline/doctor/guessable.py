"""Whether a password can be guessed, without I/O.

A stranger has about 5 guesses a minute, all strangers together have 60 (docs/SECURITY.md): 30 million in a year.  So
what is among the first of every list, or has few possibilities, is told; the password itself never is.
"""

from __future__ import annotations

ENOUGH = 30e6  # guesses

# The most common ones of published lists, without what is too short anyway.
_WORDS = """
password passwort passw0rd qwertyuiop qwerty123 1q2w3e4r 1qaz2wsx iloveyou sunshine princess football baseball
superman trustno1 welcome1 whatever letmein1 abcd1234 admin123 changeme computer internet starwars michelle
jennifer asdfghjkl zaq12wsx hallo123 schalke04 geheim secret hardline homeassistant raspberry raspberrypi
administrator admin hallo letmein welcome master dragon monkey shadow qwerty
"""
_COMMON = frozenset(_WORDS.split())


def why(password: str, names: tuple[str, ...] = ()) -> str:
    """Why it can be; "" where nothing says so.  `names` are words that everybody would try: title and file."""
    plain = password.lower()
    if plain in _COMMON or plain.strip("0123456789") in _COMMON:
        return "it is a common one"
    if plain in {name.lower() for name in names} or plain.strip("0123456789") in {name.lower() for name in names}:
        return "it is the name"
    if len(set(plain)) <= 2 or plain in _RUNS or plain[::-1] in _RUNS:
        return "it is one sign after the other"
    signs = 10 if password.isdigit() else 26 if password.isalpha() and plain == password else 36
    if signs ** len(password) < ENOUGH:
        return f"{len(password)} sign{'' if len(password) == 1 else 's'}"
    return ""


def _runs() -> frozenset[str]:
    rows = ("01234567890", "abcdefghijklmnopqrstuvwxyz", "qwertyuiop", "qwertzuiop", "asdfghjkl")
    return frozenset(row[at:end] for row in rows for at in range(len(row)) for end in range(at + 3, len(row) + 1))


_RUNS = _runs()
