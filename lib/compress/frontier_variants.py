"""What the steps of the frontier call: files and settings in; the next finalist, table, picture and choice out."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from lib.compress.frontier import Accuracy, Candidate, Choice, candidate, choose, dominated_by, goals
from lib.compress.frontier_accuracy import accuracy
from lib.compress.frontier_measure import Divergence
from lib.compress.frontier_picture import draw
from lib.compress.frontier_plan import PLAN, PlanRow, judge
from lib.compress.frontier_search import next_finalist
from lib.compress.gguf_settings import FrontierSettings, Origin
from lib.compress.gguf_variants import read_grid, read_types, refusal
from lib.evaluate.results import read_results
from lib.result import Gate, Number

Numbers = tuple[dict[str, Number], list[Gate]]


class Files(msgspec.Struct, frozen=True, kw_only=True):
    """What the steps before left of one candidate: its file, types and divergence, and whose idea it was."""

    name: str
    origin: Origin
    gguf: Path
    types: Path
    divergence: Path


class Frontier(msgspec.Struct, frozen=True, kw_only=True):
    """The table of the report: candidates, who dominates whom, the plan's sizes, the finalists' answers, the choice."""

    candidates: list[Candidate]
    dominated_by: dict[str, list[str]]
    plan: list[PlanRow]
    accuracies: list[Accuracy]
    choice: Choice


def final(
    *, files: Sequence[Files], grid: Path, parent: Path, earlier: Sequence[Path], results: Sequence[Path], named: Path,
    place: Path, settings: FrontierSettings, seed: int,
) -> Numbers:  # fmt: skip
    """Pick the next finalist: its file to `place`, its name to `named`.

    `earlier` are the names of the finalists before it and `results` their judged answers, `parent` the parent's. The
    graph of steps is fixed before anything is measured, so the evaluations read places and not names.
    """
    candidates = {each.name: _candidate(each, grid, settings, seed) for each in files}
    found = _accuracies(parent, dict(zip(map(read_name, earlier), results, strict=True)), settings, seed)
    picked = next_finalist(list(candidates.values()), {each.name: each for each in found}, settings)
    shutil.copyfile(next(each.gguf for each in files if each.name == picked.name), place)
    named.write_bytes(msgspec.json.encode(picked.name) + b"\n")
    return {"candidates": len(candidates), "size_bytes": picked.bytes, "kl_nats": picked.kl}, []


def frontier(
    *, files: Sequence[Files], grid: Path, parent: Path, named: Sequence[Path], results: Sequence[Path], table: Path,
    picture: Path, parameters: int, settings: FrontierSettings, seed: int,
) -> Numbers:  # fmt: skip
    """Everything together: `table` and `picture`, and what the release takes.

    `parent` and `results` are files of judged answers, those in the order of `named`. Sums come from files; a candidate
    that the parent's harness did not see is an error.
    """
    candidates = [_candidate(each, grid, settings, seed) for each in files]
    found = _accuracies(parent, dict(zip(map(read_name, named), results, strict=True)), settings, seed)
    choice = choose(candidates, {each.name: each for each in found}, settings)
    plan = judge(PLAN, candidates, parameters)
    whole = Frontier(
        candidates=candidates, dominated_by=dominated_by(candidates), plan=plan, accuracies=found, choice=choice
    )  # fmt: skip
    table.write_bytes(msgspec.json.format(msgspec.json.encode(whole), indent=1) + b"\n")
    chosen = [name for name in (choice.release, choice.mobile) if name]
    draw(candidates, plan, picture, chosen=chosen, title="Size against divergence from the parent")
    sums = {each.name: _divergence(each) for each in files}
    promised = goals(candidates, sums, choice.release, settings, seed=seed)
    return choice.metrics() | promised | {"plan_possible": sum(row.possible for row in plan)}, []


class _Chosen(msgspec.Struct):
    choice: Choice


def read_choice(path: Path) -> Choice:
    """What `frontier` chose, of its table; the rest of it has no numbers where no answer could be judged."""
    return msgspec.json.decode(path.read_bytes(), type=_Chosen).choice


def read_name(path: Path) -> str:
    """A finalist's name, as `final` wrote it."""
    return msgspec.json.decode(path.read_bytes(), type=str)


def _candidate(files: Files, grid: Path, settings: FrontierSettings, seed: int) -> Candidate:
    types = read_types(files.types)
    return candidate(
        files.name, files.origin, (files.gguf.stat().st_size, types.bits_per_weight), _divergence(files), settings,
        seed=seed, refused=refusal(types, read_grid(grid)),
    )  # fmt: skip


def _divergence(files: Files) -> Divergence:
    return msgspec.json.decode(files.divergence.read_bytes(), type=Divergence)


def _accuracies(
    parent: Path, results: Mapping[str, Path], settings: FrontierSettings, seed: int
) -> list[Accuracy]:  # fmt: skip
    whole = read_results(parent)
    return [
        accuracy(name, whole, read_results(path), seed=seed, resamples=settings.resamples)
        for name, path in results.items()
    ]
