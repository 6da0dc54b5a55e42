"""Phase 2 on the smoke root: what its steps wrote belongs together, and follows the verdict of phase 1D."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from smoke_run import Smoke

from lib.compress import calibrate
from lib.compress.frontier_variants import Frontier
from lib.compress.gguf_variants import read_types
from lib.compress.prune_achieved import measure
from lib.compress.prune_settings import ShapeSettings
from lib.data import jsonl
from lib.data.rows import Row
from lib.evaluate.results import Results, read_results, write_results
from lib.model import identity
from tasks.phase2_calibrate import calibrate as calibrate_step
from tasks.phase2_parent import parent as parent_step

FILES = ("Q8_0", "Q5_K_M", "Q4_0", "Q4_0-imatrix", "awq-Q8_0", "50-Q8_0", "50-Q4_0", "mix-0", "mix-1")


@pytest.fixture
def made(smoke: Smoke) -> Path:
    """The phase's folder."""
    return smoke.root / "phase2"


def ids(path: Path) -> list[str]:
    return [row.id for row in jsonl.read(path, Row)]


def table(made: Path) -> Frontier:
    return msgspec.json.decode((made / "frontier/frontier.json").read_bytes(), type=Frontier)


# The parent


def test_the_parent_is_what_phase_1d_left_over(smoke: Smoke, made: Path) -> None:
    adopted = smoke.json("phase1c/compare/metrics.json")["adopted"]
    assert smoke.json("phase2/parent/metrics.json")["targeted"] == adopted
    base = smoke.root / ("phase1c" if adopted else "phase1a")
    name = "targeted" if adopted else "tuned"
    assert (made / "parent/model/model.safetensors").read_bytes() == (
        base / "merge" / name / "model/model.safetensors"
    ).read_bytes()
    assert (made / "parent/results.jsonl").read_bytes() == (base / "evaluate" / name / "results.jsonl").read_bytes()


@pytest.mark.parametrize(("adopted", "wanted"), [({"adopted": 1}, "new"), ({"adopted": 0}, "old"), ({}, "old")])
def test_a_verdict_decides_which_model_is_compressed(
    smoke: Smoke, tmp_path: Path, adopted: dict[str, int], wanted: str
) -> None:
    """No verdict at all, where nobody could judge an answer, adopts nothing."""
    given: dict[str, list[Path]] = {"models": [], "files": [], "answers": []}
    file = (smoke.root / "phase2/parent/model-f16.gguf").read_bytes()
    for name in ("old", "new"):
        folder = tmp_path / name
        folder.mkdir()
        for key, path in (("models", folder), ("files", folder / "f16.gguf"), ("answers", folder / "results.jsonl")):
            given[key].append(path)
        (folder / "f16.gguf").write_bytes(file)
        (folder / "results.jsonl").write_text(name)
    (tmp_path / "compared.json").write_text(json.dumps(adopted))
    places = {key: tmp_path / key for key in ("model", "f16", "types", "results")}
    found = parent_step(compared=tmp_path / "compared.json", **given, **places)
    assert places["results"].read_text() == wanted
    assert found.metrics["targeted"] == int(wanted == "new")
    assert (places["model"] / "results.jsonl").read_text() == wanted


# Rows


def test_what_recovery_learnt_is_not_what_confidence_was_judged_on(smoke: Smoke, made: Path) -> None:
    learn, judge, asked = (set(ids(made / f"divide/{name}.jsonl")) for name in ("learn", "judge", "asked"))
    learnt = set(json.loads((made / "recover/learn/learnt.json").read_text()))
    assert learnt and learnt <= learn and not learnt & judge
    assert asked == learn | judge == set(ids(smoke.root / "phase0/decontaminate/calibration.jsonl"))
    answered = read_results(made / "ask/results.jsonl")
    assert {row.id for row in answered.rows} == asked
    judged = smoke.json("phase2/calibrate/metrics.json")
    assert judged["calibrated"] == 1 and judged["n_judged"] == len(judge) and judged["n_fit"] == len(learn)


def test_there_is_no_confidence_where_nothing_was_right(smoke: Smoke, made: Path, tmp_path: Path) -> None:
    answered = read_results(made / "ask/results.jsonl")
    wrong = [msgspec.structs.replace(row, outcome="fail") for row in answered.rows]
    write_results(tmp_path / "wrong.jsonl", Results(answered.harness, wrong))
    step = {"judged": made / "divide/judge.jsonl", "traces": made / "trace/traces.jsonl"}
    places = {key: tmp_path / key for key in ("confidence", "calibration", "picture")}
    settings = calibrate_settings()
    found = calibrate_step(results=tmp_path / "wrong.jsonl", **step, **places, settings=settings, seed=1)
    assert found.metrics == {"n": len(wrong), "passed": 0, "calibrated": 0}
    assert places["confidence"].read_bytes() == b"null\n"
    assert calibrate.load(made / "calibrate/confidence.json").n > 0


def calibrate_settings() -> Any:
    from lib.pipeline import config
    from lib.settings import Config

    directory = Path(__file__).parents[1] / "config"
    return config.load(
        Config, config.choose({"PROFILE": "smoke", "CONFIG_LOCAL": ""}, directory), directory
    ).compress.calibrate


# Pruned models


@pytest.mark.parametrize(
    ("step", "share", "pattern"),
    [
        ("prune/magnitude-2of4", 0.5, "2:4"), ("prune/magnitude-50", 0.5, ""), ("prune/sparsegpt-65s", 0.65, ""),
        ("prune/gradual", 0.65, ""), ("best/50", 0.5, ""),
    ],
)  # fmt: skip
def test_pruned_folders_are_as_sparse_as_their_names_say(made: Path, step: str, share: float, pattern: str) -> None:
    found = measure(made / step / "model", ShapeSettings(share=share, pattern=pattern))
    assert found.share == pytest.approx(share, abs=1e-4) and found.violations == 0
    assert measure(made / "parent/model", ShapeSettings(share=share)).share < 0.01


def test_the_best_of_a_shape_is_the_one_that_was_measured_closest(smoke: Smoke, made: Path) -> None:
    choice = smoke.json("phase2/best/50/choice.json")
    measured = {name: smoke.json(f"phase2/divergence/{name}/metrics.json")["kl_nats"] for name in choice["kl_nats"]}
    assert measured == choice["kl_nats"] and choice["best"] == min(measured, key=measured.__getitem__)
    folder = made / f"prune/{choice['best']}/model"
    assert identity.reference(made / "best/50/model") == identity.reference(folder)


def test_recovery_left_the_zeros_of_the_compressed_model(made: Path) -> None:
    shape = ShapeSettings(share=0.5)
    before, after = (measure(made / f"recover/{name}/model", shape) for name in ("decode", "merged"))
    assert sum(before.zeros.values()) > 0 and before.zeros == after.zeros
    taught, plain = (made / f"recover/{name}/model/model.safetensors" for name in ("merged", "decode"))
    assert taught.read_bytes() != plain.read_bytes()


# Files


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_measured_against_the_parent(smoke: Smoke, made: Path, name: str) -> None:
    file = made / f"gguf/{name.lower()}/model-{name.lower()}.gguf"
    assert read_types(made / f"gguf/{name.lower()}/types.json").size_bytes == file.stat().st_size
    metrics = smoke.json(f"phase2/divergence/{name.lower()}/metrics.json")
    assert metrics["kl_nats"] > 0 and metrics["size_bytes"] == file.stat().st_size and 0 < metrics["top1"] <= 1
    took = smoke.json(f"phase2/divergence/{name.lower()}/timings.json")
    assert took["file_decode_tok_per_s"] > 0 and took["file_peak_rss_bytes"] > file.stat().st_size


def test_the_parent_is_nothing_away_from_itself(smoke: Smoke) -> None:
    metrics = smoke.json("phase2/divergence/f16/metrics.json")
    assert (metrics["kl_nats"], metrics["top1"], metrics["perplexity_ratio"]) == (0, 1, 1)


def test_types_fall_back_where_the_width_has_no_whole_blocks_and_it_is_said(smoke: Smoke) -> None:
    assert smoke.json("phase2/gguf/q5_k_m/metrics.json")["fallbacks"] > 0
    assert smoke.json("phase2/gguf/q8_0/metrics.json")["fallbacks"] == 0


# The choice


def test_the_frontier_holds_every_file_and_the_finalists_are_three_of_them(smoke: Smoke, made: Path) -> None:
    found, names = table(made), [smoke.json(f"phase2/final/{at}/finalist.json") for at in range(3)]
    assert {each.name for each in found.candidates} == {"f16", *FILES}
    assert [each.name for each in found.accuracies] == names and len(set(names)) == 3 and "f16" not in names
    for at, name in enumerate(names):
        file = made / f"gguf/{name.lower()}/model-{name.lower()}.gguf"
        assert (made / f"final/{at}/final-{at}.gguf").read_bytes() == file.read_bytes()


def test_finalists_were_asked_and_judged_as_their_parent_was(made: Path) -> None:
    parent = read_results(made / "parent/results.jsonl")
    for at in range(3):
        found = read_results(made / f"evaluate/final-{at}/results.jsonl")
        assert found.harness == parent.harness
        assert [row.id for row in found.rows] == [row.id for row in parent.rows]


# Packs


@pytest.mark.parametrize("name", ["q8_0", "q4_0", "50-q8_0", "50-q4_0"])
def test_a_pack_is_smaller_and_its_figures_are_the_files(smoke: Smoke, made: Path, name: str) -> None:
    pack = (made / f"pack/{name}/model.pack").stat().st_size
    metrics = smoke.json(f"phase2/pack/{name}/metrics.json")
    assert metrics["split_1_packed_bytes"] == pack < metrics["size_bytes"]
    assert ("zstd_19_packed_bytes" in metrics) == (name == "q8_0")


def test_zeros_pay_in_the_pack(smoke: Smoke, made: Path) -> None:
    metrics, packs = smoke.json("phase2/pack-table/metrics.json"), made / "pack"
    size = {name: (packs / name / "model.pack").stat().st_size for name in ("q8_0", "50-q8_0")}
    assert metrics["smaller_50_q8_0"] == pytest.approx(1 - size["50-q8_0"] / size["q8_0"])
    assert 0 < metrics["smaller_50_q8_0"] < 0.5


# One variant


def test_one_variants_number_rebuilds_that_variant_and_what_follows(
    smoke: Smoke,
) -> None:
    done = smoke.build("plan", SET="compress.prune.shapes.2of4.methods=['magnitude','wanda']")
    assert set(done.named("run")) == {"phase2_compress:prune/wanda-2of4", "phase2_compress:divergence/wanda-2of4"}
    done = smoke.build("plan", SET="compress.prune.shapes.50.share=0.45")
    assert done.named("run") == ["phase2_compress:prune/magnitude-50"]
    follows = set(done.named("may run"))
    assert "phase2_compress:best/50" in follows and "phase2_compress:gguf/50-q8_0" in follows
    assert not [step for step in follows if step.startswith("phase2_compress:prune/")]
    assert not {"phase2_compress:gguf/q8_0", "phase2_compress:importance/dense", "phase2_compress:ask"} & follows
