"""What is rehearsed beside failures of kinds with few answers."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from lib.data.rows import Message, Row, Verifier, identified
from lib.teach.balance import answer_of, counterweights, kind, mixtures


def row(number: int, answer: str, source: str = "toy/syllogism", verifier: Any = None) -> Row:
    messages = [Message("user", f"question {number} of {source}"), Message("assistant", "Well, " + answer)]
    verifier = verifier or Verifier(kind="exact", data={"answer": answer})
    return identified(Row(messages=messages, source=source, licence="CC0-1.0", domain="reasoning", verifier=verifier))


def call(number: int, source: str, expected: list[Any]) -> Row:
    return row(number, "x", source, Verifier(kind="function_call", data={"expected": expected, "functions": []}))


POOL = [row(n, "No" if n % 10 < 7 else "yes") for n in range(100)]
NAMES = [row(n, f"name {n}", "toy/names") for n in range(100)]


def test_answers_are_the_verifiers_in_lower_case() -> None:
    puzzle = Verifier(kind="reasoning_gym", data={"dataset": "x", "entry": {"answer": " Yes "}})
    assert [answer_of(row(1, "No")), answer_of(row(1, "x", verifier=puzzle))] == ["no", "yes"]
    assert [answer_of(call(1, "bfcl/a", [])), answer_of(call(1, "bfcl/a", [{"f": {}}]))] == ["none", "call"]
    assert answer_of(row(1, "x", verifier=Verifier(kind="doctest", data={}))) is None
    assert kind(call(1, "bfcl/a", [])) == kind(call(2, "bfcl/b", [])) != kind(POOL[0])


def test_only_kinds_with_few_answers_for_their_rows_are_balanced() -> None:
    small = [row(n, str(n), "toy/small") for n in range(3)]  # three rows, three answers: few rows, not few answers
    assert mixtures([*POOL, *NAMES, *small], 10) == {"toy/syllogism": Counter(no=70, yes=30)}
    assert mixtures(POOL, 1) == {} == mixtures(NAMES, 99)


@pytest.mark.parametrize(("taught", "added"), [
    ({"yes": 6}, {"no": 14}),
    ({"yes": 6, "no": 14}, {}),
    ({"no": 7}, {"yes": 3}),
    ({}, {}),
])  # fmt: skip
def test_taught_and_added_rows_are_mixed_as_the_pool(taught: dict[str, int], added: dict[str, int]) -> None:
    rows = [row(n, answer) for answer, count in taught.items() for n in range(200, 200 + count)]
    found = counterweights(rows, [*POOL, *NAMES], POOL, 10, 1)
    assert Counter(answer_of(one) for one in found.rows) == added and found.missing == 0
    assert {one.id for one in found.rows} <= {one.id for one in POOL}


def test_what_the_pool_lacks_is_counted() -> None:
    taught = [row(n, "yes") for n in range(200, 206)]
    free = [one for one in POOL if answer_of(one) == "no"][:5]
    found = counterweights(taught, POOL, free, 10, 1)
    assert (len(found.rows), found.missing) == (5, 9)


def test_calls_are_balanced_over_all_their_sources() -> None:
    pool = [call(n, "bfcl/simple", [{"f": {}}]) for n in range(60)]
    pool += [call(n, "bfcl/irrelevance", []) for n in range(30)]
    taught = [call(n, "bfcl/simple", [{"f": {}}]) for n in range(100, 120)]
    found = counterweights(taught, pool, pool, 10, 1)
    assert Counter(one.source for one in found.rows) == {"bfcl/irrelevance": 10}


def test_the_choice_depends_on_the_seed_alone() -> None:
    taught = [row(n, "yes") for n in range(200, 203)]
    first, again, other = (
        counterweights(taught, POOL, rows, 10, seed).rows for rows, seed in ((POOL, 1), (POOL[::-1], 1), (POOL, 2))
    )
    assert first == again != other
