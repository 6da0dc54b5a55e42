"""What each compressed file takes and how far it is from its parent; the original plan's files beside them.

Records are those of the table that lib.compress.frontier_variants writes; a NaN or infinity in it is None here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from lib.figures import counted, number, size
from lib.report.markup import Child, Html, join, table, tag
from lib.report.source import ABSENT, Source, percent

Record = Mapping[str, Any]


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What other steps know of a candidate: its divergence, and what it takes to run."""

    divergence: Source | None = None
    run: Source | None = None


def candidates(found: Record, frontier: Source, measured: Mapping[str, Measured]) -> Html:
    """Every file that was measured, smallest first; refused ones with the reason."""
    head = (
        "file", "#bytes", "#bits a weight", "#KL, nats", "#95 % interval", "#same token", "#perplexity ratio",
        "#answers kept", "#memory", "#tokens/s, reading", "#writing", "dominated by", "",
    )  # fmt: skip
    kept = {one["name"]: one["kept"] for one in found["accuracies"]}
    rows = [
        [*_size(one, frontier), *_divergence(measured.get(one["name"], Measured())), _share(kept, one, frontier),
         *_run(measured.get(one["name"], Measured())), _above(found, one), _mark(found, one)]
        for one in sorted(found["candidates"], key=lambda one: (one["bytes"], one["name"]))
    ]  # fmt: skip
    return join(table(head, rows), _refusals(found))


def _refusals(found: Record) -> Html | None:
    """Why those that were refused were, each reason once."""
    reasons: dict[str, list[str]] = {}
    for one in found["candidates"]:
        if one["refused"]:
            reasons.setdefault(one["refused"], []).append(one["name"])
    lines = [tag("li", tag("b", ", ".join(names)), f": {reason}") for reason, names in reasons.items()]
    return tag("div", tag("p", "Refused, whatever their figures:"), tag("ul", lines)) if lines else None


def _size(one: Record, frontier: Source) -> list[Child]:
    return [
        one["name"], frontier.link(number(one["bytes"]), "bytes"),
        frontier.link(f"{one['bits_per_weight']:.2f}", "bits_per_weight"), frontier.link(f"{one['kl']:.3g}", "kl"),
        frontier.link(f"{one['low']:.3g} … {one['high']:.3g}", "kl"),
    ]  # fmt: skip


def _divergence(found: Measured) -> list[Child]:
    source = found.divergence
    if source is None:
        return [ABSENT, ABSENT]
    return [source.figure("top1", percent), source.figure("perplexity_ratio", lambda ratio: f"{ratio:.4f}")]


def _share(kept: Mapping[str, Record], one: Record, frontier: Source) -> Child:
    """Only finalists were asked."""
    rate = kept.get(one["name"])
    return ABSENT if rate is None or rate["value"] is None else frontier.link(percent(rate["value"]), "accuracies")


def _run(found: Measured) -> list[Child]:
    keys = {"file_peak_rss_bytes": size, "file_prefill_tok_per_s": _rate, "file_decode_tok_per_s": _rate}
    return [ABSENT if found.run is None else found.run.figure(key, show) for key, show in keys.items()]


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _above(found: Record, one: Record) -> Child:
    names = found["dominated_by"][one["name"]]
    return ", ".join(names[:2]) + (f" and {counted(len(names) - 2, 'other')}" if len(names) > 2 else "") or "none"


def _mark(found: Record, one: Record) -> Html:
    choice, marks = found["choice"], []
    if one["name"] in (choice["release"], choice["mobile"]):
        words = [word for word in ("release", "mobile") if one["name"] == choice[word]]
        marks.append(tag("span", f"✓ {' and '.join(words)}", class_="good"))
    if one["refused"]:
        marks.append(tag("span", "✕ refused", class_="bad"))
    return join(*marks, None if marks else {"parent": "the parent", "ours": "ours"}.get(one["origin"], ""))


def plan(rows: Sequence[Record], frontier: Source) -> Html:
    """The original plan's files: the arithmetic, and what a model of this size would weigh at the same bits."""
    head = ("planned file", "#bits a weight", "#bytes here at those", "can it be", "arithmetic")
    return table(head, [_planned(row, frontier) for row in rows])


def _planned(row: Record, frontier: Source) -> list[Child]:
    possible = tag("span", "possible") if row["possible"] else tag("span", "∅ impossible as stated", class_="bad")
    below = "; nothing measured here has as few bits" if row["below_all"] else ""
    return [
        row["name"], frontier.link(f"{row['bits_per_weight']:.2f}", "plan"),
        frontier.link(number(row["bytes_here"]), "plan"), possible, tag("small", f"{row['arithmetic']}{below}"),
    ]  # fmt: skip
