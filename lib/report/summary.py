"""What a person reads when `doit` has finished: steps with times and sizes, accuracies, answers before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from lib.figures import duration, size
from lib.report import distilled
from lib.report.verdict import sentence

Metrics = Mapping[str, Any]
WIDEST_ANSWER = 160


def accuracy_table(models: Mapping[str, Metrics]) -> Table:
    """Accuracy of each model overall and by domain, with n and the 95 % interval, from their evaluation metrics."""
    table = Table(title="Verified accuracy on held-out test rows", title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    for name in models:
        table.add_column(name, justify="right")
    table.add_column("n", justify="right")
    some = next(iter(models.values()))
    for suffix in ["", *sorted(key[2:] for key in some if key.startswith("n_"))]:
        tail = f"_{suffix}" if suffix else ""
        cells = [_rate(metrics, tail) for metrics in models.values()]
        table.add_row(suffix or "overall", *cells, str(some[f"n{tail}"]))
    return table


def _rate(metrics: Metrics, tail: str) -> str:
    value = metrics.get(f"acc{tail}")
    if value is None:
        return "not evaluated"
    return f"{100 * value:.1f} % ({100 * metrics[f'acc_low{tail}']:.1f}–{100 * metrics[f'acc_high{tail}']:.1f})"


def verdict(compared: Metrics) -> Text:
    """The claim in one sentence, or that there is none."""
    return Text(sentence(compared))


def steps_table(steps: Sequence[tuple[str, float, int]]) -> Table:
    """Name, seconds and bytes of every step, the sums last."""
    table = Table(title="Steps", title_justify="left", box=None, pad_edge=False)
    table.add_column("step")
    table.add_column("time", justify="right")
    table.add_column("size", justify="right")
    for name, seconds, count in [*steps, ("all", sum(s[1] for s in steps), sum(s[2] for s in steps))]:
        table.add_row(name, duration(seconds), size(count))
    return table


def samples(found: Sequence[Metrics]) -> Group:
    """Answers before and after, one block a row, shortened to a line or two."""
    blocks: list[Text] = [Text("Ten answers, before and after (chosen by rule)", style="bold")] if found else []
    for sample in found:
        block = Text()
        block.append(f"\n[{sample['change']}] {sample['source']}  ", style="bold")
        block.append(_short(sample["question"]))
        for label, key in (("before", "before"), ("after", "after"), ("right", "reference")):
            block.append(f"\n  {label:<7}", style="dim")
            block.append(_short(sample[key]))
        blocks.append(block)
    return Group(*blocks)


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= WIDEST_ANSWER else f"{flat[: WIDEST_ANSWER - 1]}…"


def show(
    steps: Sequence[tuple[str, float, int]],
    models: Mapping[str, Metrics],
    compared: Metrics | None,
    answers: Sequence[Metrics],
    console: Console,
    taught: Metrics | None = None,
    released: str = "",
) -> None:
    """Print everything there is; parts whose steps have not run are left out.

    `taught` is targeted distillation's comparison, `released` what compression says of the chosen files.
    """
    console.print()
    console.print(steps_table(steps))
    if models:
        console.print()
        console.print(accuracy_table(models))
    if compared is not None:
        console.print()
        console.print(verdict(compared))
        if taught is not None:
            console.print(Text(distilled.sentence(taught)))
        if released:
            console.print(Text(released))
        console.print()
        console.print(samples(answers))
