"""Phase 1D, targeted distillation: failures are taught, a control is taught at random, and both are held together."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from lib.data import jsonl
from lib.data.rows import Row
from lib.data.settings import CodeSettings
from lib.data.sources.importable import importable
from lib.evaluate.jail.settings import JailSettings
from lib.evaluate.settings import EngineSettings, EvaluateSettings
from lib.result import Gate, Number, Result
from lib.teach.settings import OfferSettings, PairSettings, TeachSettings
from lib.train.mix import chosen
from lib.train.settings import TrainSettings
from tasks import phase1a_base_training

if TYPE_CHECKING:
    from lib.distil.lessons import Lessons
    from lib.evaluate.compare import Comparison
    from lib.evaluate.results import Results

PURPOSE = "phase1c_targeted_distillation:teach"
"""The name under which the ledger books what is bought; renaming it would lose the step's own experience of costs."""


def teach(
    *, failures: Path, right: Path, sample: Path, fixed: Path, hard: Path, pool: Path, fixtures: list[Path],
    train: Path, validation: Path, teachers: Path, cache: Path, settings: TeachSettings, rows: dict[str, int],
    least_rate: float, few_answers: int, engine: EngineSettings, jail: JailSettings, code: CodeSettings, threads: int,
    seed: int,
) -> Result:  # fmt: skip
    """Have the failures answered, keep what their verifiers accept, and make rows of it; audit the rows."""
    from lib.analyse.export import read_failures
    from lib.critique.settle import Fixed, Hard
    from lib.distil import items
    from lib.distil.answers import asked, believed
    from lib.distil.lessons import lesson_gates, lessons, teacher_gates
    from lib.distil.teachers import write_teachers
    from lib.teach.mixture import audit
    from lib.teach.pairs import rows_of
    from lib.teach.terms import provenance

    failed = items.missed(read_failures(failures), jsonl.read(sample, Row))
    reached, out = items.within_reach(failed, jsonl.read(right, Row), least_rate)
    taken = items.budgeted(reached, rows, seed)
    easy, own, left = items.divided(taken, jsonl.read(fixed, Fixed), jsonl.read(hard, Hard))
    answers, usd = asked(left, settings, purpose=PURPOSE, cache=cache, engine=engine, threads=threads)
    packages = importable([item.row for item in taken], code, fixtures, cache)
    (by_self, by_teacher), counts = believed([(easy, own), (left, answers)], packages, jail, few_answers)
    made: list[Row] = []
    for name, offer, taught in (("self", settings.student, by_self), (settings.use, settings.offer, by_teacher)):
        made += rows_of(taught, provenance(name, offer), settings.pairs) if taught else []
    found = lessons(made, list(jsonl.read(pool, Row)), settings.pairs, few_answers, seed)
    write_teachers(teachers, [*found.train, *found.validation])
    audited = audit(found.train, found.validation, {item.row.id for item in failed})
    metrics: dict[str, Number] = {
        "failures": len(failed), "out_of_reach": sum(out.values()), "kinds_out_of_reach": len(out), "items": len(taken),
        "self_fixed": len(easy), "asked": len(left),
        **{f"answers_{name}": count for name, count in sorted(counts.items())}, **_written(found, train, validation),
    }  # fmt: skip
    gates = [*lesson_gates(audited, settings.pairs), *teacher_gates(audited)]
    return Result(metrics=metrics, timings={"usd": usd}, gates=gates)


def _written(found: Lessons, train: Path, validation: Path) -> dict[str, Number]:
    """Write the rows; count them by what they are for."""
    jsonl.write(train, found.train)
    jsonl.write(validation, found.validation)
    directions = Counter(row.provenance["direction"] for row in found.train)
    return {
        **{f"train_{name}": directions[name] for name in ("forward", "reverse", "rehearsal")},
        "counterweights": found.counterweights, "counterweights_missing": found.missing,
        "train_rows": len(found.train), "validation_rows": len(found.validation),
    }  # fmt: skip


def draw(
    *, taught: list[Path], sample: Path, pool: Path, train: Path, validation: Path, pairs: PairSettings,
    offer: OfferSettings, seed: int,
) -> Result:  # fmt: skip
    """The control's rows: as many of each domain, of items drawn at random, with their references as answers."""
    from lib.distil.control import budget, drawn
    from lib.distil.lessons import as_many, lesson_gates
    from lib.teach.mixture import REHEARSAL, audit
    from lib.teach.terms import provenance

    theirs = [row for path in taught for row in jsonl.read(path, Row)]
    wanted, rehearsed = budget(theirs), sum(row.provenance["direction"] == REHEARSAL for row in theirs)
    rows = list(jsonl.read(sample, Row))
    made = drawn(rows, wanted, provenance("reference", offer), pairs, seed)
    found = as_many(made, list(jsonl.read(pool, Row)), pairs, rehearsed, seed)
    got = budget([*found.train, *found.validation])
    missing = sum(abs(wanted[domain] - got[domain]) for domain in wanted | got)
    equal = Gate(name="control_rows_missing", value=missing, threshold=0, at_least=False, n=wanted.total(),
                 reference="rows taught")  # fmt: skip
    audited = audit(found.train, found.validation, {row.id for row in rows})
    return Result(metrics=_written(found, train, validation), gates=[equal, *lesson_gates(audited, pairs)])


def render(
    *, train: Path, validation: Path, earlier: Path, student: Path, tokens: Path, held_out: Path, max_tokens: int,
    seed: int,
) -> Result:  # fmt: skip
    """Rows to tensors: what is trained on, and validation rows of what is taught and of what was learnt before."""
    from lib.distil.lessons import watched
    from lib.model.chat import Chat
    from lib.train import render as rendering

    chat, rows = Chat.load(student), list(jsonl.read(train, Row))
    held = watched(list(jsonl.read(validation, Row)), list(jsonl.read(earlier, Row)), seed)
    metrics: dict[str, Number] = {}
    for name, out, part in (("train", tokens, rows), ("validation", held_out, held)):
        rendered, too_long = rendering.render(part, chat, max_tokens=max_tokens)
        rendering.save(rendered, out)
        metrics |= {f"{name}_rows": len(rendered), f"{name}_tokens": len(rendered.tokens), f"{name}_too_long": too_long}
    gate = rendering.compare_with_source(rendering.load(tokens), rows, chat, sample=200, seed=seed)
    return Result(metrics=metrics, gates=[gate])


def train_as_long(
    *, tokens: Path, held_out: Path, student: Path, pattern: Path, adapter: Path, history: Path, curve: Path,
    work: Path, settings: TrainSettings, seed: int, threads: int,
) -> Result:  # fmt: skip
    """Train exactly as many steps as the run whose history is `pattern`: a comparison grants both sides the same."""
    never = 1 << 30
    guards = msgspec.structs.replace(settings.guards, overfitting_evaluations=never)
    fixed = msgspec.structs.replace(
        settings, steps=_steps(pattern), epochs=float(never), patience=never, plateau_evaluations=0, guards=guards
    )
    return phase1a_base_training.train(
        tokens=tokens, held_out=held_out, student=student, adapter=adapter, history=history, curve=curve, work=work,
        settings=fixed, seed=seed, threads=threads,
    )  # fmt: skip


def _steps(history: Path) -> int:
    """Optimizer steps of a training history."""
    return max(int(entry["step"]) for entry in jsonl.read(history, dict[str, float]))


def regression(
    *, model: Path, tokenizer: Path, rows: Path, fixtures: list[Path], results: Path, work: Path, cache: Path,
    settings: EvaluateSettings, jail: JailSettings, code: CodeSettings, threads: int, seed: int,
) -> Result:  # fmt: skip
    """Ask a model every row that its parent got right; where the parent got none right there is nothing to ask."""
    asked = Counter(row.domain for row in jsonl.read(rows, Row))
    if not asked:
        results.write_bytes(b"")
        return Result(metrics={"n": 0})
    whole = msgspec.structs.replace(settings, rows=dict(asked))
    return phase1a_base_training.evaluate(
        model=model, tokenizer=tokenizer, rows=rows, fixtures=fixtures, results=results, work=work, cache=cache,
        settings=whole, jail=jail, code=code, threads=threads, seed=seed, gguf=False,
    )  # fmt: skip


def compare(
    *, tuned: Path, targeted: Path, control: Path, second: Path, regressions: list[Path], drawn: list[Path],
    histories: list[Path], rows: Path, comparison: Path, settings: EvaluateSettings, min_retained: float, seed: int,
) -> Result:  # fmt: skip
    """Hold the taught model against its parent, the control and its own second seed; count what each still knows.

    `regressions` and `histories` are those of targeted, control and second; `drawn` the control's rows.
    """
    from lib.distil import verdict
    from lib.distil.control import items
    from lib.distil.kinds import LEAST_OF_A_KIND, kinds
    from lib.evaluate.metrics import summary
    from lib.evaluate.results import read_results
    from lib.evaluate.samples import pick_samples

    sides = {"tuned": tuned, "targeted": targeted, "control": control, "second": second}
    models: dict[str, Results] = {name: read_results(path) for name, path in sides.items()}
    kept = verdict.kept(regressions, items(row for path in drawn for row in jsonl.read(path, Row)))
    asked = chosen(jsonl.read(rows, Row), settings.rows, seed)
    found: dict[str, Any] = {
        "samples": pick_samples(asked, models["tuned"], models["targeted"]), "retained": kept,
        "kinds": kinds(models, LEAST_OF_A_KIND),
    }  # fmt: skip
    metrics: dict[str, Number] = verdict.counted(models) | verdict.as_metrics(kept)
    if metrics["judged"]:
        compared: dict[str, Comparison] = verdict.compared(models)
        found |= compared
        metrics |= verdict.worth(compared, kept, min_retained)
    comparison.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
    stop_rate = summary(models["targeted"], settings.repeat_ngram)["stop_rate"] or 0.0
    first, *others = (_steps(path) for path in histories)
    apart = max(abs(steps - first) for steps in others)
    return Result(metrics=metrics | {"steps": first}, gates=[
        Gate(name="stop_rate", value=stop_rate, threshold=settings.min_stop_rate, n=len(models["targeted"].rows)),
        Gate(name="steps_apart", value=apart, threshold=0, at_least=False, n=first, reference="the taught model"),
    ])  # fmt: skip
