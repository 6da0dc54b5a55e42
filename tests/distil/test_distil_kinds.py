"""Gains and losses by kind of task."""

from __future__ import annotations

import msgspec

from lib.distil.kinds import Kind, kinds
from lib.evaluate.results import ResultRow, Results
from tests.distil.test_distil_verdict import results

SOURCES = [("toy/lost", 20), ("toy/won", 20), ("toy/small", 3), ("toy/tiny", 2)]


def told(right: dict[str, int]) -> Results:
    """Results with so many right of each source."""
    rows = [
        ResultRow(id=f"{source}{n}", domain="code", source=source, outcome="pass" if n < right[source] else "fail",
                  finish="stop", tokens=1, text="x")
        for source, size in SOURCES for n in range(size)
    ]  # fmt: skip
    return Results(results(range(0)).harness, rows)


def test_a_total_that_stands_still_shows_what_turned_round() -> None:
    before = {"toy/lost": 15, "toy/won": 5, "toy/small": 1, "toy/tiny": 0}
    after = {"toy/lost": 5, "toy/won": 15, "toy/small": 1, "toy/tiny": 2}
    found = kinds({"tuned": told(before), "targeted": told(after)}, 10)
    assert [msgspec.structs.astuple(one) for one in found] == [
        ("toy/lost", 20, {"tuned": 15, "targeted": 5}),
        ("other code", 5, {"tuned": 1, "targeted": 3}),
        ("toy/won", 20, {"tuned": 5, "targeted": 15}),
    ]
    assert sum(one.right["targeted"] for one in found) == sum(after.values())


def test_small_sources_stand_alone_where_that_is_wanted() -> None:
    same = told(dict.fromkeys(dict(SOURCES), 2))
    assert kinds({"a": same, "b": same}, 1)[0] == Kind(name="toy/lost", n=20, right={"a": 2, "b": 2})
