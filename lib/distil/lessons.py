"""From rows made of items to what a run trains on: divided by item, rehearsed, audited; and what it is watched on."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from blake3 import blake3

from lib.data.rows import Row
from lib.result import Gate
from lib.teach.balance import counterweights
from lib.teach.mixture import Audit, apart, divide, marked, rehearse, rehearsed_rows
from lib.teach.settings import PairSettings
from lib.train.mix import in_proportion

IDLE_ROWS = 8
"""Rehearsal rows where nothing failed: the steps that follow still have something to read, and claim nothing."""


class Lessons(msgspec.Struct, frozen=True, kw_only=True):
    """Training rows with rehearsal rows among them, validation rows of other items, counterweights, those lacking."""

    train: list[Row]
    validation: list[Row]
    counterweights: int = 0
    missing: int = 0


def lessons(rows: Sequence[Row], pool: Sequence[Row], pairs: PairSettings, few_answers: int, seed: int) -> Lessons:
    """Rows made of failures, balanced where a kind has at most `few_answers` answers, and rehearsed.

    `pool` are rows of the split that the student was trained on. Raises DataError where it is too small.
    """
    if not rows:
        return _idle(pool, seed)
    train, validation = divide(rows, pairs.validation, seed)
    free = apart(pool, train, validation)
    forward = [row for row in train if row.provenance["direction"] == "forward"]
    beside = counterweights(forward, pool, free, few_answers, seed)
    wanted = rehearsed_rows(len(train), pairs.rehearsal)
    train = rehearse(train, beside.rows, free, wanted, seed)
    return Lessons(train=train, validation=validation, counterweights=len(beside.rows), missing=beside.missing)


def as_many(rows: Sequence[Row], pool: Sequence[Row], pairs: PairSettings, rehearsed: int, seed: int) -> Lessons:
    """Rows drawn at random with as many rehearsal rows as the others have, or the share that is asked for if more.

    They need no counterweights: what is drawn at random is mixed as the pool is.
    """
    if not rows:
        return _idle(pool, seed)
    train, validation = divide(rows, pairs.validation, seed)
    wanted = max(rehearsed, rehearsed_rows(len(train), pairs.rehearsal))
    return Lessons(train=rehearse(train, [], apart(pool, train, validation), wanted, seed), validation=validation)


def _idle(pool: Sequence[Row], seed: int) -> Lessons:
    ranked = sorted(pool, key=lambda row: _rank(row, seed))[:IDLE_ROWS]
    return Lessons(train=list(map(marked, ranked)), validation=[])


def watched(taught: Sequence[Row], earlier: Sequence[Row], seed: int) -> list[Row]:
    """Validation rows: one of what is taught, one of what was learnt before, in turns, as long as both last.

    Early stopping and the choice of the best adapter then see forgetting as well as learning. Where nothing is taught,
    all are earlier ones. Both kinds have the domains as `taught` has them.
    """
    new = sorted(taught, key=lambda row: _rank(row, seed))
    old = sorted(earlier, key=lambda row: _rank(row, seed))
    if not new:
        return old
    pairs = zip(in_proportion(new, new), in_proportion(old, new), strict=False)
    return [row for pair in pairs for row in pair]


def lesson_gates(found: Audit, pairs: PairSettings) -> list[Gate]:
    """What must hold for every training set made of pairs."""
    n = found.taught + found.rehearsal
    return [
        Gate(name="straddling_pairs", value=found.straddling, threshold=0, at_least=False, n=n),
        Gate(name="duplicate_ids", value=found.duplicate_ids, threshold=0, at_least=False, n=n),
        Gate(name="rehearsal_share", value=found.rehearsal_share, threshold=pairs.rehearsal, n=n),
        Gate(name="rehearsed_taught", value=found.rehearsed_taught, threshold=0, at_least=False, n=found.rehearsal),
    ]


def teacher_gates(found: Audit) -> list[Gate]:
    """What must hold besides for rows made of failures: a verdict behind each, and its teacher's terms with it."""
    n = found.taught
    return [
        Gate(name="rows_without_fail", value=found.without_fail, threshold=0, at_least=False, n=n),
        Gate(name="rows_without_terms", value=found.without_terms, threshold=0, at_least=False, n=n),
    ]


def _rank(row: Row, seed: int) -> bytes:
    return blake3(f"{seed}:lessons:{row.id}".encode()).digest()
