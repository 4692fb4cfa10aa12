"""From the figures of all rounds to a table that a person reads and a verdict on each target.

Machines drift by 15 % and more between runs, so a ratio is taken within a round, where both did the same work in the
same seconds, and the median of these ratios is what counts.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from measures import Row

Figures = Mapping[str, Mapping[str, Sequence[float | None]]]  # contestant → row → one figure per round


def middle(figures: Figures, contestant: str, key: str) -> float | None:
    """The median over the rounds."""
    values = [value for value in figures.get(contestant, {}).get(key, ()) if value is not None]
    return statistics.median(values) if values else None


def ratio(figures: Figures, key: str, contestant: str, to: str) -> float | None:
    """The median of the ratios of each round."""
    pairs = zip(figures.get(contestant, {}).get(key, ()), figures.get(to, {}).get(key, ()), strict=False)
    ratios = [ours / theirs for ours, theirs in pairs if ours is not None and theirs]
    return statistics.median(ratios) if ratios else None


def verdict(row: Row, figures: Figures, rival: str = "nginx") -> str:
    """PASS, MISS, or nothing where nothing is promised or measured."""
    seen = ratio(figures, row.key, "hardline", rival) if row.judged == "ratio" else None
    if row.judged == "figure":
        seen = middle(figures, "hardline", row.key)
    if seen is None or row.must is None:
        return ""
    reached = seen >= row.must if row.better == "more" else seen <= row.must
    return "PASS" if reached else "MISS"


def render(rows: Sequence[Row], figures: Figures, others: Sequence[str], rival: str = "nginx") -> str:
    """A Markdown table; `others` are the contestants beside hardline and its `rival`."""
    head = ["measure", "unit", "hardline", rival, "ratio", "must", "goal", "", *others]
    lines = [head]
    for row in rows:
        found = ratio(figures, row.key, "hardline", rival)
        cells = [row.title, row.unit]
        cells += [_figure(middle(figures, name, row.key)) for name in ("hardline", rival)]
        cells += ["" if found is None else f"{found:.2f}"]
        cells += [_target(row, row.must), _target(row, row.goal), verdict(row, figures, rival)]
        cells += [_figure(middle(figures, name, row.key)) for name in others]
        if any(cells[number] for number in (2, 3, *range(8, len(cells)))):
            lines.append(cells)
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    text = [
        "| "
        + " | ".join(_pad(cell, width, column) for column, (cell, width) in enumerate(zip(line, widths, strict=True)))
        + " |"
        for line in lines
    ]
    text.insert(
        1, "|" + "|".join("-" * (width + 1) + ("-" if column < 2 else ":") for column, width in enumerate(widths)) + "|"
    )
    return "\n".join(text)


def verdicts(rows: Sequence[Row], figures: Figures, rival: str = "nginx") -> str:
    """One line for each that must be reached."""
    lines, heading = [], ""
    for row in rows:
        heading = heading if row.title.startswith(" ") else row.title
        said = verdict(row, figures, rival)
        if not said:
            continue
        title = row.title.strip()
        name = title if title == heading else f"{heading} – {title}"
        seen = (
            ratio(figures, row.key, "hardline", rival)
            if row.judged == "ratio"
            else middle(figures, "hardline", row.key)
        )
        figure = f"{seen:.2f} ×" if row.judged == "ratio" else f"{_figure(seen)} {row.unit}".rstrip()
        lines.append(f"{said}  {name}: {figure}, must be {_target(row, row.must)}")
    return "\n".join(lines)


def kept(family: str, file: Path) -> str:
    """The verdicts of another kind of measurement, as it was done here last."""
    try:
        last = json.loads(file.read_text())
        lines = [f"{family}, {last['machine']}:", *last["verdicts"]]
    except (OSError, ValueError, LookupError):
        return f"{family}: not measured here yet: make bench BENCH={family}"
    return "\n".join(lines)


# What today's engine must bring: against whom, how that is said, and row → (must, goal or None).
_ENGINES: tuple[tuple[str, str, dict[str, tuple[float, float | None]]], ...] = (
    ("hardline-python", "of that in Python", {"cpu": (0.85, 0.78), "ka1": (0.66, 0.5), "ka32": (1.35, 1.6)}),
    ("hardline-before", "of that before visits at once", {"new": (0.7, None)}),
)


def engines(rows: Sequence[Row], figures: Figures) -> str:
    """One line for each row that says how the engine in C compares with the one in Python, and with what was before."""
    lines = []
    for name, words, wants in _ENGINES:
        for row in rows:
            if (seen := ratio(figures, row.key, "hardline", name)) is None:
                continue
            must, goal = wants.get(row.key, (None, None))
            said, wanted = "    ", ""
            if must is not None:
                sign = "≥" if row.better == "more" else "≤"
                said = "PASS" if (seen >= must if row.better == "more" else seen <= must) else "MISS"
                wanted = f", must be {sign} {must:g} ×" + (f", goal {goal:g}" if goal is not None else "")
            lines.append(f"{said}  {row.title.strip()}: {seen:.2f} × {words}{wanted}")
    return "\n".join(lines)


_MOST_ABOVE = (1.5, 1.25)  # times the floor's processor time: must, goal


def above_the_floor(rows: Sequence[Row], figures: Figures) -> str:
    """Each figure beside what this machine can do without a tunnel; "" where that was not measured.

    Bulk: two processes that do nothing but copy and compute AES-GCM (floor.py).  Requests: the origin without a proxy.
    """
    lines = ["      × what this machine does without a tunnel: of rates, more is better and 1 is hardly reached"]
    for row in rows:
        least = next((name for name in ("floor", "direct") if row.key in figures.get(name, {})), None)
        if least is None or (seen := ratio(figures, row.key, "hardline", least)) is None:
            continue
        said, wanted = "    ", ""
        if row.key == "cpu":
            must, goal = _MOST_ABOVE
            said, wanted = "PASS" if seen <= must else "MISS", f", must be ≤ {must:g}, goal {goal:g}"
        theirs = [(name, ratio(figures, row.key, name, least)) for name in figures if name not in ("hardline", *_LEAST)]
        others = "".join(f", {name} {other:.2f}" for name, other in theirs if other is not None)
        lines.append(f"{said}  {row.title.strip()}: {seen:.2f} × {_LEAST[least]}{wanted}{others}")
    return "\n".join(lines) if len(lines) > 1 else ""


_LEAST = {"floor": "the floor", "direct": "direct"}


def _target(row: Row, value: float | None) -> str:
    if value is None:
        return ""
    return f"{'≥' if row.better == 'more' else '≤'} {value:g}{' ×' if row.judged == 'ratio' else ''}"


def _figure(value: float | None) -> str:
    if value is None:
        return ""
    if isinstance(value, int):
        return str(value)  # what was counted
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 100 else 2 if abs(value) >= 1 else 3
    return f"{value:.{digits}f}"


def _pad(cell: str, width: int, column: int) -> str:
    return cell.ljust(width) if column < 2 else cell.rjust(width)
