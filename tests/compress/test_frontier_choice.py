"""Pareto set and dominance against comparing everybody with everybody, and the rule that chooses."""

from __future__ import annotations

import math

import msgspec
import pytest
from gguf_toys import candidate
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.compress.frontier import (
    Accuracy,
    Candidate,
    choose,
    dominated_by,
    dominates,
    goals,
    pareto,
)
from lib.compress.frontier_measure import Divergence, difference
from lib.compress.gguf_settings import Calibration, FrontierSettings
from lib.errors import ConfigError, ModelError
from lib.evaluate.stats import Rate

SETTINGS = FrontierSettings(
    text=Calibration(rows=4, tokens=16), finalists=3, keep=0.97, keep_low=0.95, mobile_share=0.5, mobile_of="Q8_0",
    resamples=500,
)  # fmt: skip
POINTS = st.lists(st.tuples(st.integers(1, 8), st.integers(0, 8)), min_size=1, max_size=12)


def field(points: list[tuple[int, int]]) -> list[Candidate]:
    return [candidate(f"c{at:02}", 100 * size, kl / 10) for at, (size, kl) in enumerate(points)]


@settings(max_examples=200, deadline=None)
@given(POINTS)
def test_the_pareto_set_is_what_nobody_beats(points: list[tuple[int, int]]) -> None:
    found = field(points)
    unbeaten = {
        one.name
        for one in found
        if not any(
            other.bytes <= one.bytes and other.kl <= one.kl and (other.bytes < one.bytes or other.kl < one.kl)
            for other in found
        )
    }
    assert {each.name for each in pareto(found)} == unbeaten
    assert {name for name, by in dominated_by(found).items() if not by} == unbeaten


def test_equal_candidates_do_not_dominate_each_other() -> None:
    one, same = candidate("one", 100, 0.1), candidate("same", 100, 0.1)
    assert not dominates(one, same) and len(pareto([one, same])) == 2
    assert dominates(candidate("smaller", 99, 0.1), one)


def rated(name: str, kept: float, low: float, value: float = 0.5) -> Accuracy:
    return Accuracy(name=name, value=value, kept=Rate(kept, low, 1.05, 300))


FIELD = [
    candidate("Q8_0", 1000, 0.001),
    candidate("Q5_0", 700, 0.01),
    candidate("mix", 600, 0.02, "ours"),
    candidate("Q4_0", 450, 0.2),
    candidate("tiny", 400, 0.6, "ours"),
]


def test_the_release_is_the_smallest_that_keeps_enough() -> None:
    rates = [rated("Q8_0", 1.0, 0.99), rated("Q5_0", 0.99, 0.96), rated("mix", 0.98, 0.951), rated("Q4_0", 0.9, 0.8)]
    found = choose(FIELD, {each.name: each for each in rates}, SETTINGS)
    assert found.release == "mix" and found.mobile == "Q4_0"
    assert found.verdicts["Q4_0"] == "too few answers kept" and found.verdicts["mix"] == "kept"


def test_a_wide_interval_is_not_enough() -> None:
    found = choose(FIELD, {"mix": rated("mix", 0.99, 0.949)}, SETTINGS)
    assert found.release is None and found.verdicts == {"mix": "not sure enough"}
    assert found.metrics() == {"release_chosen": 0, "mobile_chosen": 0}


def test_a_parent_that_passes_nothing_lets_nobody_through() -> None:
    found = choose(FIELD, {"mix": rated("mix", math.nan, 0.0)}, SETTINGS)
    assert found.release is None and found.verdicts["mix"] == "too few answers kept"


def test_refused_ones_are_never_chosen() -> None:
    trapped = msgspec.structs.replace(FIELD[3], refused="on the student's grid")
    others = [each for each in FIELD if each.name != "Q4_0"]
    found = choose([*others, trapped], {"Q4_0": rated("Q4_0", 1.0, 1.0)}, SETTINGS)
    assert found.release is None and found.mobile is None and found.verdicts["Q4_0"] == "refused"


def test_mobile_is_the_best_under_half_and_needs_its_measure() -> None:
    rates = {"Q4_0": rated("Q4_0", 0.9, 0.8, 0.40), "tiny": rated("tiny", 0.9, 0.8, 0.41)}
    assert choose(FIELD, rates, SETTINGS).mobile == "tiny"
    assert choose(FIELD, rates | {"tiny": rated("tiny", 0.9, 0.8, 0.40)}, SETTINGS).mobile == "Q4_0"
    with pytest.raises(ConfigError, match="mobile_of names 'Q8_0'"):
        choose(FIELD[1:], rates, SETTINGS)


def measured(kl: list[float]) -> Divergence:
    return Divergence(positions=[10] * len(kl), kl=kl, equal=[9] * len(kl), loss_gap=[0.1] * len(kl))


def test_goals_count_stock_types_on_both_sides() -> None:
    stock, worse = candidate("Q4_0", 450, 0.2), candidate("Q5_0", 700, 0.2)
    ours = candidate("mix", 440, 0.1, "ours")
    found = {
        "mix": measured([1.0, 1.0, 1.0]),
        "Q4_0": measured([2.0, 2.5, 1.5]),
        "Q5_0": measured([0.1, 0.2, 5.7]),  # on average worse, on most rows better
    }
    counts = goals([stock, worse, ours], found, "mix", SETTINGS, seed=1)
    assert counts == {"stock_dominating": 0, "stock_dominated": 2, "stock_surely_dominated": 1}
    beaten = goals([candidate("Q4_0", 430, 0.05), ours], found, "mix", SETTINGS, seed=1)
    assert beaten["stock_dominating"] == 1 and beaten["stock_dominated"] == 0
    assert set(goals([stock], found, None, SETTINGS, seed=1).values()) == {None}


def test_sums_by_row_make_means_and_intervals() -> None:
    found = Divergence(positions=[10, 30], kl=[1.0, 1.0], equal=[10, 20], loss_gap=[0.0, 3.8])
    assert found.kl_nats == 0.05 and found.top1 == 0.75
    assert found.perplexity_ratio == pytest.approx(math.exp(3.8 / 38))
    rate = found.interval(seed=3, resamples=400)
    assert rate.low == pytest.approx(1 / 30) and rate.high == pytest.approx(0.1)
    assert difference(found, found, seed=3, resamples=50) == Rate(0.0, 0.0, 0.0, 40)
    with pytest.raises(ModelError, match="different rows"):
        difference(found, measured([1.0]), seed=3, resamples=50)
