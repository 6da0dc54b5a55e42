"""Which failures are taught, what the control is made of, and what a run trains on and watches."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import pytest

from lib.analyse.export import Failure
from lib.critique.settle import Fixed, Hard
from lib.data.rows import Message, Row, Verifier, identified
from lib.distil import control, items, lessons, teachers
from lib.errors import DataError
from lib.teach.mixture import REHEARSAL, audit
from lib.teach.pairs import Taught, rows_of
from lib.teach.settings import PairSettings
from tests.teach.kit import missed

PAIRS = PairSettings(reverse=True, min_reverse_chars=10, rehearsal=0.1, validation=0.25)
NOTE = {"teacher": "reference", "teacher_model": "m", "teacher_licence": "MIT", "teacher_terms": "t"}


def row(number: int, domain: Any = "reasoning", answer: str = "7", source: str = "toy/a") -> Row:
    messages = [Message("user", f"question {number} of {domain}"), Message("assistant", answer)]
    verifier = Verifier(kind="exact", data={"answer": answer})
    return identified(Row(messages=messages, source=source, licence="CC0-1.0", domain=domain, verifier=verifier))


def failure(of: Row, verdict: Any = "fail") -> Failure:
    return Failure(id=of.id, group=of.group, domain=of.domain, source=of.source, verdict=verdict, reason="wrong",
                   answer="8", cluster=0, cluster_name="c")  # fmt: skip


LONG = "an answer of more than ten characters"
ROWS = [row(n, domain, LONG if n % 2 else "7") for n in range(20) for domain in ("reasoning", "automation")]
POOL = [row(n, answer="earlier") for n in range(100, 160)]


# Failures


def test_only_what_has_a_fail_verdict_is_taught() -> None:
    found = items.missed([failure(ROWS[0]), failure(ROWS[1], "technical")], ROWS)
    assert [(one.row, one.said, one.outcome, one.reason) for one in found] == [(ROWS[0], "8", "fail", "wrong")]


def test_a_failure_of_an_unknown_row_is_refused() -> None:
    with pytest.raises(DataError, match="no sampled row"):
        items.missed([failure(row(999))], ROWS)


def test_kinds_of_which_nothing_is_learnt_are_left_out_and_counted() -> None:
    starts = {"none": 1000, "some": 2000, "few": 3000}
    hopeless, hard, few = ([row(at + n, source=f"toy/{name}") for n in range(60)] for name, at in starts.items())
    failed = items.missed([failure(one) for one in (*hopeless, *hard[:58], *few[:5])], [*hopeless, *hard, *few])
    kept, out = items.within_reach(failed, hard[58:], 0.08)  # 60 of 60 wrong: at most 6.0 %; 5 of 5: at most 43 %
    assert out == {"toy/none": 60} and Counter(one.row.source for one in kept) == {"toy/some": 58, "toy/few": 5}
    assert items.within_reach(failed, hard[58:], 0.0) == (failed, {})


def test_the_budget_holds_for_each_domain_and_takes_every_source() -> None:
    rows = [row(n, source=f"toy/{n % 3}") for n in range(30)] + [row(n, "code") for n in range(5)]
    failed = items.missed([failure(one) for one in rows], rows)
    taken = items.budgeted(failed, {"reasoning": 6, "code": 100}, 1)
    assert Counter(one.row.domain for one in taken) == {"reasoning": 6, "code": 5}
    assert {one.row.source for one in taken} == {"toy/0", "toy/1", "toy/2", "toy/a"}
    assert taken == items.budgeted(failed[::-1], {"reasoning": 6, "code": 100}, 1)
    assert items.budgeted(failed, {"code": 2}, 1) != items.budgeted(failed, {"code": 2}, 5)


def test_an_item_is_fixed_by_the_student_or_hard() -> None:
    one, two = missed(1), missed(2)
    fixed, hard = [Fixed(id=one.row.id, answer="2", sample=0)], [Hard(id=two.row.id, asked=True)]
    easy, said, left = items.divided([one, two], fixed, hard)
    assert (easy, left) == ([one], [two]) and [(a.id, a.text, a.finish) for a in said] == [(one.row.id, "2", "stop")]
    for lists in (([], hard), (fixed, [*hard, Hard(id=one.row.id, asked=True)])):
        with pytest.raises(DataError, match="run the self-critique again"):
            items.divided([one, two], *lists)


# The control


def test_the_control_has_as_many_rows_of_each_domain_as_were_taught() -> None:
    for wanted in ({"reasoning": 7, "automation": 12}, {"reasoning": 8, "automation": 1}, {}):
        made = control.drawn(ROWS, wanted, NOTE, PAIRS, 1)
        assert control.budget(made) == wanted and len({one.id for one in made}) == len(made)


def test_the_control_is_drawn_from_all_rows_and_says_so() -> None:
    made = control.drawn(ROWS, {"reasoning": 30, "automation": 30}, NOTE, PAIRS, 1)
    assert control.items(made) == {one.id for one in ROWS}
    assert {one.provenance["verdict"] for one in made} == {"drawn"}
    assert {one.provenance["teacher"] for one in made} == {"reference"}
    few = [control.items(control.drawn(ROWS, {"reasoning": 6}, NOTE, PAIRS, seed)) for seed in (1, 1, 2)]
    assert few[0] == few[1] != few[2]


def test_a_sample_that_is_too_small_gives_fewer_rows() -> None:
    assert control.budget(control.drawn(ROWS[:4], {"reasoning": 30}, NOTE, PAIRS, 1)) == {"reasoning": 3}


# What is trained on


def told_wrong(rows: list[Row]) -> list[Taught]:
    return [Taught(missed=items.missed([failure(one)], [one])[0], answer=one.answer) for one in rows]


def taught() -> list[Row]:
    pairs = [Taught(missed=missed(n), answer=LONG) for n in range(20)]
    return rows_of(pairs, NOTE, PAIRS)


def test_lessons_are_divided_and_rehearsed() -> None:
    made = lessons.lessons(taught(), POOL, PAIRS, 10, 1)
    found = audit(made.train, made.validation, {missed(n).row.id for n in range(20)})
    assert found.rehearsal_share >= 0.1 and found.taught == 40 and len(made.validation) == 10
    assert (made.counterweights, made.missing) == (0, 0)
    assert (found.without_fail, found.straddling, found.duplicate_ids, found.rehearsed_taught) == (0, 0, 0, 0)


def test_where_nothing_failed_a_few_rehearsal_rows_keep_the_graph_whole() -> None:
    made = lessons.lessons([], POOL, PAIRS, 10, 1)
    assert len(made.train) == lessons.IDLE_ROWS and made.validation == []
    assert {one.provenance["direction"] for one in made.train} == {REHEARSAL}
    assert control.budget(made.train) == {} and {one.id for one in made.train} <= {one.id for one in POOL}
    assert lessons.as_many([], POOL, PAIRS, 8, 1) == made


def test_lessons_of_a_kind_with_few_answers_are_balanced() -> None:
    pool = [row(n, answer="yes" if n % 4 else "no", source="toy/few") for n in range(200, 280)]
    failed = [row(n, answer="no", source="toy/few") for n in range(12)]
    pairs = msgspec.structs.replace(PAIRS, validation=0.0)
    made = lessons.lessons(rows_of(told_wrong(failed), NOTE, pairs), pool, pairs, 10, 1)
    answers = Counter(one.answer for one in made.train)
    assert answers == {"no": 12, "yes": 36} and (made.counterweights, made.missing) == (36, 0)
    plain = lessons.lessons(rows_of(told_wrong(failed), NOTE, pairs), pool, pairs, 1, 1)
    assert Counter(one.provenance["direction"] for one in plain.train) == {"forward": 12, REHEARSAL: 2}
    drawn = rows_of(told_wrong(failed), NOTE, pairs)
    assert len(lessons.as_many(drawn, pool, pairs, 36, 1).train) == len(made.train)
    assert len(lessons.as_many(drawn, pool, pairs, 0, 1).train) == 14


def test_validation_rows_are_in_turns_of_what_is_taught_and_what_was_learnt_before() -> None:
    new, old = taught()[:6], POOL[:9]
    seen = lessons.watched(new, old, 1)
    kinds = ["new" if one in new else "old" for one in seen]
    assert kinds == ["new", "old"] * 6 and len({one.id for one in seen}) == 12
    assert sorted(one.id for one in lessons.watched([], old, 1)) == sorted(one.id for one in old)


# Who taught


def test_rows_are_counted_by_teacher_and_direction() -> None:
    own = rows_of([Taught(missed=missed(50), answer="2")], {**NOTE, "teacher": "self"}, PAIRS)
    aside = msgspec.structs.replace(POOL[0], provenance={"direction": REHEARSAL})
    one, two = teachers.teachers([*taught(), *own, aside])
    assert (one.teacher, one.items, one.forward, one.reverse) == ("reference", 20, 20, 20)
    assert (two.teacher, two.items, two.forward, two.reverse) == ("self", 1, 1, 0)
    assert teachers.teachers([aside]) == []
