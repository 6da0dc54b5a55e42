"""What each kind of task gained or lost: a total that stands still may hide one that turned round."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

import msgspec

from lib.evaluate.results import ResultRow, Results

LEAST_OF_A_KIND = 10
"""Fewer test rows of a source are told under its domain: one row would be a tenth of them."""


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """Test rows of one source (or of the small sources of a domain), and how many each model got right."""

    name: str
    n: int
    right: dict[str, int]


def kinds(models: Mapping[str, Results], least: int) -> list[Kind]:
    """Right answers by source and model; sources with fewer than `least` rows are taken together by domain.

    Models are given the same rows. Ordered by what the second model has over the first, the greatest loss first.
    """
    first, second, *_ = models
    sizes = Counter(row.source for row in models[first].rows)
    right: dict[str, Counter[str]] = defaultdict(Counter)
    for model, found in models.items():
        for row in found.rows:
            right[_name(row, sizes, least)][model] += row.passed
    rows = Counter(_name(row, sizes, least) for row in models[first].rows)
    made = [Kind(name=name, n=rows[name], right={model: right[name][model] for model in models}) for name in rows]
    return sorted(made, key=lambda kind: (kind.right[second] - kind.right[first], kind.name))


def _name(row: ResultRow, sizes: Mapping[str, int], least: int) -> str:
    return row.source if sizes[row.source] >= least else f"other {row.domain}"
