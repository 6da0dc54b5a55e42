"""The calibration split in two, and maps that are judged on the part they are told to."""

from __future__ import annotations

from lib.compress.calibrate import calibrate
from lib.compress.calibrate_evidence import Evidence, Trace
from lib.compress.calibrate_rows import divided, overlap_gate
from lib.compress.calibrate_settings import CalibrateSettings
from lib.data.rows import Message, Row, identified

SETTINGS = CalibrateSettings(
    rows=100, min_rows=20, fit_share=0.5, folds=2, bins=2, resamples=100, max_ece=0.03, coverages=[0.5]
)


def row(at: int) -> Row:
    messages = [Message("user", f"Say {at}."), Message("assistant", str(at))]
    domain = "code" if at % 5 == 0 else "reasoning"
    return identified(Row(messages=messages, source="toy/say", licence="CC0-1.0", domain=domain))


ROWS = [row(at) for at in range(100)]


def test_every_domain_is_parted_alike_and_no_row_is_lost_or_in_both() -> None:
    learn, judge = divided(ROWS, 1000, 0.3, seed=1)
    assert sorted(one.id for one in (*learn, *judge)) == sorted(one.id for one in ROWS)
    assert sum(one.domain == "code" for one in learn) == 6 and len(learn) == 30
    assert overlap_gate([one.id for one in learn], [one.id for one in judge]).passed


def test_the_parts_follow_from_ids_and_seed_not_from_the_order_of_rows() -> None:
    assert divided(ROWS, 1000, 0.5, seed=1) == divided(ROWS[::-1], 1000, 0.5, seed=1)
    assert divided(ROWS, 1000, 0.5, seed=1) != divided(ROWS, 1000, 0.5, seed=2)
    assert sum(map(len, divided(ROWS, 10, 0.5, seed=1))) == 10


def test_a_row_in_both_is_counted_and_named() -> None:
    gate = overlap_gate(["a", "b", "b"], ["b", "c"])
    assert not gate.passed and gate.value == 1 and gate.n == 2 and "against b" in gate.line()


def test_answers_are_judged_that_are_told_to_be() -> None:
    """Those that fit are surely right when they are sure; those that judge never are, so the map must look bad."""
    sure, unsure = Trace(tokens=1, first=-0.01), Trace(tokens=1, first=-2.0)
    fitted = [Evidence(f"fit-{at}", sure if at % 2 else unsure, bool(at % 2)) for at in range(40)]
    others = [Evidence(f"judge-{at}", sure if at % 2 else unsure, not at % 2) for at in range(20)]
    found = calibrate([*fitted, *others], SETTINGS, 1, judged={one.id for one in others})
    assert (found.n_fit, found.n_judged) == (40, 20)
    assert found.chosen.brier.score > 0.8 and found.chosen.folds_brier < 0.1
