"""The picture says who is who and repeats to the byte; the plan's sizes are judged by arithmetic; kept accuracy."""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path

import msgspec
import pytest
from gguf_toys import candidate

from lib.compress.frontier_accuracy import accuracy, kept_share
from lib.compress.frontier_picture import draw
from lib.compress.frontier_plan import PLAN, PlanPoint, judge
from lib.errors import DataError
from lib.evaluate.results import Harness, ResultRow, Results

FIELD = [
    candidate("f16", 2000, 0.0, "parent"),
    candidate("Q8_0", 1000, 0.001),
    candidate("Q5_1", 750, 0.3, refused="on the student's grid"),
    candidate("mix", 600, 0.02, "ours"),
]


def test_the_picture_names_everybody_and_repeats(tmp_path: Path) -> None:
    plan = judge(PLAN, FIELD, 1000)
    for name in ("one.svg", "two.svg"):
        draw(FIELD, plan, tmp_path / name, chosen=["mix"], title="sizes")
    body = (tmp_path / "one.svg").read_text(encoding="utf-8")
    assert body == (tmp_path / "two.svg").read_text(encoding="utf-8")
    for words in ("Q8_0", "mix", "ours", "refused", "chosen", "0.54 bits a weight, impossible", "sizes"):
        assert words in body, words
    assert ">f16<" not in body  # no place on a logarithmic axis


def test_names_of_points_close_by_stand_apart(tmp_path: Path) -> None:
    crowd = [candidate(f"close-{at}", 1000 + at % 2, 0.1 + 0.004 * at) for at in range(6)]
    draw([*crowd, candidate("small", 500, 0.9), candidate("large", 2000, 0.001)], [], tmp_path / "x.svg", title="crowd")
    body = (tmp_path / "x.svg").read_text(encoding="utf-8")
    boxes = {}
    for style, x, y, name in re.findall(r'<text style="([^"]*)" x="([\d.]+)" y="([\d.]+)"[^>]*>(close-\d)<', body):
        wide = 4.2 * len(name)
        left = float(x) - wide if "text-anchor: end" in style else float(x)
        boxes[name] = (left, left + wide, float(y))
    assert len(boxes) == 6
    for one, two in itertools.combinations(boxes, 2):
        (left, right, y), (other_left, other_right, other_y) = boxes[one], boxes[two]
        assert right <= other_left or other_right <= left or abs(y - other_y) >= 6, f"{one} is written over {two}"


def test_an_empty_field_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no measured candidate"):
        draw(FIELD[:1], [], tmp_path / "x.svg", title="nothing")


def test_the_plans_base_is_half_a_bit_and_impossible() -> None:
    base, pruned, desktop, mobile, draft = judge(PLAN, FIELD, 134_515_008)
    assert base.bits_per_weight == pytest.approx(0.538, abs=1e-3) and not base.possible and base.below_all
    assert base.bytes_here == pytest.approx(9.05e6, rel=1e-2)
    assert "525 MB" in base.arithmetic and "2.34 GB" in base.arithmetic  # 35 % at 4 bits, and which 35 %
    assert not pruned.possible and pruned.bits_per_weight > 1  # its bits would do, its own recipe does not come to them
    assert not desktop.possible and "5.71 GB" in desktop.arithmetic
    assert not mobile.possible and not draft.possible


def test_a_plan_that_adds_up_is_possible() -> None:
    sound = PlanPoint(name="sound", bytes=5.8e9, parameters=8.03e9, bits=5.69)
    [row] = judge([sound], FIELD, 1000)
    assert row.possible and not row.below_all and "to say which" not in row.arithmetic


def test_half_a_mask_costs_a_bit() -> None:
    point = PlanPoint(name="half", bytes=1e9, parameters=8e9, bits=4.0, share=0.5)
    assert point.mask_bits == 1.0 and point.least_bytes == 3e9


def results(passed: list[bool], **changes: object) -> Results:
    harness = Harness(
        template_sha="t", tokenizer_sha="k", limits={}, decoding="greedy", engine={}, precision="f16", judge_sha="j",
        rows_sha="r", n=len(passed),
    )  # fmt: skip
    rows = [
        ResultRow(
            id=str(at), domain="d", source="s", outcome="pass" if one else "fail", finish="stop", tokens=1, text=""
        )
        for at, one in enumerate(passed)
    ]
    return Results(msgspec.structs.replace(harness, **changes), rows)


def test_kept_accuracy_is_paired() -> None:
    before = [True] * 60 + [False] * 40
    same = accuracy("same", results(before), results(before), seed=1, resamples=500)
    assert (same.kept.value, same.kept.low, same.kept.high) == (1.0, 1.0, 1.0) and same.value == 0.6
    swapped = [False] * 6 + [True] * 60 + [False] * 34  # six lost, six won: as accurate, and not as sure
    other = accuracy("other", results(before), results(swapped), seed=1, resamples=2000)
    assert other.kept.value == 1.0 and other.kept.low < 0.95 < other.kept.high
    lost = kept_share(before, [True] * 30 + [False] * 70, seed=1, resamples=500)
    assert lost.value == 0.5 and lost.high < 0.97


def test_another_harness_or_other_rows_refuse() -> None:
    before = results([True, False])
    with pytest.raises(DataError, match="decoding: greedy / sampled"):
        accuracy("x", before, results([True, False], decoding="sampled"), seed=1, resamples=10)
    moved = Results(before.harness, before.rows[::-1])
    with pytest.raises(DataError, match="other rows"):
        accuracy("x", before, moved, seed=1, resamples=10)


def test_a_parent_without_a_pass_keeps_nothing_known() -> None:
    found = kept_share([False, False], [True, False], seed=1, resamples=10)
    assert math.isnan(found.value) and found.low == 0.0
    with pytest.raises(DataError, match="differ in length"):
        kept_share([True], [True, False], seed=1, resamples=10)
