"""Axes of a plot drawn by hand as SVG: from values to pixels, round ticks, a grid with its numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from lib.figures import number
from lib.report.markup import Child, Html, join, tag

Curve = Sequence[tuple[float, float]]

WIDE, HIGH = 560, 260
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 28, 30
_ROUND = (1, 2, 5)


class Axes:
    """From values to pixels; with `log` the upward axis is logarithmic, and its ends are above 0."""

    def __init__(
        self, across: tuple[float, float], up: tuple[float, float], *, log: bool = False, wide: int = WIDE,
        high: int = HIGH,
    ) -> None:  # fmt: skip
        self._scale: Callable[[float], float] = math.log10 if log else float
        self._across, self._up = across, (self._scale(up[0]), self._scale(up[1]))
        self.wide, self.high = wide, high

    def x(self, value: float) -> float:
        """Pixels from the left."""
        low, high = self._across
        return round(LEFT + (value - low) / ((high - low) or 1) * (self.wide - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        """Pixels from the top."""
        low, high = self._up
        part = (self._scale(value) - low) / ((high - low) or 1)
        return round(self.high - BOTTOM - part * (self.high - TOP - BOTTOM), 1)

    def path(self, points: Curve) -> str:
        """The points as one line."""
        return "M" + "L".join(f"{self.x(x):g} {self.y(y):g}" for x, y in points)

    def svg(self, *shown: Child) -> Html:
        """The picture of this size."""
        return tag("svg", shown, class_="plot", viewBox=f"0 0 {self.wide} {self.high}", role="img")


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers that enclose low and high, some `about` of them."""
    span = (high - low) or abs(high) or 1.0
    raw = span / about
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * unit for factor in (1, 2, 2.5, 5, 10) if factor * unit >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, max(last, first + 1) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten that enclose low and high, both above 0; two at least."""
    first, last = math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1
    found = [float(f"{digit}e{power}") for power in range(first, last + 1) for digit in _ROUND]
    start = max(index for index, value in enumerate(found) if value <= low)
    end = min(index for index, value in enumerate(found) if value >= high)
    return found[start : max(end, start + 1) + 1]


def grid(axes: Axes, across: Sequence[float], up: Sequence[float]) -> Html:
    """A line for each tick upwards, and the numbers of both axes."""
    lines = [tag("path", class_="grid", d=f"M{LEFT} {axes.y(value):g}H{axes.wide - RIGHT}") for value in up]
    sides = [
        tag("text", number(value), class_="tick", x=LEFT - 6, y=axes.y(value) + 4, text_anchor="end") for value in up
    ]
    below = [
        tag("text", number(value), class_="tick", x=axes.x(value), y=axes.high - 12, text_anchor="middle")
        for value in across
    ]
    return join(lines, sides, below)


def legend(entries: Sequence[tuple[str, str]]) -> Html:
    """Names on the top line, each behind a dot of its style class: (class, name)."""
    shown, x = [], float(LEFT)
    for kind, name in entries:
        shown += [
            tag("circle", class_=kind, cx=x + 4, cy=6.0, r="3.5"),
            tag("text", name, class_="tick", x=x + 12, y=10),
        ]
        x += 32 + 6.0 * len(name)
    return join(shown)
