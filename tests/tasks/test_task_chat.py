"""`make chat` finds the model of the chosen profile's root, or says what to do."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from smoke_run import REPOSITORY, Smoke

from lib.pipeline.step import LOCK_NAME
from tasks import chat


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What lib.serve.chat is called with."""
    calls: list[list[str]] = []
    monkeypatch.setattr("lib.serve.chat.main", lambda arguments: calls.append(arguments) or 0)
    return calls


def test_nothing_finished_is_said_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], handed: list[list[str]]
) -> None:
    monkeypatch.setenv("ARTIFACTS", str(tmp_path))
    assert chat.main([]) == 1 and handed == []
    said = capsys.readouterr().err
    assert f"no finished model under {tmp_path}" in said and "make run" in said


def test_a_file_without_a_lock_is_not_a_finished_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, handed: list[list[str]]
) -> None:
    monkeypatch.setenv("ARTIFACTS", str(tmp_path))
    file = tmp_path / chat.FURTHEST_FIRST[0].step / chat.FURTHEST_FIRST[0].file
    file.parent.mkdir(parents=True)
    file.write_bytes(b"GGUF")
    assert chat.main([]) == 1 and handed == []


def test_the_finished_model_is_named_and_handed_over(
    smoke: Smoke, monkeypatch: pytest.MonkeyPatch, handed: list[list[str]]
) -> None:
    monkeypatch.setenv("PROFILE", "smoke")
    monkeypatch.setenv("ARTIFACTS", str(smoke.root))
    assert chat.main(["--once", "Hello"]) == 0
    (arguments,) = handed
    given = dict(zip(arguments[::2], arguments[1::2], strict=True))
    assert given["--model"] == str(smoke.root / "phase1a/gguf/tuned/model-q8_0.gguf")
    assert Path(given["--tokenizer"], "tokenizer.json").is_file()
    assert "phase 1A" in given["--name"] and given["--once"] == "Hello"


@pytest.mark.parametrize("place", chat.FURTHEST_FIRST[1:])
def test_every_model_it_looks_for_is_one_that_a_step_writes(smoke: Smoke, place: chat.Place) -> None:
    assert (smoke.root / place.step / place.file).is_file() and (smoke.root / place.step / LOCK_NAME).is_file()


def test_the_release_is_there_when_one_was_chosen_and_only_then(
    smoke: Smoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, handed: list[list[str]]
) -> None:
    place = chat.FURTHEST_FIRST[0]
    chosen = smoke.json(f"{place.step}/files/chosen.json")["release"]
    assert (smoke.root / place.step / place.file).is_file() == (chosen is not None)
    for folder in (place.step, "phase1a/gguf/tuned"):
        shutil.copytree(smoke.root / folder, tmp_path / folder)
    monkeypatch.setenv("ARTIFACTS", str(tmp_path))
    (tmp_path / place.step / place.file).unlink(missing_ok=True)
    assert chat.main([]) == 0 and "phase1a" in handed[-1][1]
    (tmp_path / place.step / place.file).write_bytes(b"GGUF")
    assert chat.main([]) == 0 and handed[-1][1] == str(tmp_path / place.step / place.file)


def ask(**environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tasks.chat", "--once", "1 + 1?", "--threads", "1", "--max-new-tokens", "4"]
    kept = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, cwd=REPOSITORY, env={**kept, **environ}, capture_output=True, text=True, check=False
    )  # fmt: skip


def test_the_finished_model_answers(smoke: Smoke) -> None:
    done = ask(PROFILE="smoke", ARTIFACTS=str(smoke.root))
    assert done.returncode == 0 and done.stdout.endswith("\n"), done.stderr


def test_a_profile_that_is_none_is_one_line() -> None:
    done = ask(PROFILE="smok")
    assert done.returncode == 1 and "did you mean smoke?" in done.stderr and "Traceback" not in done.stderr
