"""The evaluation bench on the smoke model: all engines count alike, and a rival that says something else is noticed."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from smoke_run import Smoke

from lib.data.rows import Row
from lib.errors import DataError
from lib.evaluate.harness import evaluate
from lib.evaluate.known_answer import KnownAnswers
from lib.evaluate.results import ResultRow, read_results
from lib.model.chat import Chat
from tests.bench import evaluation, evaluation_sides
from tests.bench.evaluation_rivals import completion
from tests.bench.evaluation_sides import Asked, Exam, ask, asked, pace
from tests.bench.finished import finished

ROWS = {"reasoning": 8, "automation": 4}  # judged by reading: no jail is needed


@pytest.fixture(scope="module")
def exam(smoke: Smoke, tmp_path_factory: pytest.TempPathFactory) -> Exam:
    """Our engine on the smoke root's untrained toy, which says more than the tuned one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROFILE", "smoke")
        patch.setenv("ARTIFACTS", str(smoke.root))
        root = finished("phase1a/student/model")
    made = evaluation._exam(root, 12, tmp_path_factory.mktemp("bench"))
    settings = msgspec.structs.replace(made.settings, rows=ROWS)
    rows, model = root.root / "phase0/decontaminate/train.jsonl", root.root / "phase1a/student/model"
    return msgspec.structs.replace(made, settings=settings, rows=rows, model=model, threads=1)


@pytest.fixture(scope="module")
def ours(exam: Exam) -> tuple[Asked, list[ResultRow]]:
    return ask(exam), read_results(exam.out / "results.jsonl").rows


def answers(exam: Exam, name: str, **changes: object) -> tuple[Asked, list[ResultRow]]:
    exam = msgspec.structs.replace(exam, out=exam.out.with_name(name), **changes)
    return ask(exam), read_results(exam.out / "results.jsonl").rows


def test_generate_says_the_same_in_full_precision(exam: Exam, ours: tuple[Asked, list[ResultRow]]) -> None:
    took, rows = answers(exam, "generate", kind="generate", batch=5, dtype="float32")
    found = evaluation.agreement(ours[1], rows)
    assert (found.n, found.texts, found.verdicts, found.p) == (12, 0, 0, 1.0)
    assert (took.rows, took.tokens) == (ours[0].rows, ours[0].tokens)
    assert took.tokens > 100 and took.seconds > 0


def test_llama_cpp_says_the_same_one_by_one_and_together(exam: Exam) -> None:
    file = exam.model.parents[1] / "gguf/student/model-f16.gguf"
    (took, rows), (other, singles) = (
        answers(exam, f"gguf {kind}", kind=kind, model=file, most=6) for kind in ("ours", "one by one")
    )
    assert evaluation.agreement(rows, singles).texts == 0
    assert (took.rows, took.tokens) == (other.rows, other.tokens) and took.rows == 6


def test_pace_counts_as_ask_does(exam: Exam, ours: tuple[Asked, list[ResultRow]]) -> None:
    assert pace(exam).tokens == ours[0].tokens


def test_a_rival_that_says_something_else_is_noticed(
    exam: Exam, ours: tuple[Asked, list[ResultRow]], tmp_path: Path
) -> None:
    rows, chat = asked(exam), Chat.load(exam.tokenizer)

    def say(row: Row) -> str:
        return row.answer

    limits = dict.fromkeys(exam.settings.max_new_tokens, 400)
    settings = msgspec.structs.replace(exam.settings, max_new_tokens=limits)
    evaluate(
        rows, KnownAnswers(rows, chat, say), chat, settings=settings, packages={},
        jail=exam.jail, output=tmp_path / "results.jsonl", work=tmp_path / "work",
    )  # fmt: skip
    found = evaluation.agreement(ours[1], read_results(tmp_path / "results.jsonl").rows)
    assert found.passed == (0, 12) and found.texts == found.verdicts == 12
    _, different, p = evaluation.goals(ours[0], ours[0], found)
    assert not different.passed and not p.passed


def row(name: str, outcome: str, text: str = "7") -> ResultRow:
    return ResultRow(id=name, domain="reasoning", source="toy", outcome=outcome, finish="stop", tokens=1, text=text)


def test_verdicts_texts_and_passes_are_counted_apart() -> None:
    one = [row("a", "pass"), row("b", "fail"), row("c", "fail", "x"), row("d", "pass")]
    two = [row("a", "pass", "7."), row("b", "technical"), row("c", "pass"), row("d", "pass")]
    found = evaluation.agreement(one, two)
    assert (found.n, found.texts, found.verdicts, found.passed) == (4, 2, 2, (2, 3))
    assert found.p == 1.0
    with pytest.raises(DataError, match="different rows"):
        evaluation.agreement(one, two[:3])
    with pytest.raises(DataError, match="not evaluated"):
        evaluation.agreement([row("a", "pass")], [row("a", "not_evaluated")])


def test_the_rival_is_held_against_itself_and_fp32_against_fp32() -> None:
    one, other = [row("a", "pass"), row("b", "fail")], [row("a", "pass"), row("b", "pass")]
    sides = {
        "ours": one, "generate": other, "generate again": other, "ours fp32": other[:1], "generate fp32": one[:1],
        "one by one f16": other[:1],
    }  # fmt: skip
    found = evaluation.agreements(sides)
    assert {name: (each.verdicts, each.n) for name, each in found.items()} == {
        "ours, generate": (1, 2), "generate, generate again": (0, 2), "ours, ours fp32": (0, 1),
        "ours fp32, generate fp32": (0, 1), "ours, one by one f16": (0, 1),
    }  # fmt: skip


def test_each_goal_fires() -> None:
    ours = Asked(rows=100, tokens=2000, seconds=1.0, peak_bytes=0)
    same = evaluation.Agreement(n=100, texts=0, verdicts=1, p=1.0, passed=(50, 50))
    twice = msgspec.structs.replace(ours, seconds=2.0)
    assert [goal.passed for goal in evaluation.goals(ours, twice, same)] == [True, True, True]
    close = msgspec.structs.replace(ours, seconds=1.9)
    apart = msgspec.structs.replace(same, verdicts=2, p=0.04)
    assert [goal.passed for goal in evaluation.goals(ours, close, apart)] == [False, False, False]


def test_the_rival_gets_its_best_precision_and_batch(exam: Exam) -> None:
    def rate(each: Exam) -> float:
        return (each.dtype == "float32") * 10 - abs(each.batch - 8)

    best, tried = evaluation.fastest(msgspec.structs.replace(exam, kind="generate"), rate)
    assert (best.dtype, best.batch) == ("float32", 8)
    assert len(tried) == len(evaluation.DTYPES) + len(evaluation.BATCHES) - 1


def test_rows_are_taken_in_the_profiles_proportions(exam: Exam) -> None:
    settings = msgspec.structs.replace(exam.settings, rows={"reasoning": 600, "code": 200, "general": 1})
    assert evaluation.part(settings, 80).rows == {"reasoning": 60, "code": 20, "general": 1}


def test_an_answer_ends_at_the_end_token_or_the_limit() -> None:
    assert completion([5, 6, 3, 3, 3], 4, 3) == completion([5, 6, 3], 9, 3)
    assert (completion([5, 6, 3], 9, 3).ids, completion([5, 6, 3], 9, 3).finish) == ([5, 6], "stop")
    assert (completion([5, 6, 3], 2, 3).ids, completion([5, 6, 3], 2, 3).finish) == ([5, 6], "length")


def test_sides_are_told_apart_by_name(exam: Exam) -> None:
    kinds = [msgspec.structs.replace(exam, kind=kind).name for kind in ("ours", "generate", "one by one")]
    assert len(set(kinds)) == 3 and evaluation_sides.asked(exam)
