"""Phase 2, choosing: who gets to the final, who is on the frontier, and what the release takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lib.compress.gguf_settings import FrontierSettings, Origin
from lib.result import Number, Result

if TYPE_CHECKING:
    from lib.compress.frontier_variants import Files


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
