"""The sections on pruning, packs and confidence, from what the libraries themselves write."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from page_parser import Page

from lib.compress.calibrate import Calibration, calibrate
from lib.compress.calibrate_evidence import Evidence, Trace
from lib.compress.calibrate_settings import CalibrateSettings
from lib.compress.prune_achieved import Achieved
from lib.compress.prune_allocation import Curve
from lib.compress.prune_distil import Recovered
from lib.compress.prune_gradual import Stage
from lib.compress.recover_worth import Worth
from lib.evaluate.stats import Rate
from lib.report import confidence, packs, pruned
from lib.report.frontier import Measured
from lib.report.packs import Packed
from lib.report.source import Source

STEP = "phase2_compress:x"


def source(**values: float | None) -> Source:
    return Source(STEP, values)


def sound(markup: object) -> str:
    """The markup's text, after a check that it holds together and each figure leads to a lock."""
    page = Page(str(markup))
    assert page.faults == [] and page.unanswered() == []
    return " ".join(page.text.split())


def plain(found: object) -> Any:
    """As it comes back from the file that a step writes."""
    return msgspec.json.decode(msgspec.json.encode(found))


# Pruning


def test_a_variant_has_zeros_errors_and_divergence() -> None:
    achieved = Achieved(zeros={0: 50, 1: 60}, weights={0: 100, 1: 100}, model_weights=400, violations=0, groups=0)
    numbers = source(**achieved.metrics(), layer_error_mean=0.0391, layer_error_most=0.2)
    seen = Measured(divergence=source(kl_nats=0.5, kl_low=0.4, kl_high=0.6, top1=0.7, perplexity_ratio=1.8))
    text = sound(
        pruned.variants({"wanda-50": (numbers, seen), "magnitude-50": (numbers, Measured())}, {"wanda-50": ["50"]})
    )
    assert "wanda-50 55.000 % 50–60 % 27.5 % 0 0.0391 0.2 0.5 0.4 … 0.6 70.0 % 1.8 ✓ 50" in text
    assert "magnitude-50 55.000 % 50–60 % 27.5 % 0 0.0391 0.2 – – – –" in text


def test_stages_show_what_recovery_did() -> None:
    back = Recovered(initial_kl_nats=0.8, kl_nats=0.5, best_step=30, steps=40, tokens=80_000)
    stage = Stage(zeros=1_000_000, mask_violations=0, layer_error=0.012, recovered=back)
    text = sound(pruned.stages({"method": "sparsegpt", "stages": plain([stage, stage])}, source()))
    assert "Method: sparsegpt" in text and "2 1,000,000 0.012 0.8 0.5 30 40 80,000 0" in text


def test_sensitivity_draws_a_line_for_each_of_some_shares() -> None:
    shares = [0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8]
    found = [Curve(layer=at, weights=100, shares=shares, errors=[s * s / (at + 1) for s in shares]) for at in range(5)]
    made = pruned.sensitivity(plain(found), source(layers=5, most_sensitive_layer=0, error_ratio=5.0))
    text = sound(made)
    assert "Most sensitive: layer 0, of 5" in text
    assert str(made).count('class="line ') == 6 and "40.0 %" in text and "80.0 %" in text
    assert "layer 4, 80.0 %: 0.128" in text


def test_layers_that_lose_nothing_are_not_drawn_on_a_logarithm() -> None:
    found = [Curve(layer=0, weights=1, shares=[0.1, 0.2], errors=[0.0, 0.0])]
    assert "<svg" not in pruned.sensitivity(plain(found), source(layers=1, most_sensitive_layer=0, error_ratio=None))


@pytest.mark.parametrize(("adopted", "said"), [(1, "is worth having: adopted"), (0, "is NOT shown")])
def test_recovery_has_a_verdict_with_its_interval(adopted: int, said: str) -> None:
    learnt = source(hardest=500, candidates=1100, hardest_loss_nats=2.5, candidate_loss_nats=1.2)
    judged = Worth(before=1.5, after=1.4, gap=Rate(-0.1, -0.15, -0.05, 120))
    text = sound(pruned.recovered(learnt, source(**judged.metrics(), adopted=adopted)))
    assert said in text and "1.5 → 1.4 nats a token, -0.1000 (-0.1500 … -0.0500, n = 120)" in text
    assert "the 500 hardest of 1,100 rows, loss 2.5 against 1.2 of all" in text
    assert "adopted" not in sound(pruned.recovered(learnt, None))


# Packs


def packed(split: int) -> Source:
    return source(
        size_bytes=1000, split_1_packed_bytes=split, split_1_packed_share=split / 1000, split_1_dictionary_bytes=0,
        split_1_typed_bytes=900, zstd_10_packed_bytes=930, zstd_10_packed_share=0.93, zstd_10_dictionary_bytes=0,
        zstd_10_typed_bytes=0,
    )  # fmt: skip


def test_packs_stand_by_layout_beside_the_dense_one_with_their_speed() -> None:
    times = source(split_1_pack_seconds=2.5, split_1_unpack_bytes_per_s=385e6)
    one = Packed(source=packed(600), timings=times, dense=packed(900), identical=(source(), True))
    text = sound(packs.shown({"Q8_0-50": one, "Q8_0": Packed(source=packed(900))}))
    assert "Q8_0-50 split-1 1,000 600 60.0 % 33.3 % 0 2.5 s 385 MB" in text
    assert "Q8_0-50 zstd-10 1,000 930 93.0 % 0.0 % 0 – –" in text and "Q8_0 split-1 1,000 900 90.0 % – 0 – –" in text
    assert "Q8_0-50 ✓ passed. 1 not unpacked yet." in text


def test_the_goal_of_packing_is_told_of_each_pruned_model() -> None:
    text = sound(packs.goals(source(goal_met_50=0, goal_met_65=1, smaller_50_q8_0=0.3)))
    assert "in all types: 50: NOT met, 65: met." in text
    assert "no pruned model was packed" in sound(packs.goals(source()))


# Confidence


@pytest.fixture(scope="module")
def judged() -> Calibration:
    random = np.random.default_rng(5)
    odds = random.normal(1.0, 1.5, 800)
    right = random.random(800) < 1 / (1 + np.exp(0.8 - 0.5 * odds))
    found = [
        Evidence(str(at), Trace(tokens=1, first=-float(np.log1p(np.exp(-one)))), bool(good))
        for at, (one, good) in enumerate(zip(odds, right, strict=True))
    ]
    settings = CalibrateSettings(
        rows=800, min_rows=100, fit_share=0.5, folds=4, bins=8, resamples=100, max_ece=0.5, coverages=[0.25, 1.0]
    )
    return calibrate(found, settings, seed=3)


def test_confidence_has_a_verdict_each_map_both_pictures_and_coverage(judged: Calibration) -> None:
    found, numbers = plain(judged), source(**judged.metrics(0.5))
    best = judged.chosen
    said = sound(confidence.lead(numbers))
    assert f"The goal is met: calibration error {best.ece.value:.4f} (" in said and "n = 400" in said
    goal = source(**judged.metrics(0.0001))
    assert "The goal is NOT met" in sound(confidence.lead(goal))
    text = sound(confidence.maps(found, numbers))
    assert text.count("✓ chosen") == 1 and f"{best.method} first" in text and f"{judged.raw_brier:.4f}" in text
    assert all(method in text for method in ("temperature", "platt", "isotonic"))
    pictures = [confidence.reliability(found, numbers), confidence.selective(found, numbers)]
    assert str(pictures[0]).count('class="s3"') == len(judged.bins) + 1 and "of 400 answers" in sound(pictures[0])
    assert f"Area {best.selective.area:.3f}" in sound(pictures[1])
    assert f"100.0 % {100 * judged.pass_rate:.1f} %" in sound(confidence.coverage(found, numbers))


def test_without_a_map_nothing_is_claimed() -> None:
    text = sound(confidence.nothing(source(n=7, passed=7, calibrated=0)))
    assert "7 judged answers, 7 of them right: too few, or all alike" in text and "No map" in text
