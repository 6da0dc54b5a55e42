"""Who is verified next: held against verifying everybody, where answers are lost as expected and where they are not."""

from __future__ import annotations

import math

import msgspec
import pytest
from gguf_toys import candidate

from lib.compress.frontier import Accuracy, Candidate, choose
from lib.compress.frontier_search import next_finalist
from lib.compress.gguf_settings import Calibration, FrontierSettings
from lib.errors import ConfigError
from lib.evaluate.stats import Rate

SETTINGS = FrontierSettings(
    text=Calibration(rows=4, tokens=16), finalists=3, keep=0.97, keep_low=0.95, mobile_share=0.5, mobile_of="Q8_0",
    resamples=500,
)  # fmt: skip
FIELD = [
    candidate("Q8_0", 1000, 0.001),
    candidate("big", 900, 0.004, "ours"),
    candidate("Q6_K", 800, 0.01),
    candidate("mix", 600, 0.02, "ours"),
    candidate("beaten", 650, 0.03),
    candidate("Q4_0", 450, 0.2),
    candidate("tiny", 400, 0.3, "ours"),
]


def lost_at(rate: float, each: Candidate) -> Accuracy:
    kept = 1 - rate * math.sqrt(each.kl)
    return Accuracy(name=each.name, value=kept / 3, kept=Rate(kept, kept - 0.01, kept + 0.01, 300))


def asked(rate: float, settings: FrontierSettings = SETTINGS, field: list[Candidate] = FIELD) -> dict[str, Accuracy]:
    """The finalists in their order, when each loses `rate` of the answers for a root of a nat."""
    judged: dict[str, Accuracy] = {}
    for _ in range(settings.finalists):
        picked = next_finalist(field, judged, settings)
        assert picked.name not in judged
        judged[picked.name] = lost_at(rate, picked)
    return judged


def test_the_best_small_one_comes_first() -> None:
    assert next_finalist(FIELD, {}, SETTINGS).name == "Q4_0"  # "tiny" is under half as well, and further away


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.1, 0.2, 0.28, 0.4, 0.47, 0.8])
def test_the_release_is_what_verifying_everybody_would_have_chosen(rate: float) -> None:
    everybody = {each.name: lost_at(rate, each) for each in FIELD}
    found = asked(rate)
    assert len(found) == 3
    assert choose(FIELD, found, SETTINGS).release == choose(FIELD, everybody, SETTINGS).release


def test_after_a_failure_it_looks_among_the_larger_and_after_a_success_among_the_smaller() -> None:
    judged = {"Q4_0": lost_at(0.31, FIELD[5])}
    second = next_finalist(FIELD, judged, SETTINGS)
    assert second.name == "big"  # 0.31 * sqrt(0.01) is just too much for Q6_K
    lucky = judged | {"big": Accuracy(name="big", value=0.3, kept=Rate(1.0, 0.99, 1.01, 300))}
    assert next_finalist(FIELD, lucky, SETTINGS).name == "Q6_K"
    unsure = judged | {"big": Accuracy(name="big", value=0.3, kept=Rate(0.98, 0.94, 1.01, 300))}
    assert next_finalist(FIELD, unsure, SETTINGS).name == "Q8_0"


def test_refused_ones_the_parent_and_dominated_ones_are_left_out() -> None:
    trapped = [msgspec.structs.replace(each, refused="on the student's grid") for each in FIELD[:3]]
    parent = candidate("f16", 2000, 0.0, "parent")
    names = asked(0.6, field=[*trapped, *FIELD[3:], parent])
    assert list(names) == ["Q4_0", "mix", "beaten"]  # the last for want of others: the third place has to be somebody's
    with pytest.raises(ConfigError, match="Finalist 1 is wanted, 0 candidates"):
        next_finalist([*trapped, parent], {}, SETTINGS)


def test_without_a_small_one_the_search_begins_with_the_smallest() -> None:
    none_small = msgspec.structs.replace(SETTINGS, mobile_share=0.1)
    assert next_finalist(FIELD, {}, none_small).name == "tiny"
    with pytest.raises(ConfigError, match="mobile_of names 'Q8_0'"):
        next_finalist(FIELD[1:], {}, SETTINGS)


def test_a_parent_that_passes_nothing_makes_it_end_with_the_largest() -> None:
    nothing = Accuracy(name="Q4_0", value=0.0, kept=Rate(math.nan, 0.0, math.inf, 20))
    assert next_finalist(FIELD, {"Q4_0": nothing}, SETTINGS).name == "Q8_0"
