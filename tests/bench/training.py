"""How fast we train beside transformers' Trainer: `python -m tests.bench.training`, on the rows of a finished root.

The rival is tried in its reasonable settings for one step each; the fastest of them runs against us three times: random
batches, rows grouped by length, and the rows of our own steps. Goals: at least twice the tokens a second of the
faster of the first two, and a validation loss at most 1 % above that of the run with our steps: which rows come when
is worth a tenth of the loss in so few steps. About fifteen minutes. Figures go to the console and to $BENCH_OUT (else
.bench/training.json).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from lib.errors import DataError
from lib.result import Gate
from lib.train import render
from lib.train.pack import pack
from lib.train.render import Rendered
from lib.train.settings import TrainSettings
from tests.bench.findings import publish
from tests.bench.finished import Finished, apart, finished
from tests.bench.training_rivals import Adapter, Choice, Rival
from tests.bench.training_sides import Ran, Work

RATIO, LOSS = 2.0, 0.01
SAMPLINGS = ("random", "group_by_length", "as_ours")


def common_rows(rendered: Rendered, settings: TrainSettings, steps: int) -> int:
    """The most first rows that fill exactly `steps` of our steps and, as many to a step, `steps` of the rival's.

    An even number of rows a step is wanted, so that the rival can divide it. DataError where there is no such number.
    """
    blocks = steps * settings.blocks_per_step
    for rows in range(min(len(rendered), int(rendered.starts.searchsorted(blocks * settings.block_tokens))), steps, -1):
        a_step = -(-rows // steps)
        if a_step % 2 or -(-rows // a_step) != steps:
            continue
        if len(pack(rendered.lengths[:rows], block_tokens=settings.block_tokens)) == blocks:
            return rows
    raise DataError(f"{len(rendered)} rows cannot be divided into {steps} steps on both sides: take fewer steps")


def candidates(rows_a_step: int, rate: Callable[[Choice], float]) -> list[tuple[Choice, float]]:
    """The rival's settings that were tried, with their rates: precision, attention, rows a pass, and no allocator.

    Rows a pass, a divisor of a step's, go down and up from four or so for as long as that helps.
    """
    tried: dict[Choice, float] = {}

    def best() -> Choice:
        return max(tried, key=lambda choice: tried[choice])

    def better(**changes: Any) -> bool:
        """Whether a change to the best choice makes it faster."""
        base = best()
        choice = msgspec.structs.replace(base, **changes)
        tried[choice] = rate(choice)
        return tried[choice] > tried[base]

    sizes = [size for size in range(1, rows_a_step + 1) if rows_a_step % size == 0]
    middle = next((at for at, size in enumerate(sizes) if size >= 4), len(sizes) - 1)
    first = Choice(precision="autocast", attention="sdpa", micro=sizes[middle])
    tried[first] = rate(first)
    for precision in ("fp32", "bf16"):
        better(precision=precision)
    better(attention="eager")
    for way in (sizes[:middle][::-1], sizes[middle + 1 :]):
        for size in way:
            if not better(micro=size):
                break
    better(keep_memory=False)
    return list(tried.items())


def goals(ours: Ran, rivals: Sequence[Ran], alike: Ran, our_loss: float, rival_loss: float) -> list[Gate]:
    """Against the faster of the rival's own samplings, and the loss of `alike`, which had the rows of our steps.

    That one's speed is told and no goal: which rows share a step is a part of what makes us fast, and it was handed
    over. DataError when the sides did not do the same work.
    """
    for rival in (*rivals, alike):
        for name in ("rows", "tokens", "steps"):
            if getattr(ours, name) != getattr(rival, name):
                raise DataError(f"the sides differ in {name}: {getattr(ours, name)} and {getattr(rival, name)}")
    ratio, excess = ours.rate / max(rival.rate for rival in rivals), our_loss / rival_loss - 1
    return [
        Gate(name="training_speed_ratio", value=ratio, threshold=RATIO, n=ours.tokens, reference="Trainer"),
        Gate(name="training_loss_excess", value=excess, threshold=LOSS, at_least=False, reference="Trainer"),
    ]


def measure(root: Finished, steps: int, folder: Path, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Both sides on the same rows; the figures of the bench."""
    config, base = root.config, root.root / "phase1a"
    rendered = render.load(base / "render/train")
    work = Work(
        train=base / "render/train", validation=base / "render/validation", model=base / "student/model",
        out=folder / "ours", rows=common_rows(rendered, config.train, steps), steps=steps, settings=config.train,
        seed=config.run.seed, threads=config.run.threads,
    )  # fmt: skip
    say(f"{work.rows} rows, {work.steps} steps, {work.rows_a_step} rows a step")
    pilots = _pilots(work, folder, say)
    choice = max(pilots, key=lambda item: item[1])[0]
    runs: dict[str, Ran] = {"ours": _run("training_sides:ours", work, work)}
    for sampling in SAMPLINGS:
        rival = Rival(
            work=msgspec.structs.replace(work, out=folder / sampling),
            choice=msgspec.structs.replace(choice, sampling=sampling),
        )
        runs[rival.choice.name] = _run("training_rivals:trainer", rival, work)
    losses = [_loss(work, folder / name / "adapter") for name in ("ours", *SAMPLINGS)]
    for (name, ran), loss in zip(runs.items(), losses, strict=True):
        say(f"{ran.rate:7.0f} tokens/s, validation loss {loss:.4f}, peak {ran.peak_bytes / 1e9:.1f} GB: {name}")
    ours, *rivals, alike = runs.values()
    return {
        "goals": goals(ours, rivals, alike, losses[0], losses[-1]), "runs": runs,
        "validation_losses": dict(zip(runs, losses, strict=True)),
        "pilot_tokens_per_s": {choice.name: rate for choice, rate in pilots},
    }  # fmt: skip


def _pilots(work: Work, folder: Path, say: Callable[[str], None]) -> list[tuple[Choice, float]]:
    """Every candidate for a step."""
    pilot = msgspec.structs.replace(work, rows=work.rows_a_step, steps=1, out=folder / "pilot")

    def rate(choice: Choice) -> float:
        found = _run("training_rivals:trainer", Rival(work=pilot, choice=choice), work).rate
        say(f"{found:7.0f} tokens/s in a pilot: {choice.name}")
        return found

    return candidates(work.rows_a_step, rate)


def _run(function: str, spec: msgspec.Struct, work: Work) -> Ran:
    return msgspec.convert(apart(f"tests.bench.{function}", spec, threads=work.threads), Ran)


def _loss(work: Work, adapter: Path) -> float:
    judged = Adapter(
        model=work.model, adapter=adapter, validation=work.validation, rows=work.settings.validation_rows,
        threads=work.threads,
    )  # fmt: skip
    return apart("tests.bench.training_rivals:validation_loss", judged, threads=work.threads)


def main(words: Sequence[str] = ()) -> int:
    """1 when a goal is missed."""
    parser = argparse.ArgumentParser(prog="tests.bench.training", description=__doc__)
    parser.add_argument("--steps", type=int, default=24)
    chosen = parser.parse_args(words)
    root = finished("phase1a/render/train", "phase1a/render/validation", "phase1a/student/model")
    with tempfile.TemporaryDirectory() as folder:
        found = measure(root, chosen.steps, Path(folder))
    return publish("training", found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
