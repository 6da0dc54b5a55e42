"""The calibration split in two: rows that something may learn from, and rows that a confidence is judged on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from blake3 import blake3

from lib.data.rows import Row
from lib.result import Gate


def divided(rows: Iterable[Row], most: int, share: float, seed: int) -> tuple[list[Row], list[Row]]:
    """(learnable, judged): of `most` rows, `share` of every domain, and the others; drawn by the hash of the id."""
    ordered = sorted(rows, key=lambda row: blake3(f"{seed}:{row.id}".encode()).digest(length=16))[:most]
    domains: dict[str, list[Row]] = {}
    for row in ordered:
        domains.setdefault(row.domain, []).append(row)
    learnt = {row.id for found in domains.values() for row in found[: round(share * len(found))]}
    return [row for row in ordered if row.id in learnt], [row for row in ordered if row.id not in learnt]


def overlap_gate(learnt: Sequence[str], judged: Iterable[str]) -> Gate:
    """`judged_rows_learnt`: ids of rows that were trained on and are judged on as well."""
    both = sorted(set(learnt) & set(judged))
    return Gate(
        name="judged_rows_learnt", value=len(both), threshold=0, at_least=False, n=len(set(learnt)),
        reference=both[0] if both else "rows that confidence is judged on",
    )  # fmt: skip
