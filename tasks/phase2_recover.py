"""Phase 2, recovery: an adapter learns what the compressed model finds hardest, and is held against going without."""

from __future__ import annotations

from pathlib import Path

import msgspec

from lib.compress.prune_settings import RecoverSettings
from lib.data import jsonl
from lib.data.rows import Row
from lib.result import Number, Result
from lib.train.settings import TrainSettings


def decode(*, gguf: Path, like: Path, model: Path, name: str) -> Result:
    """The weights that a compressed file really holds, as a folder that can be trained on."""
    from lib.compress.dequantise import dequantise

    return Result(metrics=dequantise(gguf, like, model, name))


def learn(
    *, model: Path, rows: Path, judged: Path, held_out: Path, adapter: Path, history: Path, curve: Path, learnt: Path,
    work: Path, settings: RecoverSettings, train: TrainSettings, threads: int, seed: int,
) -> Result:  # fmt: skip
    """Train an adapter on the rows that the compressed model finds hardest, until the held-out loss rises."""
    from lib.compress import prune_recover
    from lib.compress.calibrate_rows import overlap_gate
    from lib.train import render
    from lib.train.curve import plot

    metrics, timings = prune_recover.learn(
        model=model, rows=rows, held_out=held_out, adapter=adapter, history=history, work=work, settings=settings,
        train=train, seed=seed, threads=threads,
    )  # fmt: skip
    plot(history, curve, title="recovery on the hardest rows")
    ids = sorted(render.load(work / "hardest").ids)
    learnt.write_bytes(msgspec.json.encode(ids) + b"\n")
    gate = overlap_gate(ids, (row.id for row in jsonl.read(judged, Row)))
    return Result(metrics=metrics, timings=timings, gates=[gate])


def separate(*, model: Path, adapter: Path, gguf: Path, name: str) -> Result:
    """The adapter as a GGUF file of its own: the compressed file stays as it is."""
    from lib.model.gguf_lora import export_adapter

    return Result(metrics=export_adapter(adapter, model, gguf, name, "f16"))


def merged(*, model: Path, adapter: Path, recovered: Path) -> Result:
    """The adapter in the weights that are left; the zeros must stay zeros."""
    from lib.compress import prune_recover

    return Result(metrics={}, gates=prune_recover.merged(model=model, adapter=adapter, out=recovered))


def judge(
    *, model: Path, adapter: Path, rows: Path, work: Path, settings: RecoverSettings, train: TrainSettings,
    resamples: int, threads: int, seed: int,
) -> Result:  # fmt: skip
    """Loss of the answers to rows nobody learnt, with the adapter and without, row by row; a verdict."""
    from lib.compress.recover_worth import worth
    from lib.model.chat import Chat
    from lib.train import render
    from lib.train.mix import evenly

    asked = evenly(jsonl.read(rows, Row), settings.train.validation_rows, seed)
    rendered, _ = render.render(asked, Chat.load(model), max_tokens=train.max_tokens)
    found = worth(
        model, adapter, rendered, work=work, hold=settings.hold, train=train, resamples=resamples, seed=seed,
        threads=threads,
    )  # fmt: skip
    metrics: dict[str, Number] = {**found.metrics(), "adopted": int(found.gap.high < 0)}
    return Result(metrics=metrics)
