"""The bench of phase 2's memory: a step that walks holds one layer, and one that holds more misses the goal."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import layerwise
from tests.bench.layerwise import Cost, Shape, measure

SMALL = Shape(hidden=1024, inner=2816, layers=(2, 8), rows=2, tokens=16)


def test_importance_holds_one_layer_at_a_time(tmp_path: Path) -> None:
    found = measure(tmp_path, SMALL, ["importance"])
    (goal,) = found["goals"]
    assert goal.name == "importance_growth_layers" and goal.passed, goal.line()  # six layers more would be 265 MB more
    assert found["costs"]["importance"][2].peak_bytes > 4 * SMALL.layer_weights


def test_a_step_that_holds_another_layer_misses_the_goal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def one_more(what: str, shape: Shape, model: Path, layers: int) -> Cost:
        return Cost(1.0, 10**9 + (layers > 2) * (4 * shape.layer_weights + 10**6))

    monkeypatch.setattr(layerwise, "apart", one_more)
    (goal,) = measure(tmp_path, SMALL, ["wanda"])["goals"]
    assert not goal.passed and goal.value > 1


def test_weights_are_those_of_the_model(tmp_path: Path) -> None:
    from lib.compress.prune_folder import sizes

    tiny = Shape(hidden=512, inner=128)
    layerwise.make(tmp_path / "model", tiny, 1)
    assert sizes(tmp_path / "model") == {0: tiny.layer_weights}
