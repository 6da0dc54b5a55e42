"""From pairs to a training set: divided by item, rehearsed, and audited row by row against the verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

import msgspec
from blake3 import blake3

from lib.data.rows import Row
from lib.errors import DataError

REHEARSAL = "rehearsal"


def divide(rows: Sequence[Row], share: float, seed: int) -> tuple[list[Row], list[Row]]:
    """Training and validation rows. Whole groups go to one side, so that no pair is ever torn apart.

    Groups go to validation in the order of a seeded hash while their rows do not pass `share` of all.
    """
    sizes = Counter(row.group for row in rows)
    room, chosen = int(share * len(rows)), set[str]()
    for group in sorted(sizes, key=lambda name: _draw(name, seed)):
        if sizes[group] <= room:
            chosen.add(group)
            room -= sizes[group]
    return [row for row in rows if row.group not in chosen], [row for row in rows if row.group in chosen]


def rehearsed_rows(taught: int, share: float) -> int:
    """The least number of rehearsal rows that make up `share` of themselves and `taught` others."""
    wanted = int(taught * share / (1 - share))
    while wanted < share * (taught + wanted):
        wanted += 1
    return wanted


def apart(pool: Sequence[Row], *taken: Sequence[Row]) -> list[Row]:
    """Rows of `pool` whose group none of the taken rows has."""
    groups = {row.group for rows in taken for row in rows}
    return [row for row in pool if row.group not in groups]


def rehearse(rows: Sequence[Row], first: Sequence[Row], free: Sequence[Row], wanted: int, seed: int) -> list[Row]:
    """`rows`, `first`, and rows of `free` up to `wanted` rehearsal rows in all, in seeded order.

    More than `wanted` where `first` alone has more. Raises DataError for too few free rows.
    """
    known = {row.id for row in first}
    others = sorted((row for row in free if row.id not in known), key=lambda row: _draw(row.id, seed))
    more = max(0, wanted - len(first))
    if len(others) < more:
        raise DataError(
            f"{len(rows)} taught rows need {wanted} rehearsal rows, and the pool has {len(first) + len(others)}: "
            "give it more, or lower teach.pairs.rehearsal (0.1 at least)"
        )
    return sorted([*rows, *map(marked, [*first, *others[:more]])], key=lambda row: _draw(f"order {row.id}", seed))


def marked(row: Row) -> Row:
    """The row with a note that it is rehearsed, not taught."""
    return msgspec.structs.replace(row, provenance={**row.provenance, "direction": REHEARSAL})


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """Counts a gate can hold: all but the first three must be 0."""

    taught: int
    rehearsal: int
    rehearsal_share: float
    without_fail: int  # taught rows whose item has no fail verdict
    without_terms: int  # taught rows that do not say who taught them under which terms
    straddling: int  # groups on both sides of the division
    duplicate_ids: int
    rehearsed_taught: int  # rehearsal rows of an item that is taught


def audit(train: Sequence[Row], validation: Sequence[Row], failed: Collection[str]) -> Audit:
    """Count what is wrong with a training set. `failed`: ids of the items with a fail verdict, from the results."""
    rehearsal = [row for row in train if row.provenance.get("direction") == REHEARSAL]
    taught = [row for row in (*train, *validation) if row.provenance.get("direction") != REHEARSAL]
    taught_groups = {row.group for row in taught}
    ids = Counter(row.id for row in (*train, *validation))
    return Audit(
        taught=len(taught),
        rehearsal=len(rehearsal),
        rehearsal_share=len(rehearsal) / len(train) if train else 0.0,
        without_fail=sum(row.provenance.get("item") not in failed for row in taught),
        without_terms=sum(not _has_terms(row) for row in taught),
        straddling=len({row.group for row in train} & {row.group for row in validation}),
        duplicate_ids=sum(count - 1 for count in ids.values()),
        rehearsed_taught=sum(row.group in taught_groups for row in rehearsal),
    )


def _has_terms(row: Row) -> bool:
    return all(row.provenance.get(name) for name in ("teacher", "teacher_model", "teacher_licence"))


def _draw(name: str, seed: int) -> bytes:
    """A row's or group's place in a shuffle that depends on the seed and the name alone."""
    return blake3(f"{seed}:{name}".encode()).digest()
