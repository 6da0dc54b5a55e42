"""The real pipeline on the smoke profile: every step runs, repeats to the byte, and is listed, planned and pickled."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path, PurePosixPath
from types import ModuleType

import pytest
from smoke_run import REPOSITORY, Smoke, dodo, tasks

from lib.pipeline.config import PROFILES
from lib.pipeline.step import Step

HEAVY = ("torch", "transformers", "datasets", "matplotlib", "llama_cpp", "peft", "pandas", "reasoning_gym")
PHASES = {
    "phase0_dataset": "0 Dataset",
    "phase1a_base_training": "1A Base training",
    "phase1b_failure_analysis": "1B Failure analysis",
    "phase1c_targeted_distillation": "1C/1D Targeted distillation",
    "phase2_compress": "2 Compression",
}


@pytest.fixture(params=PROFILES)
def profile(request: pytest.FixtureRequest) -> str:
    """Each profile in turn."""
    return str(request.param)


@pytest.fixture
def declared(profile: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """dodo.py as that profile declares it."""
    return dodo(monkeypatch, profile, tmp_path / "root")


def steps(module: ModuleType) -> list[Step]:
    """The declared steps, in their order."""
    return [task["meta"]["step"] for task in tasks(module)]


# A finished root


def test_every_step_leaves_lock_numbers_and_its_gates(
    smoke: Smoke, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = steps(dodo(monkeypatch, "smoke", tmp_path / "root"))
    assert len(found) > 20
    for step in found:
        folder = smoke.root / step.folder
        lock = json.loads((folder / "step.lock.json").read_text())
        assert lock["seconds"] > 0 and lock["code"], step.name
        assert isinstance(json.loads((folder / "metrics.json").read_text()), dict)
        gates = json.loads((folder / "gates.json").read_text())
        assert set(gates) == set(step.gates), step.name
        for path in step.writes.values():
            assert (folder / path).exists(), f"{step.name} did not write {path}"


def test_outputs_lie_where_the_task_names_say(smoke: Smoke, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = steps(dodo(monkeypatch, "smoke", tmp_path / "root"))
    wanted = {PurePosixPath(step.name.partition("_")[0], *step.name.partition(":")[2].split("/")) for step in found}
    made = {lock.parent.relative_to(smoke.root) for lock in smoke.root.glob("phase*/**/step.lock.json")}
    assert {str(path) for path in made} == {str(path) for path in wanted}
    found = {path.name for path in smoke.root.iterdir() if not path.name.startswith(".")}
    assert found == {"phase0", "phase1a", "phase1b", "phase1c", "phase2", "report"}


def test_the_model_and_its_files_are_there(smoke: Smoke) -> None:
    assert (smoke.root / "phase1a/merge/tuned/model/model.safetensors").stat().st_size > 100_000
    for kind in ("f16", "q8_0"):
        assert (smoke.root / f"phase1a/gguf/tuned/model-{kind}.gguf").read_bytes()[:4] == b"GGUF"


def test_a_second_run_does_nothing(smoke: Smoke) -> None:
    before = smoke.hashes()
    again = smoke.build()
    assert again.named("run") == [] and "Nothing to do" in again.text
    assert smoke.hashes() == before
    assert smoke.build("plan", "--check").named("same") == list(smoke.build("plan").named("same"))
    verified = smoke.build("verify", "--limits").text
    assert "nothing damaged" in verified and "none over" in verified and "no limit" not in verified


def test_two_clean_runs_give_equal_bytes(smoke: Smoke, tmp_path: Path) -> None:
    other = Smoke(tmp_path / "another" / "place")
    done = other.build(PYTHONHASHSEED="4242", TZ="America/Lima", LC_ALL="C")
    assert "Steps" in done.text and "is NOT shown to be better" in done.text  # the summary; a toy proves nothing
    one, two = smoke.hashes(), other.hashes()
    assert len(one) > 100 and one.keys() == two.keys()
    assert [name for name in one if one[name] != two[name]] == []


# Lists and plans


def test_the_list_is_a_table_of_contents(smoke: Smoke) -> None:
    lines = [line for line in smoke.build("list").text.splitlines() if line.startswith("phase")]
    assert [line.split()[0] for line in lines] == list(PHASES)
    for line, title in zip(lines, PHASES.values(), strict=True):
        assert line.split(maxsplit=1)[1].startswith(title)


def test_the_whole_list_has_every_step(smoke: Smoke, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = smoke.build("list", "--all").text
    listed = [line.split()[0] for line in text.splitlines() if line.startswith("phase") and ":" in line.split()[0]]
    assert listed == [step.name for step in steps(dodo(monkeypatch, "smoke", tmp_path / "root"))]


def test_an_empty_root_is_planned_whole(profile: str, declared: ModuleType, tmp_path: Path) -> None:
    empty = Smoke(tmp_path / "empty")
    done = empty.build("plan", PROFILE=profile)
    assert sorted(done.named("run")) == sorted(step.name for step in steps(declared))
    assert done.named("may run") == done.named("blocked") == done.named("same") == []
    assert f"profile {profile}" in done.text
    assert not empty.root.exists()


def test_steps_are_numbered_in_order_and_documented(declared: ModuleType) -> None:
    numbers: dict[str, list[float]] = {}
    for step in steps(declared):
        number, _, title = step.doc.partition(" ")
        phase, _, place = number.partition(".")
        assert f"phase{phase.lower()}" == step.phase and len(title) > 5, f"{step.name}: {step.doc}"
        numbers.setdefault(phase, []).append(int(place))
    assert all(found == sorted(found) for found in numbers.values())


def test_every_step_names_a_function_that_takes_what_it_is_given(declared: ModuleType) -> None:
    import importlib
    import inspect

    for step in steps(declared):
        module, _, name = step.run.partition(":")
        taken = set(inspect.signature(getattr(importlib.import_module(module), name)).parameters)
        given = {*step.reads, *step.writes, *step.params}
        assert given <= taken and taken - given <= {"work", "cache"}, f"{step.name}: {taken ^ given}"


def test_tasks_pickle(declared: ModuleType) -> None:
    for task in tasks(declared):
        assert pickle.loads(pickle.dumps(task))["name"] == task["name"]


def test_dodo_loads_nothing_heavy(profile: str, tmp_path: Path) -> None:
    script = "import sys, dodo; [list(make()) for name, make in vars(dodo).items() if name.startswith('task_')]"
    script += f"; print([name for name in {HEAVY!r} if name in sys.modules])"
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PROFILE": profile, "ARTIFACTS": str(tmp_path / "root")}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, env={**environ, "CONFIG_LOCAL": ""}, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
