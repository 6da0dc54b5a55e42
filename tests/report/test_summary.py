"""The closing summary, rendered to text."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from lib.report import summary

RATES: dict[str, Any] = {
    "acc": 0.5, "acc_low": 0.4, "acc_high": 0.6, "n": 100,
    "acc_code": None, "acc_low_code": None, "acc_high_code": None, "n_code": 0,
}  # fmt: skip
COMPARED = {
    "judged": 100, "adopted": 1, "kept_gain_q8_0": 0.98,
    "gain": 0.3, "gain_low": 0.2, "gain_high": 0.4, "gain_p": 1e-9,
    "above_control": 0.1, "above_control_low": 0.05, "above_control_high": 0.15, "above_control_p": 0.001,
}  # fmt: skip
ANSWER = {"change": "fixed", "source": "gym/sum", "question": "1 + 1?", "before": "3", "after": "2", "reference": "2"}


def shown(*, compared: dict[str, Any] | None = None, answers: Any = ()) -> str:
    console = Console(record=True, width=120, file=open("/dev/null", "w"))  # noqa: SIM115
    steps = [("phase0_dataset:split", 3.0, 2_000_000), ("phase1a_base_training:train", 90.0, 1_000)]
    summary.show(steps, {"student": RATES, "tuned": RATES}, compared, answers, console)
    return console.export_text()


def test_steps_have_times_sizes_and_a_sum() -> None:
    text = shown()
    assert "1m 30s" in text and "2.0 MB" in text and "1m 33s" in text


def test_rates_come_with_n_and_interval() -> None:
    text = shown()
    assert "50.0 % (40.0–60.0)" in text and "100" in text


def test_a_domain_that_was_not_judged_is_named_not_guessed() -> None:
    assert "not evaluated" in shown()


def test_the_claim_names_differences_and_intervals() -> None:
    text = shown(compared=COMPARED)
    assert "is better: over the student +30.0 points" in text and "keeps 98 %" in text and "One seed" in text


def test_a_gain_that_is_not_shown_is_called_that() -> None:
    assert "NOT shown to be better" in shown(compared={**COMPARED, "adopted": 0})


def test_rows_without_verifiers_claim_nothing() -> None:
    assert "nothing is claimed" in shown(compared={"judged": 0})


def test_what_was_released_stands_under_the_claims() -> None:
    console = Console(record=True, width=120, file=open("/dev/null", "w"))  # noqa: SIM115
    summary.show([], {}, COMPARED, [], console, None, "Released: mix-4, keeping 99 %.")
    text = console.export_text()
    assert text.index("is better") < text.index("Released: mix-4")


def test_answers_stand_before_and_after() -> None:
    text = shown(compared=COMPARED, answers=[ANSWER])
    assert "[fixed] gym/sum" in text and "before 3" in text and "after  2" in text
