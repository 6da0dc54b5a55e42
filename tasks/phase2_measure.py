"""Phase 2, measuring: how far each candidate is from the parent, and how a finalist answers."""

from __future__ import annotations

from pathlib import Path

import msgspec

from lib.compress.gguf_settings import Calibration
from lib.compress.settings import SpeedSettings
from lib.data.settings import CodeSettings
from lib.evaluate.jail.settings import JailSettings
from lib.evaluate.settings import EvaluateSettings
from lib.result import Result
from tasks import phase1a_base_training


def divergence(
    *, f16: Path, gguf: Path, rows: Path, tokenizer: Path, divergence: Path, work: Path, text: Calibration,
    resamples: int, speed: SpeedSettings, threads: int, seed: int,
) -> Result:  # fmt: skip
    """A GGUF file against the parent's f16 file on held-out text; and what it takes to run, in a process of its own."""
    from lib.compress import frontier_measure, frontier_speed

    metrics = frontier_measure.divergence_of_file(
        f16=f16, gguf=gguf, rows=rows, tokenizer=tokenizer, out=divergence, text=text, resamples=resamples,
        seed=seed, threads=threads,
    )  # fmt: skip
    took = frontier_speed.speed(gguf, prompt=speed.prompt, new=speed.new, threads=threads, work=work)
    metrics["size_bytes"] = gguf.stat().st_size
    return Result(metrics=metrics, timings=took.timings("file_"))


def divergence_of_folder(
    *, parent: Path, model: Path, rows: Path, divergence: Path, text: Calibration, resamples: int, threads: int,
    seed: int,
) -> Result:  # fmt: skip
    """A folder against the parent's folder on the same text, both in fp32 by torch."""
    from lib.compress.frontier_measure import folder_predictor, measure
    from lib.compress.prune_text import calibration_ids

    ids = calibration_ids(rows, parent, text, seed=seed)
    whole, other = (folder_predictor(folder, threads=threads) for folder in (parent, model))
    found = measure(whole, {"candidate": other}, ids)["candidate"]
    divergence.write_bytes(msgspec.json.encode(found) + b"\n")
    return Result(metrics=found.metrics(seed=seed, resamples=resamples))


def evaluate_file(
    *, gguf: Path, like: Path, rows: Path, fixtures: list[Path], results: Path, work: Path, cache: Path, name: str,
    settings: EvaluateSettings, jail: JailSettings, code: CodeSettings, threads: int, seed: int,
) -> Result:  # fmt: skip
    """Ask and judge a file's weights as the parent was asked and judged: de-quantised, by the same engine and rows."""
    from lib.compress.dequantise import dequantise

    dequantise(gguf, like, work / "model", name)
    return phase1a_base_training.evaluate(
        model=work / "model", tokenizer=like, rows=rows, fixtures=fixtures, results=results, work=work, cache=cache,
        settings=settings, jail=jail, code=code, threads=threads, seed=seed, gguf=False,
    )  # fmt: skip
