"""Counterweights: where a kind of task has few answers, its failures all have the answer the model does not favour.

A model that says "no" to three of four questions fails where "yes" was right. Taught nothing but its failures it learns
to say "yes". So rows with the other answers are rehearsed beside them, until taught and rehearsed rows together have
the answers in the shares that the pool has: what is taught then is when to say which, not to say the other.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import msgspec
from blake3 import blake3

from lib.data.rows import Row

LEAST_ROWS = 10
"""Rows of the pool per answer, on average, from which a kind is known to have few answers rather than few rows."""


class Counterweights(msgspec.Struct, frozen=True, kw_only=True):
    """Rows to rehearse, and how many more there should have been: the pool had none left."""

    rows: list[Row]
    missing: int


def counterweights(
    taught: Sequence[Row], pool: Sequence[Row], free: Sequence[Row], most: int, seed: int
) -> Counterweights:
    """Rows of `free` that give every kind with at most `most` answers the mixture of answers it has in `pool`.

    The answer of which most was taught for its share sets the scale: none of what is taught is left out.
    """
    known, by_answer = mixtures(pool, most), defaultdict[tuple[str, str], list[Row]](list)
    for row in sorted(free, key=lambda row: blake3(f"{seed}:balance:{row.id}".encode()).digest()):
        if (answer := answer_of(row)) is not None:
            by_answer[kind(row), answer].append(row)
    counts = {name: Counter[str]() for name in known}
    for row in taught:
        if (answer := answer_of(row)) is not None and kind(row) in counts:
            counts[kind(row)][answer] += 1
    chosen, missing = list[Row](), 0
    for name, mixture in known.items():
        for answer, wanted in _wanted(counts[name], mixture).items():
            taken = by_answer[name, answer][:wanted]
            chosen += taken
            missing += wanted - len(taken)
    return Counterweights(rows=chosen, missing=missing)


def mixtures(pool: Sequence[Row], most: int) -> dict[str, Counter[str]]:
    """Kind -> answers with their rows in `pool`, for every kind that has 2 to `most` different ones."""
    found = defaultdict[str, Counter[str]](Counter)
    for row in pool:
        if (answer := answer_of(row)) is not None:
            found[kind(row)][answer] += 1
    return {
        name: answers for name, answers in sorted(found.items())
        if 1 < len(answers) <= most and answers.total() >= LEAST_ROWS * len(answers)
    }  # fmt: skip


def _wanted(taught: Counter[str], mixture: Counter[str]) -> dict[str, int]:
    """Rows to add of each answer, so that taught and added ones are mixed as `mixture`."""
    scale = max((taught[answer] / rows for answer, rows in mixture.items()), default=0.0)
    return {answer: max(0, round(scale * rows) - taught[answer]) for answer, rows in mixture.items()}


def kind(row: Row) -> str:
    """Whose answers are counted together: a source; all function calls, of which some sources have one answer only."""
    return "function_call" if row.verifier is not None and row.verifier.kind == "function_call" else row.source


def answer_of(row: Row) -> str | None:
    """The right answer as its verifier has it, in lower case; "call" or "none" for function calls; None: not known."""
    if row.verifier is None:
        return None
    data: Mapping[str, object] = row.verifier.data
    if row.verifier.kind == "function_call":
        return "call" if data["expected"] else "none"
    entry = data.get("entry")
    answer = entry.get("answer") if isinstance(entry, Mapping) else data.get("answer")
    return str(answer).strip().lower() if answer is not None else None
