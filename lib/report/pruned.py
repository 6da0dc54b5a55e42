"""What pruning did: zeros and errors by method and shape, the stages of the gradual one, how sensitive layers are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lib.figures import number
from lib.report.frontier import Measured
from lib.report.markup import Child, Html, table, tag
from lib.report.plot import Axes, grid, legend, log_ticks, ticks
from lib.report.source import ABSENT, Source, percent

Record = Mapping[str, Any]
DIVERGENCE = ("#KL, nats", "#95 % interval", "#same token", "#perplexity")
"""Headings over what `divergence` shows."""

SHADES = ("s1", "s2", "s3", "s4", "s5", "s6")
_NOTE = (
    "Zeros are of the seven linears of every layer, as they are stored; embedding, head and norms stay dense. The "
    "error is that of a layer's output against the same layer before pruning, relative and squared. A share that was "
    "asked for and not met fails the step, and so does a broken pattern. ✓ and a shape: the closest of its variants to "
    "the parent, of which the files of this shape are made."
)


def variants(found: Mapping[str, tuple[Source, Measured]], best: Mapping[str, Sequence[str]]) -> Html:
    """A row a variant, by name: sparsity as stored, error of a layer's output, divergence from the dense parent.

    `best`: variant -> shapes of which it is the one with the least KL.
    """
    head = (
        "variant", "#zeros", "#by layer", "#of the model", "#broken", "#layer's error", "#largest", *DIVERGENCE, "",
    )  # fmt: skip
    rows = [
        [*_variant(name, source, measured), f"✓ {', '.join(best[name])}" if name in best else ""]
        for name, (source, measured) in found.items()
    ]
    return tag("div", tag("p", _NOTE, class_="intro"), table(head, rows))


def _variant(name: str, source: Source, measured: Measured) -> list[Child]:
    ends = [source.get(key) for key in ("sparsity_least", "sparsity_most")]
    spread = f"{100 * ends[0]:.0f}–{100 * ends[1]:.0f} %" if None not in ends else ABSENT
    return [
        name, source.figure("sparsity", _share), source.link(spread, "sparsity_least"),
        source.figure("sparsity_of_model", percent), source.figure("pattern_violations"),
        *(source.figure(key) for key in ("layer_error_mean", "layer_error_most")), *divergence(measured.divergence),
    ]  # fmt: skip


def _share(value: float) -> str:
    return f"{100 * value:.3f} %"


def divergence(source: Source | None) -> list[Child]:
    """Four cells: how far a folder is from its dense parent; dashes where that was not measured."""
    if source is None:
        return [ABSENT] * 4
    ends = [source.get(key) for key in ("kl_low", "kl_high")]
    spread = f"{ends[0]:.3g} … {ends[1]:.3g}" if None not in ends else ABSENT
    return [
        source.figure("kl_nats"), source.link(spread, "kl_low"), source.figure("top1", percent),
        source.figure("perplexity_ratio", lambda ratio: f"{ratio:.4g}"),
    ]  # fmt: skip


def recovered(learnt: Source, judged: Source | None) -> Html:
    """What the adapter was worth on rows that nobody learnt: a verdict, with the loss's difference and its interval."""
    learning = tag("p", _learnt(learnt), class_="lead")
    if judged is None:
        return learning
    words = "is worth having: adopted" if judged.get("adopted") else "is NOT shown to be worth having: not adopted"
    ends = [judged.get(f"loss_gap_{end}") for end in ("low", "high")]
    spread = f"{ends[0]:+.4f} … {ends[1]:+.4f}" if None not in ends else ABSENT
    said = tag(
        "p", "The adapter ", judged.link(words, "adopted"), ". Loss of the answers ", judged.figure("loss_before_nats"),
        " → ", judged.figure("loss_after_nats"), " nats a token, ",
        judged.figure("loss_gap_nats", lambda gap: f"{gap:+.4f}"), " (", judged.link(spread, "loss_gap_low"), ", n = ",
        judged.figure("n"), "), one seed.", class_="lead",
    )  # fmt: skip
    return tag("div", said, learning)


def _learnt(source: Source) -> list[Child]:
    keys = ("hardest", "candidates", "hardest_loss_nats", "candidate_loss_nats")
    hardest, candidates, high, mean = (source.figure(key) for key in keys)
    return ["Learnt: the ", hardest, " hardest of ", candidates, " rows, loss ", high, " against ", mean, " of all."]


def stages(found: Record, source: Source) -> Html:
    """The gradual schedule: after each stage's zeros, how far recovery brought the model back to its parent."""
    words = ", the one-shot variant of this shape with the least KL. KL in nats, on held-out rows."
    said = tag("p", "Method: ", tag("b", found["method"]), words, class_="intro")
    head = (
        "stage", "#zeros", "#error of a layer", "#KL before recovery", "#after", "#best step", "#of", "#tokens",
        "#zeros filled",
    )  # fmt: skip
    return tag("div", said, table(head, [_stage(at, one, source) for at, one in enumerate(found["stages"], 1)]))


def _stage(at: int, one: Record, source: Source) -> list[Child]:
    back = one["recovered"]
    figures = (
        one["zeros"], one["layer_error"], back["initial_kl_nats"], back["kl_nats"], back["best_step"], back["steps"],
        back["tokens"], one["mask_violations"],
    )  # fmt: skip
    return [str(at), *(source.link(number(value), "stages") for value in figures)]


def sensitivity(curves: Sequence[Record], source: Source) -> Html:
    """The error of each layer pruned alone: one line for each share of zeros, over the layers."""
    shares = curves[0]["shares"]
    rows = [(one["layer"], dict(zip(one["shares"], one["errors"], strict=True))) for one in curves]
    known = [error for _, errors in rows for error in errors.values() if error > 0]
    said = tag(
        "figcaption", "Most sensitive: layer ", source.figure("most_sensitive_layer"), ", of ", source.figure("layers"),
        "; at the largest share it loses ", source.figure("error_ratio"), " times what the least sensitive one does. "
        "Across: the layer. Upwards, logarithmic: the relative squared error of its output when it alone is pruned by "
        "Wanda's score to that share.",
    )  # fmt: skip
    if not known:
        return tag("figure", said)
    across = [at for at in ticks(0, max(layer for layer, _ in rows)) if at.is_integer()]
    up = log_ticks(min(known), max(known))
    axes = Axes((across[0], across[-1]), (up[0], up[-1]), log=True, wide=980, high=340)
    shown = _spread(shares)
    lines = [_line(axes, rows, share, shade) for share, shade in zip(shown, SHADES, strict=False)]
    names = [(shade, percent(share)) for share, shade in zip(shown, SHADES, strict=False)]
    title = tag("title", "error of a layer's output by layer, for several shares of zeros")
    return tag("figure", said, axes.svg(title, grid(axes, across, up), lines, legend(names)))


def _spread(shares: Sequence[float]) -> list[float]:
    """As many shares as there are shades, first and last among them."""
    most = min(len(shares), len(SHADES))
    last = len(shares) - 1
    return [shares[round(at * last / max(1, most - 1))] for at in range(most)]


def _line(axes: Axes, rows: Sequence[tuple[int, Mapping[float, float]]], share: float, shade: str) -> list[Child]:
    points = [(layer, errors[share]) for layer, errors in rows if errors[share] > 0]
    dots = [
        tag("circle", tag("title", f"layer {layer}, {percent(share)}: {error:.3g}"), class_=shade, cx=axes.x(layer),
            cy=axes.y(error), r="2.6")
        for layer, error in points
    ]  # fmt: skip
    return [tag("path", class_=f"line {shade}", d=axes.path(points)) if points else None, dots]
