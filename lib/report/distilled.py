"""Targeted distillation on the page and the console: who taught, what it was worth, what the model still knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lib.figures import number
from lib.report.markup import Html, join, table, tag
from lib.report.source import ABSENT, Source, interval, percent

NOTHING = "Nothing was judged on both sides, so nothing is claimed of targeted distillation."
KEPT = {
    "targeted": "taught on failures", "second": "the same rows, another seed",
    "targeted_beside_control": "taught on failures, on the control's rows",
    "control": "the control, on rows it was not taught",
}  # fmt: skip
_CLAIMS = (("gain", "over its parent"), ("above_control", "over the control at random"))


def sentence(compared: Mapping[str, Any]) -> str:
    """Verdict, differences and retained answers in one sentence; both verdicts are said whichever way they fall."""
    if not compared.get("judged"):
        return NOTHING
    adopted = "is better and adopted" if compared["adopted"] else "is NOT shown to be better and not adopted"
    beats = "beats" if compared["targeted_beats_control"] else "does NOT beat"
    claims = ", ".join(_claim(compared, key, against) for key, against in _CLAIMS)
    return (
        f"The model taught on its failures {adopted}: {claims}; teaching failures {beats} teaching at random. "
        f"{_failures(compared)}{_retained(compared)}"
    )


def _claim(compared: Mapping[str, Any], key: str, against: str) -> str:
    low, high = (f"{100 * compared[f'{key}_{side}']:+.1f}" for side in ("low", "high"))
    return f"{against} {100 * compared[key]:+.1f} points ({low} … {high}, p = {compared[f'{key}_p']:.2g})"


def _failures(compared: Mapping[str, Any]) -> str:
    before, after, n = (compared[key] for key in ("failures_tuned", "failures_targeted", "judged"))
    return f"Failures on {n} test rows: {before} before, {after} after."


def _retained(compared: Mapping[str, Any]) -> str:
    shown = []
    for key, words in (("targeted", ""), ("second", "the second seed "), ("control", "the control ")):
        value, n = compared.get(f"retained_{key}"), compared.get(f"retained_{key}_n")
        if value is not None:
            ends = interval(compared[f"retained_{key}_low"], compared[f"retained_{key}_high"])
            shown.append(f"{words}{percent(value)} ({ends}, n = {n})")
    return f" Still right of what was right before: {', '.join(shown)}." if shown else ""


def teachers(found: Sequence[Mapping[str, Any]], taught: Source) -> Html:
    """Who taught, under which terms, and how many rows; every count leads to the step that made the rows."""
    if not found:
        return tag("p", "Nothing failed that could be taught.", class_="absent")
    head = ("teacher", "model", "licence", "terms", "#items", "#forward rows", "#reverse rows")
    rows = [
        [one["teacher"], one["model"], one["licence"], _terms(one),
         *(taught.link(number(one[key]), key) for key in ("items", "forward", "reverse"))]
        for one in found
    ]  # fmt: skip
    return table(head, rows)


def _terms(one: Mapping[str, Any]) -> str:
    return f"{one['terms']}; permission: {one['permission']}" if one["permission"] else one["terms"]


def made(taught: Source, drawn: Source | None, tensors: Mapping[str, Source], spent: Html) -> Html:
    """What both sides were trained on: rows by direction, tokens, and dollars."""
    sides = [("failures", taught, tensors.get("targeted")), ("at random", drawn, tensors.get("control"))]
    keys = ("train_forward", "train_reverse", "train_rehearsal", "counterweights", "validation_rows")
    rows = [
        [name, *(source.figure(key) for key in keys),
         rendered.figure("train_tokens") if rendered is not None else ABSENT]
        for name, source, rendered in sides if source is not None
    ]  # fmt: skip
    head = (
        "rows of", "#forward", "#reverse", "#rehearsal", "#of them counterweights", "#validation",
        "#tokens in training rows",
    )  # fmt: skip
    left = tag(
        "p", taught.figure("out_of_reach"), " failures of ", taught.figure("kinds_out_of_reach"),
        " kinds were left out: the model gets next to none of their rows right. ",
        taught.figure("counterweights_missing"), " counterweights were not to be had. Spent on the teacher: ",
        spent, ".",
    )  # fmt: skip
    return join(table(head, rows), left)


def kinds(found: Sequence[Mapping[str, Any]], names: Mapping[str, str], compared: Source) -> Html:
    """Right answers of every model by kind of task, the kind that lost most first."""
    keys = list(found[0]["right"]) if found else []
    rows = [
        [
            one["name"],
            *(compared.link(number(count), "kinds") for count in (one["n"], *(one["right"][key] for key in keys))),
        ]
        for one in found
    ]
    return table(("kind", "#n", *(f"#{names.get(key, key)}" for key in keys)), rows)


def retained(compared: Source) -> Html:
    """Shares of the rows that the parent got right, one row a model."""
    rows = []
    for key, words in KEPT.items():
        low, high = compared.get(f"retained_{key}_low"), compared.get(f"retained_{key}_high")
        if low is not None and high is not None:
            rows.append([
                words, compared.figure(f"retained_{key}", percent),
                compared.link(interval(low, high), f"retained_{key}_low"), compared.figure(f"retained_{key}_n"),
            ])  # fmt: skip
    if not rows:
        return tag("p", "The parent got no sampled row right: there is nothing to retain.", class_="absent")
    return table(("model", "#still right", "#95 % interval", "#n"), rows)


def ledger(lines: Iterable[str]) -> Html:
    """What `doit cost` prints: the ledger counts for all artifact roots together."""
    return tag("pre", "\n".join(lines))
