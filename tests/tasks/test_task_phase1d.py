"""What phase 1D's steps decide themselves: equal steps, nothing to teach, nothing to ask; and what is said of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from smoke_run import REPOSITORY, Smoke

from lib.data import jsonl
from lib.data.rows import Row
from lib.distil.control import items
from lib.pipeline import config
from lib.result import Result
from lib.settings import Config
from tasks import ablations, chat
from tasks import phase1d_distillation as phase1d

C = config.load(
    Config, config.choose({"PROFILE": "smoke", "CONFIG_LOCAL": ""}, REPOSITORY / "config"), REPOSITORY / "config"
)
RUNS = ("targeted", "control", "second")


def taught(folder: Path, root: Path, **changed: Any) -> Result:
    """The teach step on a finished smoke root, with some of its inputs changed."""
    given = {
        "failures": root / "phase1b/cluster/failures.jsonl", "right": root / "phase1b/cluster/regression.jsonl",
        "sample": root / "phase1b/sample/sample.jsonl",
        "fixed": root / "phase1c/critique/fixed.jsonl", "hard": root / "phase1c/critique/hard.jsonl",
        "pool": root / "phase0/decontaminate/train.jsonl", "train": folder / "train.jsonl",
        "validation": folder / "validation.jsonl", "teachers": folder / "teachers.json", "cache": folder / "cache",
        "fixtures": sorted((REPOSITORY / "tests/fixtures").rglob("*.py")),
    }  # fmt: skip
    settings = {
        "settings": C.teach, "rows": C.distil.rows, "least_rate": C.distil.least_rate,
        "few_answers": C.critique.few_answers, "engine": C.evaluate.engine, "jail": C.jail, "code": C.sources.code,
        "threads": 1, "seed": 1,
    }  # fmt: skip
    return phase1d.teach(**{**given, **settings, **changed})


def test_settings_differ_from_base_training_where_the_section_says() -> None:
    changed = {name for name in C.train.__struct_fields__ if getattr(C.train, name) != getattr(C.distilled, name)}
    assert changed <= set(C.distil.train.__struct_fields__)
    assert {name: getattr(C.distilled, name) for name in C.distil.train.__struct_fields__} == msgspec.structs.asdict(
        C.distil.train
    )


def test_all_runs_took_as_many_steps_and_two_seeds_are_two_models(smoke: Smoke) -> None:
    histories = [smoke.root / f"phase1c/train/{name}/history.jsonl" for name in RUNS]
    assert len({phase1d._steps(path) for path in histories}) == 1
    hashes = smoke.hashes()
    assert len({hashes[f"phase1c/merge/{name}/model/model.safetensors"] for name in RUNS}) == 3


def test_a_follower_trains_as_long_as_its_pattern_whatever_the_stop_says(smoke: Smoke, tmp_path: Path) -> None:
    pattern = tmp_path / "pattern.jsonl"
    jsonl.write(pattern, [{"step": 0, "validation_loss": 9.0}, *({"step": n, "loss": 1.0} for n in range(1, 6))])
    hasty = msgspec.structs.replace(
        C.distilled, steps=2, epochs=0.1, evaluate_every=1, patience=1, min_gain=100.0, plateau_evaluations=2,
        plateau_deviation=10.0,
    )  # fmt: skip
    tensors = smoke.root / "phase1c/render/targeted"
    result = phase1d.train_as_long(
        tokens=tensors / "train", held_out=tensors / "validation", student=smoke.root / "phase1a/merge/tuned/model",
        pattern=pattern, adapter=tmp_path / "adapter", history=tmp_path / "history.jsonl",
        curve=tmp_path / "curve.svg", work=tmp_path / "work", settings=hasty, seed=1, threads=1,
    )  # fmt: skip
    assert result.metrics["steps"] == phase1d._steps(tmp_path / "history.jsonl") == 5


def test_every_failure_of_the_smoke_root_is_taught_by_somebody(smoke: Smoke, tmp_path: Path) -> None:
    result = taught(tmp_path, smoke.root)
    failures = list(jsonl.read(smoke.root / "phase1b/cluster/failures.jsonl", dict))
    assert result.metrics["failures"] == len(failures) > 0
    assert result.metrics["self_fixed"] + result.metrics["asked"] == result.metrics["items"] == len(failures)
    assert result.timings == {"usd": 0.0} and all(gate.passed for gate in result.gates)
    rows = [*jsonl.read(tmp_path / "train.jsonl", Row), *jsonl.read(tmp_path / "validation.jsonl", Row)]
    assert items(rows) == {one["id"] for one in failures}


def test_where_nothing_failed_nothing_is_taught_and_the_build_goes_on(smoke: Smoke, tmp_path: Path) -> None:
    empty = tmp_path / "none.jsonl"
    empty.write_bytes(b"")
    result = taught(tmp_path, smoke.root, failures=empty, fixed=empty, hard=empty)
    assert (result.metrics["items"], result.metrics["train_forward"], result.metrics["validation_rows"]) == (0, 0, 0)
    assert result.metrics["train_rehearsal"] == result.metrics["train_rows"] > 0
    assert all(gate.passed for gate in result.gates) and json.loads((tmp_path / "teachers.json").read_text()) == []


def test_with_self_the_hard_items_stay_untaught(smoke: Smoke, tmp_path: Path) -> None:
    result = taught(tmp_path, smoke.root, settings=msgspec.structs.replace(C.teach, use="self"))
    assert result.metrics["answers_items_untaught"] == result.metrics["asked"] > 0
    assert result.metrics["train_forward"] <= result.metrics["self_fixed"]


def test_where_the_parent_got_nothing_right_nothing_is_asked(tmp_path: Path) -> None:
    empty = tmp_path / "none.jsonl"
    empty.write_bytes(b"")
    result = phase1d.regression(
        model=tmp_path, tokenizer=tmp_path, rows=empty, fixtures=[], results=tmp_path / "results.jsonl", work=tmp_path,
        cache=tmp_path, settings=C.evaluate, jail=C.jail, code=C.sources.code, threads=1, seed=1,
    )  # fmt: skip
    assert result.metrics == {"n": 0} and (tmp_path / "results.jsonl").read_bytes() == b""


def test_all_of_the_regression_set_is_asked(smoke: Smoke) -> None:
    asked = jsonl.count(smoke.root / "phase1b/cluster/regression.jsonl")
    assert smoke.json("phase1c/compare/metrics.json")["retained_targeted_n"] == asked > 0
    assert smoke.json("phase1c/regression/targeted/metrics.json")["n"] == asked


# What a user sees of it


@pytest.mark.parametrize("adopted", [0, 1])
def test_chat_takes_the_taught_model_when_it_was_adopted(
    smoke: Smoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, adopted: int
) -> None:
    for folder in ("phase1a/gguf/tuned", "phase1c/gguf", "phase1c/compare"):
        shutil.copytree(smoke.root / folder, tmp_path / folder)
    metrics = tmp_path / "phase1c/compare/metrics.json"
    metrics.write_text(json.dumps({**json.loads(metrics.read_text()), "adopted": adopted}))
    handed: list[list[str]] = []
    monkeypatch.setattr("lib.serve.chat.main", lambda arguments: handed.append(arguments) or 0)
    monkeypatch.setenv("ARTIFACTS", str(tmp_path))
    assert chat.main([]) == 0
    assert handed[0][1] == str(tmp_path / ("phase1c/gguf" if adopted else "phase1a/gguf/tuned") / "model-q8_0.gguf")


def test_a_comparison_without_a_lock_has_adopted_nothing(smoke: Smoke, tmp_path: Path) -> None:
    shutil.copytree(smoke.root / "phase1c/gguf", tmp_path / "phase1c/gguf")
    (tmp_path / "phase1c/compare").mkdir()
    (tmp_path / "phase1c/compare/metrics.json").write_text('{"adopted": 1}')
    assert not chat._usable(tmp_path, chat.FURTHEST_FIRST[1])


def test_the_page_says_who_taught_and_what_it_was_worth(smoke: Smoke) -> None:
    page = (smoke.root / "report/index.html").read_text(encoding="utf-8")
    part = page[page.index('<section id="teachers">') : page.index('<section id="targets">')]
    for words in ("the row&#x27;s own field", "No paid teacher was ever asked", "taught at random", "Still right of"):
        assert words in part, words
    top = page[: page.index('<section id="graph">')]
    assert "The model taught on its failures" in top


def test_the_reverse_pairs_are_ablated_on_the_finished_root(smoke: Smoke, monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in {"PROFILE": "smoke", "ARTIFACTS": str(smoke.root), "CONFIG_LOCAL": ""}.items():
        monkeypatch.setenv(key, value)
    before = smoke.hashes()
    assert ablations.main(["reverse-pairs"]) == 0
    found = smoke.json(".ablations/reverse-pairs.json")["differences"]
    after = smoke.json("phase1c/evaluate/targeted/metrics.json")
    assert (found[0]["part"], found[0]["n"], found[0]["after"]) == ("overall", after["n"], after["acc"])
    rows = list(jsonl.read(smoke.root / ".ablations/reverse-pairs/train.jsonl", Row))
    assert "reverse" not in {row.provenance["direction"] for row in rows}
    assert smoke.hashes() == before
