"""The frontier as a picture: bytes against KL, with intervals; stock types, ours, and the plan's sizes as lines.

Equal figures give equal bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lib.compress.frontier import Candidate, pareto
from lib.compress.frontier_plan import PlanRow
from lib.errors import DataError

_MARKS = {"stock": ("o", "#6b7280", "llama.cpp's own types"), "ours": ("D", "#b45309", "ours")}
_REFUSED = "x"
_PLACES = [
    ((4, 4), "left"), ((-4, 4), "right"), ((4, -10), "left"), ((-4, -10), "right"), ((7, -3), "left"),
    ((-7, -3), "right"), ((4, 12), "left"), ((-4, 12), "right"), ((4, -18), "left"), ((-4, -18), "right"),
]  # fmt: skip
"""Where a name may stand: points from its mark, and the side it is aligned to."""


def draw(
    candidates: Sequence[Candidate], plan: Sequence[PlanRow], picture: Path, *, chosen: Sequence[str] = (), title: str
) -> None:
    """Write `picture` (.svg or .png). The parent, at KL 0, is left out of the points: it has no place on a log axis.

    Points with intervals, the Pareto set joined; `chosen` names are circled, refused ones crossed. Planned sizes much
    smaller than every file are named at the left edge instead of stretching the axis.
    """
    shown = [each for each in candidates if each.origin != "parent" and each.kl > 0]
    if not shown:
        raise DataError("There is no measured candidate to draw.")
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with matplotlib.rc_context({"svg.hashsalt": "frontier", "svg.fonttype": "none"}):
        figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
        _points(axes, shown)
        _front(axes, [each for each in shown if not each.refused])
        _chosen(axes, [each for each in shown if each.name in chosen])
        _planned(axes, plan, shown)
        axes.set(title=title, xlabel="size of the file (MB)", ylabel="KL to the parent (nats a position)", yscale="log")
        axes.legend(frameon=False, fontsize=8)
        _names(figure, axes, shown)
        stamp = {"Date": None} if picture.suffix == ".svg" else {"Software": None}
        figure.savefig(picture, metadata=stamp)
        pyplot.close(figure)


def _points(axes: Any, shown: Sequence[Candidate]) -> None:
    for origin, (mark, colour, label) in _MARKS.items():
        of_kind = [each for each in shown if each.origin == origin]
        for refused in (False, True):
            group = [each for each in of_kind if bool(each.refused) is refused]
            if group:
                words = f"{label}, refused" if refused else label
                _bars(axes, group, _REFUSED if refused else mark, colour, words)


def _names(figure: Any, axes: Any, shown: Sequence[Candidate]) -> None:
    """Each name beside its point, at the first of `_PLACES` that is inside, on no other name and on no point."""
    from matplotlib.transforms import Bbox

    figure.draw_without_rendering()  # places are known only when all else is laid out
    points = [axes.transData.transform((each.bytes / 1e6, each.kl)) for each in shown]
    taken = [Bbox.from_extents(x - 3, y - 3, x + 3, y + 3) for x, y in points]
    for each, own in zip(shown, list(taken), strict=True):
        written = axes.annotate(
            each.name, (each.bytes / 1e6, each.kl), xytext=_PLACES[0][0], textcoords="offset points", fontsize=7
        )
        written.set_in_layout(False)
        others = [box for box in taken if box is not own]
        for offset, side in _PLACES:
            written.xyann = offset
            written.set_horizontalalignment(side)
            box = written.get_window_extent()
            inside = axes.bbox.x0 < box.x0 and box.x1 < axes.bbox.x1
            if inside and not any(box.overlaps(other) for other in others):
                break
        taken.append(written.get_window_extent())


def _bars(axes: Any, group: Sequence[Candidate], mark: str, colour: str, label: str) -> None:
    below = [max(each.kl - each.low, 0.0) for each in group]
    above = [max(each.high - each.kl, 0.0) for each in group]
    sizes = [each.bytes / 1e6 for each in group]
    axes.errorbar(
        sizes, [each.kl for each in group], yerr=[below, above], fmt=mark, color=colour, label=label, markersize=5,
        capsize=2, linewidth=1,
    )  # fmt: skip


def _front(axes: Any, shown: Sequence[Candidate]) -> None:
    front = pareto(shown)
    axes.step(
        [e.bytes / 1e6 for e in front], [e.kl for e in front], where="post", color="#9ca3af", linewidth=1, zorder=0
    )


def _chosen(axes: Any, found: Sequence[Candidate]) -> None:
    if found:
        sizes, divergences = [each.bytes / 1e6 for each in found], [each.kl for each in found]
        axes.scatter(sizes, divergences, s=140, facecolors="none", edgecolors="#047857", label="chosen")


def _planned(axes: Any, plan: Sequence[PlanRow], shown: Sequence[Candidate]) -> None:
    smallest = min(each.bytes for each in shown)
    outside = [row for row in plan if row.bytes_here < 0.7 * smallest]
    for row in plan:
        if row not in outside:
            axes.axvline(row.bytes_here / 1e6, color="#b91c1c", linestyle=":", linewidth=1, label=_label(row))
    words = "\n".join(f"◂ {row.bytes_here / 1e6:.0f} MB: {_label(row)}" for row in outside)
    axes.text(0.01, 0.02, words, transform=axes.transAxes, fontsize=7, color="#b91c1c", va="bottom")


def _label(row: PlanRow) -> str:
    judged = "" if row.possible else ", impossible"
    return f"plan: {row.name}, {row.bits_per_weight:.2f} bits a weight{judged}"
