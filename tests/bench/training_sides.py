"""Our side of the training bench, and what both sides are given and give back.

Both get the same rows, base, adapters (same initial values), optimizer, schedule, clipping and number of steps. Time is
that of the optimizer steps: loading, validation and saving are left out on both sides. Tokens are real ones; padding
counts for nothing.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from lib.errors import TrainingError
from lib.train import render
from lib.train.render import Rendered
from lib.train.settings import TrainSettings
from tests.bench.finished import peak_bytes


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What both sides are given: the first `rows` of `train`, once, in `steps` optimizer steps; results go to `out`."""

    train: Path
    validation: Path
    model: Path
    out: Path
    rows: int
    steps: int
    settings: TrainSettings
    seed: int
    threads: int

    @property
    def rows_a_step(self) -> int:
        """Rows of an optimizer step, where every step but the last has as many."""
        return -(-self.rows // self.steps)


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """What a side did: real tokens and rows trained on, optimizer steps, seconds in them, peak memory."""

    tokens: int
    rows: int
    steps: int
    seconds: float
    peak_bytes: int

    @property
    def rate(self) -> float:
        """Real tokens a second."""
        return self.tokens / self.seconds


def ours(work: Work) -> Ran:
    """lib.train, as the pipeline's training step calls it; the adapter lands in `out`/adapter."""
    from lib.train.fine_tune import fine_tune

    rows = render.load(work.train).head(work.rows)
    render.save(rows, work.out / "rows")
    settings = msgspec.structs.replace(
        work.settings, steps=work.steps, epochs=1.0, evaluate_every=work.steps, save_every=work.steps + 1
    )
    summary = fine_tune(
        train=work.out / "rows", validation=work.validation, model_dir=work.model, adapter_out=work.out / "adapter",
        history_out=work.out / "history.jsonl", settings=settings, seed=work.seed, threads=work.threads,
        work=work.out / "work",
    )  # fmt: skip
    if summary.best_step != summary.steps:
        raise TrainingError("our last step did not improve on the base, so its adapter was not kept: train for longer")
    seen = sum(map(len, our_steps(work, rows)[: summary.steps]))
    return Ran(
        tokens=summary.tokens, rows=seen, steps=summary.steps, seconds=summary.seconds, peak_bytes=peak_bytes()
    )


def our_steps(work: Work, rows: Rendered) -> list[list[int]]:
    """Numbers of the rows that each of our optimizer steps sees."""
    from lib.train.batches import Steps

    settings = work.settings
    steps = Steps(
        rows, block_tokens=settings.block_tokens, blocks_per_step=settings.blocks_per_step, seed=work.seed
    )
    return [[row for block in steps[step] for row in block] for step in range(work.steps)]
