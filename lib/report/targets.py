"""Targets of an earlier plan beside what was measured; one that contradicts arithmetic is never marked as met."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from lib.figures import counted, number, size
from lib.report.markup import Html, join, table, tag
from lib.report.source import ABSENT, Source, percent

Status = Literal["met", "missed", "impossible", "not comparable", "not measured"]

FEWEST_BITS = 1.0
"""Bits a weight below which no model file is possible: not even the sign of a weight would fit."""

_UNITS: dict[str, Callable[[float], str]] = {
    "count": number,
    "share": percent,
    "small share": lambda value: f"{100 * value:.2f} %",
    "bytes": size,
    "ratio": lambda value: f"{value:.4f}",
    "times": lambda value: f"{value:.2f}×",
    "bits": lambda value: f"{value:.2f} bits a weight",
    "nats": lambda value: f"{value:+.4f} nats",
}
_MARKS = {
    "met": ("✓", "good"),
    "missed": ("✕", "bad"),
    "impossible": ("∅", "bad"),
    "not comparable": ("≠", "muted"),
    "not measured": ("", "muted"),
}


class Measured(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the figure comes from: a step's metric, or the quotient of two of its metrics."""

    step: str
    key: str
    unit: str
    over: str | None = None


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One row: what was planned, which limit counts, and whether it can be.

    `at_least` or `at_most` is the limit in the unit of `measured`. `contradiction` says which arithmetic the target
    breaks. `comparable` says in what the measured thing differs from the planned one, when it does. `bytes` and
    `parameters` of a planned file give its bits a weight.
    """

    row: str
    plan: str
    gate: str = ""
    remark: str = ""
    contradiction: str = ""
    not_comparable: str = ""
    bytes: float | None = None
    parameters: float | None = None
    measured: Measured | None = None
    at_least: float | None = None
    at_most: float | None = None

    @property
    def bits(self) -> float | None:
        """Planned bits a weight."""
        return 8 * self.bytes / self.parameters if self.bytes and self.parameters else None

    @property
    def possible(self) -> bool:
        """False where the plan contradicts itself or leaves a weight less than FEWEST_BITS."""
        return not self.contradiction and (self.bits is None or self.bits >= FEWEST_BITS)


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    source: str
    target: list[Target]


def load(path: Path) -> tuple[str, list[Target]]:
    """What the table is taken from, and its rows."""
    found = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), _File)
    return found.source, found.target


def value(target: Target, sources: Mapping[str, Source]) -> float | None:
    """The measured figure; None when its step has not run or did not measure it."""
    if target.measured is None or (source := sources.get(target.measured.step)) is None:
        return None
    top = source.get(target.measured.key)
    if target.measured.over is None or top is None:
        return top
    below = source.get(target.measured.over)
    return top / below if below else None


def status(target: Target, found: float | None) -> Status:
    """Impossible before anything else: no measurement turns a contradiction into a success."""
    if not target.possible:
        return "impossible"
    if found is None:
        return "not measured"
    if target.not_comparable or (target.at_least is None and target.at_most is None):
        return "not comparable"
    high_enough = target.at_least is None or found >= target.at_least
    low_enough = target.at_most is None or found <= target.at_most
    return "met" if high_enough and low_enough else "missed"


def shown(targets: Sequence[Target], sources: Mapping[str, Source]) -> Html:
    """Targets with a measured figure or a contradiction; the others, of steps that are yet to come, folded away."""
    found = [(target, value(target, sources)) for target in targets]
    now = [pair for pair in found if status(*pair) != "not measured"]
    later = [pair for pair in found if status(*pair) == "not measured"]
    rest = tag("details", tag("summary", f"{counted(len(later), 'target')} not measured yet"), _table(later, sources))
    return join(_table(now, sources) if now else None, rest if later else None)


def _table(found: Sequence[tuple[Target, float | None]], sources: Mapping[str, Source]) -> Html:
    head = ("target", "plan", "passes if", "#measured", "", "remark")
    return table(head, [_row(target, amount, sources) for target, amount in found])


def _row(target: Target, amount: float | None, sources: Mapping[str, Source]) -> list[Html]:
    judged = status(target, amount)
    sign, look = _MARKS[judged]
    words = "impossible as stated" if judged == "impossible" else judged
    return [
        join(target.row), join(target.plan), join(target.gate or ABSENT), _measured(target, amount, sources),
        tag("span", f"{sign} {words}".strip(), class_=look), tag("small", _remark(target)),
    ]  # fmt: skip


def _measured(target: Target, amount: float | None, sources: Mapping[str, Source]) -> Html:
    if target.measured is None or amount is None:
        return join(ABSENT)
    key = f"{target.measured.key}{f' / {target.measured.over}' if target.measured.over else ''}"
    return sources[target.measured.step].link(_UNITS[target.measured.unit](amount), key)


def _remark(target: Target) -> str:
    bits = f"{target.bits:.2f} bits a weight" if target.bits is not None else ""
    return "; ".join(filter(None, [bits, target.contradiction, target.not_comparable, target.remark]))
