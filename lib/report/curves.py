"""Learning curves: loss over optimizer steps, drawn by hand as SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lib.figures import number
from lib.report.markup import Child, Html, join, tag
from lib.report.plot import BOTTOM, HIGH, LEFT, TOP, WIDE, Axes, Curve, grid, ticks
from lib.report.source import Source
from lib.report.view import View

_MOST = 400  # points of a line; more than there are pixels say nothing


def figures(view: View, trainings: Mapping[str, str]) -> Html | None:
    """The curves of those `trainings` (name -> step) that have run, side by side; None where none has."""
    drawn = []
    for name, step in trainings.items():
        history, numbers = view.lines(step, "history.jsonl"), view.metrics(step)
        if history is not None and numbers is not None:
            drawn.append(figure(name, history, numbers, view.timings(step) or numbers))
    return tag("div", drawn, class_="pair") if drawn else None


def figure(name: str, history: Sequence[Mapping[str, Any]], source: Source, timings: Source) -> Html:
    """One training: its curve, and in words where it began, where it ended, and how fast it went."""
    loss = [(entry["step"], entry["loss"]) for entry in history if "loss" in entry]
    validation = [(entry["step"], entry["validation_loss"]) for entry in history if "validation_loss" in entry]
    best = source.get("best_step")
    said = tag("figcaption", tag("b", name), " ", _words(source, timings))
    return tag("figure", said, draw(thinned(loss), validation, best), class_="curve")


def _words(source: Source, timings: Source) -> Html:
    parts: list[Child] = [
        "validation loss ", source.figure("initial_validation_loss"), " → ", source.figure("best_validation_loss"),
        " nats a token, best at step ", source.figure("best_step"), " of ", source.figure("steps"), "; ",
        source.figure("tokens"), " tokens",
    ]  # fmt: skip
    if timings.get("tok_per_s") is not None:
        parts += [", ", timings.figure("tok_per_s", lambda rate: f"{rate:,.0f}"), " tokens/s"]
    return join(*parts)


def thinned(points: Curve, most: int = _MOST) -> Curve:
    """At most `most` points: each the mean of its neighbours. The same points where there are no more."""
    if len(points) <= most:
        return points
    size = math.ceil(len(points) / most)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [(group[-1][0], sum(y for _, y in group) / len(group)) for group in groups]


def draw(loss: Curve, validation: Curve, best: float | None) -> Html:
    """Training loss as a line, validation loss as dots on a line, the kept step marked."""
    points = [*loss, *validation]
    if not points:
        return tag("p", "No history yet.", class_="absent")
    last = max(x for x, _ in points) or 1
    across = [value for value in ticks(0, last) if value <= last]
    up = ticks(min(y for _, y in points), max(y for _, y in points))
    axes = Axes((0, last), (up[0], up[-1]))
    shown = [
        tag("title", "training and validation loss over optimizer steps"),
        grid(axes, across, up),
        _marker(axes, best) if best is not None else None,
        tag("path", class_="loss", d=axes.path(loss)) if loss else None,
        tag("path", class_="validation", d=axes.path(validation)) if validation else None,
        [_dot(axes, point) for point in validation],
        _legend(),
    ]
    return axes.svg(*shown)


def _marker(axes: Axes, step: float) -> Html:
    x = axes.x(step)
    line = tag("path", class_="best", d=f"M{x:g} {TOP}V{HIGH - BOTTOM}")
    near = x > WIDE * 0.8
    said = tag("text", "kept", class_="tick kept", x=x - 4 if near else x + 4, y=HIGH - BOTTOM - 6,
               text_anchor="end" if near else "start")  # fmt: skip
    return join(line, said)


def _dot(axes: Axes, point: tuple[float, float]) -> Html:
    x, y = point
    hint = tag("title", f"step {number(x)}: validation loss {y:.4g}")
    return tag("circle", hint, class_="dot", cx=axes.x(x), cy=axes.y(y), r="2.6")


def _legend() -> Html:
    x, y = LEFT, 10
    return join(
        tag("path", class_="loss", d=f"M{x} {y - 4}h18"),
        tag("text", "training", class_="tick", x=x + 23, y=y),
        tag("path", class_="validation", d=f"M{x + 92} {y - 4}h18"),
        tag("circle", class_="dot", cx=x + 101, cy=y - 4, r="2.6"),
        tag("text", "validation", class_="tick", x=x + 115, y=y),
    )
