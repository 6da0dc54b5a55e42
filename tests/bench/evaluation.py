"""How fast we evaluate beside transformers' `generate`: `python -m tests.bench.evaluation`, on a finished root.

The rival is tried in both precisions and several batch sizes on a few rows; the fastest setting is asked the same test
rows as ours, by the same harness. Goals: at least twice its generated tokens a second, at most 1 % of the verdicts
different, and the difference not significant (McNemar). What rounding alone does is measured beside it: the rival
against itself with another batch size, and both sides in fp32 on fewer rows. llama.cpp answers fewer rows, too.
Figures go to the console and to $BENCH_OUT (else .bench/evaluation.json).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from lib.errors import DataError
from lib.evaluate.results import ResultRow, read_results
from lib.evaluate.settings import EvaluateSettings
from lib.evaluate.stats import mcnemar
from lib.result import Gate
from tests.bench.evaluation_sides import Asked, Exam
from tests.bench.findings import publish
from tests.bench.finished import Finished, apart, finished

RATIO, DIFFERENT, SIGNIFICANT = 2.0, 0.01, 0.05
BATCHES = (4, 8, 16, 32, 64)
DTYPES = ("bfloat16", "float32")
PILOT_ROWS, FILE_ROWS = 64, 96


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """Two sides' answers to the same rows: how many texts and verdicts differ, and McNemar's p of the passes."""

    n: int
    texts: int
    verdicts: int
    p: float
    passed: tuple[int, int]


def agreement(ours: Sequence[ResultRow], theirs: Sequence[ResultRow]) -> Agreement:
    """Compare row by row; DataError when the rows are not the same, or some could not be judged."""
    if [row.id for row in ours] != [row.id for row in theirs] or not ours:
        raise DataError(f"the sides answered different rows ({len(ours)} and {len(theirs)})")
    if unseen := sum(not row.counted for row in (*ours, *theirs)):
        raise DataError(f"{unseen} answers were not evaluated: verdicts cannot be compared without the jail")
    pairs = list(zip(ours, theirs, strict=True))
    before, after = [row.passed for row in theirs], [row.passed for row in ours]
    return Agreement(
        n=len(pairs), texts=sum(one.text != other.text for one, other in pairs),
        verdicts=sum(one.outcome != other.outcome for one, other in pairs), p=mcnemar(before, after),
        passed=(sum(after), sum(before)),
    )  # fmt: skip


def goals(ours: Asked, rival: Asked, found: Agreement) -> list[Gate]:
    """The three goals."""
    ratio = ours.rate / rival.rate
    share = found.verdicts / found.n
    return [
        Gate(name="evaluation_speed_ratio", value=ratio, threshold=RATIO, n=ours.rows),
        Gate(name="evaluation_verdicts_different", value=share, threshold=DIFFERENT, at_least=False, n=found.n),
        Gate(name="evaluation_mcnemar_p", value=found.p, threshold=SIGNIFICANT, n=found.n),
    ]


def part(settings: EvaluateSettings, rows: int) -> EvaluateSettings:
    """The settings with about `rows` rows in all, domains in the profile's proportions, at least one each."""
    total = sum(settings.rows.values())
    counts = {domain: max(1, round(count * rows / total)) for domain, count in settings.rows.items()}
    return msgspec.structs.replace(settings, rows=counts)


def fastest(exam: Exam, rate: Callable[[Exam], float]) -> tuple[Exam, dict[str, float]]:
    """The rival's best precision, then its best batch size; and everything that was tried."""
    tried: dict[str, tuple[float, Exam]] = {}

    def best(exams: Sequence[Exam]) -> Exam:
        for each in exams:
            if each.name not in tried:
                tried[each.name] = (rate(each), each)
        return max((tried[each.name] for each in exams), key=lambda item: item[0])[1]

    found = best([msgspec.structs.replace(exam, dtype=dtype) for dtype in DTYPES])
    found = best([msgspec.structs.replace(found, batch=batch) for batch in BATCHES])
    return found, {name: speed for name, (speed, _) in tried.items()}


def measure(root: Finished, rows: int, folder: Path, say: Callable[[str], None] = print) -> dict[str, Any]:
    """All sides on the same rows; the figures of the bench."""
    base, ours = root.root / "phase1a", _exam(root, rows, folder)
    rival = msgspec.structs.replace(ours, kind="generate", out=folder / "generate")
    pilot = msgspec.structs.replace(rival, most=PILOT_ROWS)

    def rate(exam: Exam) -> float:
        found = _run("pace", exam).rate
        say(f"pilot   {found:7.0f} tokens/s  {exam.name}")
        return found

    best, pilots = fastest(pilot, rate)
    sides = {"ours": ours, "generate": msgspec.structs.replace(best, most=ours.most), **_rounding(ours, best, folder)}
    for kind, name in (("ours", "q8_0"), ("one by one", "q8_0"), ("one by one", "f16")):
        file = base / f"gguf/tuned/model-{name}.gguf"
        out, most = folder / f"{kind}-{name}", min(ours.most, FILE_ROWS)
        sides[f"{kind} {name}"] = msgspec.structs.replace(ours, kind=kind, model=file, out=out, most=most)
    took = {}
    for name, exam in sides.items():
        took[name] = _run("ask", exam)
        say(f"        {took[name].rate:7.0f} tokens/s  {took[name].rows} rows  {exam.name}")
    answers = {name: read_results(exam.out / "results.jsonl").rows for name, exam in sides.items()}
    found = agreements(answers)
    for name, one in found.items():
        say(f"        {one.verdicts} verdicts and {one.texts} texts of {one.n} differ: {name}")
    return {
        "goals": goals(took["ours"], took["generate"], found["ours, generate"]), "sides": took, "pilots": pilots,
        "agreements": found, "generate_settings": best.name,
    }  # fmt: skip


def agreements(answers: Mapping[str, Sequence[ResultRow]]) -> dict[str, Agreement]:
    """Every side against ours, but the rival again against itself, and fp32 against fp32; over the rows both have."""
    against = {"generate again": "generate", "generate fp32": "ours fp32"}
    found = {}
    for name, rows in answers.items():
        if name != "ours":
            other = against.get(name, "ours")
            found[f"{other}, {name}"] = agreement(answers[other][: len(rows)], rows)
    return found


def _rounding(ours: Exam, rival: Exam, folder: Path) -> dict[str, Exam]:
    """The rival with twice the rows in a batch; and both sides in fp32, on fewer rows."""
    few, engine = min(ours.most, FILE_ROWS), msgspec.structs.replace(ours.settings.engine, dtype="float32")
    exact = msgspec.structs.replace(ours.settings, engine=engine)
    return {
        "generate again": msgspec.structs.replace(rival, most=ours.most, batch=2 * rival.batch, out=folder / "again"),
        "ours fp32": msgspec.structs.replace(ours, most=few, settings=exact, out=folder / "ours-fp32"),
        "generate fp32": msgspec.structs.replace(rival, most=few, dtype="float32", out=folder / "generate-fp32"),
    }


def _exam(root: Finished, rows: int, folder: Path) -> Exam:
    config, base = root.config, root.root / "phase1a"
    return Exam(
        kind="ours", model=base / "merge/tuned/model", tokenizer=base / "student/model", most=rows,
        rows=root.root / "phase0/split/test.jsonl", settings=part(config.evaluate, rows), jail=config.jail,
        code=config.sources.code, cache=root.cache, seed=config.run.seed, threads=config.run.threads,
        out=folder / "ours",
    )  # fmt: skip


def _run(function: str, exam: Exam) -> Asked:
    return msgspec.convert(apart(f"tests.bench.evaluation_sides:{function}", exam, threads=exam.threads), Asked)


def main(words: Sequence[str] = ()) -> int:
    """1 when a goal is missed."""
    parser = argparse.ArgumentParser(prog="tests.bench.evaluation", description=__doc__)
    parser.add_argument("--rows", type=int, default=520)
    chosen = parser.parse_args(words)
    root = finished("phase1a/merge/tuned/model", "phase1a/student/model", "phase1a/gguf/tuned", "phase0/split")
    with tempfile.TemporaryDirectory() as folder:
        found = measure(root, chosen.rows, Path(folder))
    return publish("evaluation", found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
