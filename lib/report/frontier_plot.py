"""The frontier as a picture: bytes against KL with intervals, whose idea each file was, who is dominated by nobody."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lib.figures import size
from lib.report.frontier import Record
from lib.report.markup import Child, Html, tag
from lib.report.plot import LEFT, RIGHT, Axes, Curve, grid, legend, log_ticks, ticks
from lib.report.source import Source

_WIDE, _HIGH = 980, 400
_LETTER, _LINE = 6.0, 11.0  # pixels of a label
_CLASSES = {"stock": "stock", "ours": "ours"}
_NAMES = [("stock", "llama.cpp's own types"), ("ours", "ours"), ("refused", "refused"), ("ring", "chosen")]
_SAID = (
    "Across: size of the file in MB. Upwards, logarithmic: KL to the parent in nats a position, with 95 % intervals. "
    "The line joins those that nobody dominates. The parent, at KL 0, has no place on this axis."
)


def picture(found: Record, frontier: Source) -> Html:
    """The candidates of the table; those whose KL is 0 stand in the table only, and the plan's sizes in words below."""
    shown = [one for one in found["candidates"] if one["origin"] != "parent" and one["kl"] > 0]
    if not shown:
        return tag("p", "No file differs from its parent: there is nothing to draw.", class_="absent")
    across = ticks(*_ends(one["bytes"] / 1e6 for one in shown))
    least = min(one["low"] if one["low"] > 0 else one["kl"] for one in shown)
    up = log_ticks(least, max(max(one["kl"], one["high"]) for one in shown))
    axes = Axes((across[0], across[-1]), (up[0], up[-1]), log=True, wide=_WIDE, high=_HIGH)
    chosen = {found["choice"]["release"], found["choice"]["mobile"]}
    drawn = [
        tag("title", "size of each file against its divergence from the parent"), grid(axes, across, up),
        tag("path", class_="front", d=_steps(axes, _front(found, shown))),
        [_point(axes, one, one["name"] in chosen, up[0]) for one in shown], _labels(axes, shown), legend(_NAMES),
    ]  # fmt: skip
    planned = tag("figcaption", _SAID, tag("br"), frontier.link(_outside(found, across[0] * 1e6), "plan"))
    return tag("figure", axes.svg(*drawn), planned)


def _ends(values: Iterable[float]) -> tuple[float, float]:
    found = list(values)
    return min(found), max(found)


def _front(found: Record, shown: Sequence[Record]) -> Curve:
    """Not refused, and dominated by nobody who is not; smallest first."""
    usable = {one["name"] for one in shown if not one["refused"]}
    front = [one for one in shown if one["name"] in usable and not usable & set(found["dominated_by"][one["name"]])]
    return [(one["bytes"] / 1e6, one["kl"]) for one in sorted(front, key=lambda one: one["bytes"])]


def _steps(axes: Axes, points: Curve) -> str | None:
    """Level until the next larger file, then down."""
    if not points:
        return None
    corners = [points[0]]
    for (_, before), (x, y) in zip(points, points[1:], strict=False):
        corners += [(x, before), (x, y)]
    return axes.path(corners)


def _point(axes: Axes, one: Record, chosen: bool, floor: float) -> list[Child]:
    x, y = axes.x(one["bytes"] / 1e6), axes.y(one["kl"])
    kind = "refused" if one["refused"] else _CLASSES[one["origin"]]
    words = f"{one['name']}: {size(one['bytes'])}, {one['bits_per_weight']:.2f} bits a weight, KL {one['kl']:.3g}"
    ends = [axes.y(max(value, floor)) for value in (one["low"], one["high"])]
    return [
        tag("path", class_="whisk", d=f"M{x:g} {ends[0]:g}V{ends[1]:g}"),
        tag("circle", class_="ring", cx=x, cy=y, r="9") if chosen else None,
        tag("circle", tag("title", words), class_=kind, cx=x, cy=y, r="4"),
    ]


def _labels(axes: Axes, shown: Sequence[Record]) -> list[Html]:
    """A name beside each point, at the first of four places where it covers no other name."""
    taken: list[tuple[float, float, float, float]] = []
    made = []
    for one in sorted(shown, key=lambda one: one["bytes"]):
        x, y, wide = axes.x(one["bytes"] / 1e6), axes.y(one["kl"]), _LETTER * len(one["name"])
        places = [(x + 7, y - 5), (x + 7, y + 13), (x - 7 - wide, y - 5), (x - 7 - wide, y + 13)]
        inside = [place for place in places if LEFT <= place[0] and place[0] + wide <= axes.wide - RIGHT / 2]
        free = [place for place in inside if not any(_covers((*place, wide, _LINE), other) for other in taken)]
        left, base = (free or inside or places)[0]
        taken.append((left, base, wide, _LINE))
        made.append(tag("text", one["name"], class_="tick", x=round(left, 1), y=round(base, 1)))
    return made


def _covers(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return (
        one[0] < other[0] + other[2]
        and other[0] < one[0] + one[2]
        and one[1] - one[3] < other[1]
        and other[1] - other[3] < one[1]
    )


def _outside(found: Record, least: float) -> str:
    """The plan's sizes as those of a model as large as this one, in words: most lie left of every picture."""
    words = [
        f"{row['name']}: {size(row['bytes_here'])}{'' if row['possible'] else ', impossible as stated'}"
        f"{', left of this picture' if row['bytes_here'] < least else ''}"
        for row in found["plan"]
    ]  # fmt: skip
    return f"The plan's bits a weight at this size. {'; '.join(words)}." if words else ""
