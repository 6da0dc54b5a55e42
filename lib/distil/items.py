"""The failed items of phase 1B with their rows, and who answers each: the student itself, or a teacher."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from lib.analyse.export import Failure
from lib.analyse.sample import stratified
from lib.critique.settle import Fixed, Hard
from lib.data.rows import Row
from lib.errors import DataError
from lib.evaluate.stats import wilson
from lib.teach.prompts import Missed
from lib.teach.talk import Answer, Usage


def missed(failures: Iterable[Failure], rows: Iterable[Row]) -> list[Missed]:
    """The failures with a fail verdict (technical ones are never taught), each with its row.

    Raises DataError for a failure whose row is not among `rows`.
    """
    known, found = {row.id: row for row in rows}, []
    for failure in failures:
        if failure.id not in known:
            raise DataError(f"failure {failure.id} is of no sampled row: run the failure analysis (phase 1B) again")
        if failure.verdict == "fail":
            row, said = known[failure.id], failure.answer
            found.append(Missed(row=row, said=said, outcome=failure.verdict, reason=failure.reason))
    return found


def within_reach(items: Sequence[Missed], right: Iterable[Row], least: float) -> tuple[list[Missed], dict[str, int]]:
    """Items of kinds that the model gets right now and then, and the numbers of the others by kind.

    Left out is a kind (source) of which the pass rate's 95 % Wilson interval ends below `least`; 0 leaves out none.
    `right` are the sampled rows that the model got right. Where a model got next to none of some hundred rows that are
    like those it was trained on, the same again teaches it nothing, and takes the place of what would.
    """
    wrong, known = Counter(item.row.source for item in items), Counter(row.source for row in right)
    out = {
        source: count for source, count in sorted(wrong.items())
        if wilson(known[source], known[source] + count).high < least
    }  # fmt: skip
    return [item for item in items if item.row.source not in out], out


def budgeted(items: Sequence[Missed], most: Mapping[str, int], seed: int) -> list[Missed]:
    """At most `most[domain]` items of each domain, every source in proportion; a domain not named gives none."""
    by_id = {item.row.id: item for item in items}
    kept: list[Row] = []
    for domain in sorted({item.row.domain for item in items}):
        kept += stratified([item.row for item in items if item.row.domain == domain], most.get(domain, 0), seed)
    return [by_id[row.id] for row in kept]


def divided(
    items: Sequence[Missed], fixed: Iterable[Fixed], hard: Iterable[Hard]
) -> tuple[list[Missed], list[Answer], list[Missed]]:
    """Items that the student fixed, its answers to them, and the items that somebody else must answer.

    Raises DataError for an item on neither list or on both: then the lists are of other failures.
    """
    own, left = {one.id: one.answer for one in fixed}, {one.id for one in hard}
    if wrong := [item.row.id for item in items if (item.row.id in own) == (item.row.id in left)]:
        raise DataError(
            f"{len(wrong)} failures (the first: {wrong[0]}) are not either fixed or hard: run the self-critique again"
        )
    easy = [item for item in items if item.row.id in own]
    said = [Answer(id=one.row.id, text=own[one.row.id], finish="stop", usage=Usage(), cost=0) for one in easy]
    return easy, said, [item for item in items if item.row.id in left]
