"""How far the chance an answer is given can be believed: error and Brier score by map, and two pictures.

Records are those of lib.compress.calibrate; everything shown was judged on answers that no map was fitted on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lib.evaluate.stats import wilson
from lib.figures import number
from lib.report.curves import thinned
from lib.report.markup import Child, Html, join, table, tag
from lib.report.plot import Axes, Curve, grid, legend, ticks
from lib.report.source import ABSENT, Source, percent

Record = Mapping[str, Any]
_WHOLE = ticks(0, 1)


def sentence(numbers: Mapping[str, Any]) -> str:
    """The verdict: error with its interval, and whether the map beats the best temperature."""
    ends = f"{numbers['ece_low']:.4f}–{numbers['ece_high']:.4f}"
    told = f"calibration error {numbers['ece']:.4f} ({ends}, n = {number(numbers['n_judged'])})"
    raw = f"{numbers['raw_ece']:.4f} before"
    gap, low, high = (numbers[f"brier_against_temperature{tail}"] for tail in ("", "_low", "_high"))
    met = "The goal is met" if numbers["goal_met"] else "The goal is NOT met"
    beside = f"Brier score {numbers['brier']:.4f}, {gap:+.4f} beside temperature alone ({low:+.4f} … {high:+.4f})"
    return f"{met}: {told}, {raw}; {beside}."


def nothing(source: Source) -> Html:
    """Said where there were too few answers, or only right or only wrong ones: then there is no map."""
    counts = (source.figure("n"), " judged answers, ", source.figure("passed"), " of them right")
    return tag("p", counts, ": too few, or all alike, to say how sure an answer is. No map was made.", class_="lead")


def lead(source: Source) -> Html:
    """The verdict as a paragraph that leads to its lock."""
    return tag("p", source.link(sentence(source.values), "goal_met"), class_="lead")


def maps(found: Record, source: Source) -> Html:
    """A row a map and score, best on the folds first; on top what the model says as it stands."""
    head = (
        "map", "score", "#Brier on the folds", "#Brier", "#of it reliability", "#resolution", "#error (ECE)",
        "#95 % interval", "#area", "#AUROC", "",
    )  # fmt: skip
    raw = ["as the model says", "", ABSENT, _four(found["raw_brier"], source, "raw_brier"), ABSENT, ABSENT,
           *_rate(found["raw_ece"], source, "raw_ece"), ABSENT, ABSENT, ""]  # fmt: skip
    ordered = sorted(found["candidates"], key=lambda one: one["folds_brier"])
    return table(head, [raw, *(_map(one, source) for one in ordered)])


def _map(one: Record, source: Source) -> list[Child]:
    brier, worth = one["brier"], one["selective"]
    auroc = ABSENT if worth["auroc"] is None else _four(worth["auroc"], source, "auroc")
    return [
        one["method"], " and ".join(one["scores"]), _four(one["folds_brier"], source, "candidates"),
        *(_four(brier[key], source, "candidates") for key in ("score", "reliability", "resolution")),
        *_rate(one["ece"], source, "candidates"), _four(worth["area"], source, "candidates"), auroc,
        tag("span", "✓ chosen", class_="good") if one["chosen"] else "",
    ]  # fmt: skip


def _four(value: float, source: Source, key: str) -> Html:
    return source.link(f"{value:.4f}", key)


def _rate(rate: Record, source: Source, key: str) -> list[Child]:
    return [_four(rate["value"], source, key), source.link(f"{rate['low']:.4f} … {rate['high']:.4f}", key)]


def reliability(found: Record, source: Source) -> Html:
    """Share of right answers over the confidence they were given, with 95 % Wilson intervals."""
    axes = Axes((0, 1), (0, 1), high=300)
    chosen = next(one for one in found["candidates"] if one["chosen"])
    names = [("s1", "as the model says"), ("s3", f"calibrated ({chosen['method']})")]
    drawn = [
        tag("title", "share of right answers over confidence"), grid(axes, _WHOLE, _WHOLE),
        tag("path", class_="front", d=axes.path([(0, 0), (1, 1)])),
        [_bins(axes, found[key], kind) for key, (kind, _) in zip(("raw_bins", "bins"), names, strict=True)],
        legend(names),
    ]  # fmt: skip
    said = tag("figcaption", tag("b", "Reliability"), " of ", source.figure("n_judged"), " answers. Across: confidence."
               " Upwards: share that is right. On the broken line they are the same.")  # fmt: skip
    return tag("figure", said, axes.svg(*drawn), class_="curve")


def _bins(axes: Axes, bins: Sequence[Record], kind: str) -> list[Child]:
    points: Curve = [(one["chance"], one["right"]) for one in bins]
    return [tag("path", class_=f"line {kind}", d=axes.path(points)), [_bin(axes, one, kind) for one in bins]]


def _bin(axes: Axes, one: Record, kind: str) -> Html:
    ends = wilson(round(one["right"] * one["n"]), one["n"])
    x, words = axes.x(one["chance"]), f"{percent(one['right'])} of {one['n']} right at {percent(one['chance'])}"
    whisk = tag("path", class_="whisk", d=f"M{x:g} {axes.y(ends.low):g}V{axes.y(ends.high):g}")
    return join(whisk, tag("circle", tag("title", words), class_=kind, cx=x, cy=axes.y(one["right"]), r="3"))


def selective(found: Record, source: Source) -> Html:
    """Accuracy of the surest answers over the share of answers that are given."""
    axes, n = Axes((0, 1), (0, 1), high=300), len(found["curve"])
    curve = thinned([(at / n, right) for at, right in enumerate(found["curve"], 1)])
    blind: Curve = [(0, found["pass_rate"]), (1, found["pass_rate"])]
    names = [("s3", "surest first"), ("s1", "no order")]
    drawn = [
        tag("title", "share right over the share of answers given"), grid(axes, _WHOLE, _WHOLE),
        tag("path", class_="line s1", d=axes.path(blind)), tag("path", class_="line s3", d=axes.path(curve)),
        legend(names),
    ]  # fmt: skip
    areas = (source.figure(f"selective_{key}", lambda area: f"{area:.3f}") for key in ("area", "best", "blind"))
    area, best, none = areas
    said = tag("figcaption", tag("b", "Selective accuracy"), ". Across: share of the answers that are given, the surest"
               " first. Upwards: share of them that is right. Area ", area, "; of a perfect order ", best,
               ", of none ", none, ".")  # fmt: skip
    return tag("figure", said, axes.svg(*drawn), class_="curve")


def coverage(found: Record, source: Source) -> Html:
    """What is right of the surest answers, and from which confidence on."""
    rows = [
        [percent(share), _percent(right, source, share), _percent(chance, source, share)]
        for share, right, chance in found["accuracy_at"]
    ]
    rows = [[source.link(share, "coverages"), *rest] for share, *rest in rows]
    return table(("answers given", "#of them right", "#from this confidence on"), rows)


def _percent(value: float, source: Source, share: float) -> Html:
    return source.link(percent(value), f"acc_at_coverage_{round(100 * share)}")
