"""Phase 2, measuring: how far each candidate is from the parent, who gets to the final, and who is on the frontier."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from lib.compress.gguf_settings import Calibration, FrontierSettings, Origin
from lib.compress.settings import SpeedSettings
from lib.data.settings import CodeSettings
from lib.evaluate.jail.settings import JailSettings
from lib.evaluate.settings import EvaluateSettings
from lib.result import Number, Result
from tasks import phase1a_base_training

if TYPE_CHECKING:
    from lib.compress.frontier_variants import Files


def divergence(
    *, f16: Path, gguf: Path, rows: Path, tokenizer: Path, divergence: Path, work: Path, text: Calibration,
    resamples: int, speed: SpeedSettings, threads: int, seed: int,
) -> Result:  # fmt: skip
    """A GGUF file against the parent's f16 file on held-out text; and what it takes to run, in a process of its own."""
    from lib.compress import frontier_speed, frontier_variants

    metrics, gates = frontier_variants.divergence(
        f16=f16, gguf=gguf, rows=rows, tokenizer=tokenizer, out=divergence, text=text, resamples=resamples,
        seed=seed, threads=threads,
    )  # fmt: skip
    took = frontier_speed.speed(gguf, prompt=speed.prompt, new=speed.new, threads=threads, work=work)
    metrics["size_bytes"] = gguf.stat().st_size
    return Result(metrics=metrics, timings=took.timings("file_"), gates=gates)


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


def final(
    *, ggufs: list[Path], types: list[Path], divergences: list[Path], grid: Path, parent: Path, earlier: list[Path],
    finals: list[Path], named: Path, gguf: Path, names: list[str], origins: list[Origin], settings: FrontierSettings,
    seed: int,
) -> Result:  # fmt: skip
    """Pick who is worth verifying after those before, and put its file where the evaluation looks."""
    from lib.compress import frontier_variants

    metrics, gates = frontier_variants.final(
        files=_files(names, origins, ggufs, types, divergences), grid=grid, parent=parent, earlier=earlier,
        results=finals, named=named, place=gguf, settings=settings, seed=seed,
    )  # fmt: skip
    return Result(metrics=metrics, gates=gates)


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


def frontier(
    *, ggufs: list[Path], types: list[Path], divergences: list[Path], grid: Path, student: Path, parent: Path,
    whole: Path, named: list[Path], finals: list[Path], table: Path, picture: Path, names: list[str],
    origins: list[Origin], settings: FrontierSettings, seed: int,
) -> Result:  # fmt: skip
    """All candidates by size and divergence, what the plan promised beside them, and what the release takes.

    `student`, `parent` and `finals` are judged answers; `whole` the types of the parent's file.
    """
    from lib.compress import frontier_variants
    from lib.compress.gguf_variants import read_types

    metrics, gates = frontier_variants.frontier(
        files=_files(names, origins, ggufs, types, divergences), grid=grid, parent=parent, named=named, results=finals,
        table=table, picture=picture, settings=settings, seed=seed,
        parameters=sum(tensor.parameters for tensor in read_types(whole).tensors),
    )  # fmt: skip
    return Result(metrics={**metrics, **_finalists(student, parent, finals, settings, seed)}, gates=gates)


def _finalists(
    student: Path, parent: Path, finals: list[Path], settings: FrontierSettings, seed: int
) -> dict[str, Number]:
    """Each finalist's accuracy, the share of the parent's that it keeps, and of the parent's gain over the student."""
    from lib.compress.frontier_accuracy import accuracy
    from lib.evaluate.compare import kept_gain
    from lib.evaluate.results import read_results

    metrics: dict[str, Number] = {}
    before, after = read_results(student), read_results(parent)
    for at, path in enumerate(finals):
        answers = read_results(path)
        found = accuracy(str(at), after, answers, seed=seed, resamples=settings.resamples)
        gain = kept_gain(before, after, answers, seed=seed)
        metrics |= {f"final_{at}_acc": _number(found.value), f"final_{at}_kept": _number(found.kept.value)}
        metrics |= {f"final_{at}_kept_low": found.kept.low, f"final_{at}_kept_high": _number(found.kept.high)}
        metrics |= {f"final_{at}_n": found.kept.n, f"final_{at}_kept_gain": gain.value if gain else None}
    return metrics


def _number(value: float) -> float | None:
    """JSON knows no NaN and no infinity: a share of nothing has no value."""
    return value if abs(value) < float("inf") else None


def _files(
    names: list[str], origins: list[Origin], ggufs: list[Path], types: list[Path], divergences: list[Path]
) -> list[Files]:
    from lib.compress.frontier_variants import Files

    return [
        Files(name=name, origin=origin, gguf=gguf, types=kinds, divergence=found)
        for name, origin, gguf, kinds, found in zip(names, origins, ggufs, types, divergences, strict=True)
    ]
