"""The whole page over real roots, read off its markup: self-contained, every link resolves, every figure has a lock."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from page_parser import Page
from smoke_run import REPOSITORY, Smoke
from test_markup import HOSTILE

SECTIONS = [
    "graph", "data", "learning", "accuracy", "files", "failures", "compressed", "pruned", "packs", "confidence",
    "targets", "gates", "misses", "answers", "steps", "locks",
]  # fmt: skip


def page(root: Path) -> Page:
    return Page((root / "report/index.html").read_text(encoding="utf-8"))


def faults(root: Path) -> list[str]:
    """Everything in which a root's page breaks a promise."""
    found = page(root)
    doubled = {name for name in found.ids if found.ids.count(name) > 1}
    figures = [href for href, kind in found.links if "n" in kind.split()]
    astray = [href for href in figures if not href.startswith(("#lock", "#steps", "#graph"))]
    return [*found.faults, *found.dangling(root / "report"), *found.unanswered(), *doubled, *astray]


def test_a_run_left_the_page_behind(smoke: Smoke) -> None:
    assert (smoke.root / "report/index.html").is_file()
    assert "up to date" in smoke.build("report").text


def test_the_page_keeps_its_promises(reported: Smoke) -> None:
    assert faults(reported.root) == []
    found = page(reported.root)
    assert set(SECTIONS) <= set(found.ids) and found.ids[0] == "headline"
    locks = list(reported.root.glob("phase*/**/step.lock.json"))
    assert len([name for name in found.ids if name.startswith("lock-")]) == len(locks) > 20
    assert len(found.links) > 300 and len(found.cells) > 150


def test_the_page_forbids_scripts_and_requests(reported: Smoke) -> None:
    text = (reported.root / "report/index.html").read_text()
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert policy and "default-src &#x27;none&#x27;" in policy[1] and "script-src" not in policy[1]


def test_the_headline_says_what_came_out_and_that_smoke_claims_nothing(reported: Smoke) -> None:
    text = (reported.root / "report/index.html").read_text()
    top = Page(text[text.index('<section id="headline">') : text.index('<section id="graph">')]).text
    files = reported.json("phase1a/gguf/tuned/metrics.json")
    tuned = reported.json("phase1a/evaluate/tuned/metrics.json")
    assert "checks the plumbing" in top and "claim" in top and "NOT shown to be better" in top and "One seed" in top
    assert f"{100 * tuned['acc']:.1f} %" in top and f"n = {tuned['n']}" in top
    assert f"{100 * tuned['acc_low']:.1f}–{100 * tuned['acc_high']:.1f}" in top
    assert f"{files['q8_0_size_bytes'] / 1000:.0f} kB" in top and "all steps" in top
    assert all(name in top for name in ("student", "control", "tuned", "automation", "code", "reasoning"))


def test_numbers_are_those_of_the_files(reported: Smoke) -> None:
    text = " ".join(page(reported.root).text.split())
    train, kept = reported.json("phase1a/train/metrics.json"), reported.json("phase0/verify/metrics.json")["rows_kept"]
    assert f"{train['best_validation_loss']:.3g}" in text and f"{train['tokens']:,}" in text
    assert re.search(rf"all sources [\d ]+ {kept}\b", text)
    for gates in reported.root.glob("phase*/**/gates.json"):
        for name in json.loads(gates.read_text()):
            assert f" {name} phase" in text
    assert text.count("✕ failed") == 1  # in the legend
    assert "impossible as stated" in text


def test_a_lock_can_be_read_on_the_page(reported: Smoke) -> None:
    lock = (reported.root / "phase1a/train/step.lock.json").read_text().strip()
    assert lock in page(reported.root).text


@pytest.mark.parametrize("profile", ["smoke", "cpu", "h100"])
def test_an_empty_root_has_a_page(tmp_path: Path, profile: str) -> None:
    empty = Smoke(tmp_path / "root")
    empty.build("report", PROFILE=profile)
    assert faults(empty.root) == []
    text = " ".join(page(empty.root).text.split())
    assert "No verdict yet" in text and text.count("Not built yet") >= 6 and "✓ up to date" in text  # the legend
    assert {path.name for path in empty.root.iterdir()} <= {"report", ".cache"}


STAGES = [
    "phase0/standardise",
    "phase0/verify",
    "phase1a/train",
    "phase1a/merge",
    "phase1a/evaluate/tuned",
    "phase1a/compare",
    "phase2/parent",
    "phase2/frontier",
    "phase2/divergence/q8_0",
    "phase2/prune/gradual",
    "phase2/pack/q8_0",
    "phase2/calibrate",
]


@contextmanager
def put_back(reported: Smoke, *names: str) -> Iterator[list[Path]]:
    """The named files of the root, to be changed; afterwards they are as before, and so is the page."""
    paths = [reported.root / name for name in names]
    before = [path.read_bytes() for path in paths]
    yield paths
    for path, content in zip(paths, before, strict=True):
        path.write_bytes(content)
    reported.build("report")


@pytest.mark.parametrize("gone", STAGES)
def test_a_root_that_lacks_a_step_has_a_page(reported: Smoke, gone: str, tmp_path: Path) -> None:
    folder, aside = reported.root / gone, tmp_path / "aside"
    shutil.move(folder, aside)
    try:
        reported.build("report")
        assert faults(reported.root) == []
    finally:
        shutil.move(aside, folder)
        reported.build("report")


def test_figures_of_an_earlier_state_are_marked(reported: Smoke) -> None:
    with put_back(reported):
        reported.build("report", SET="train.lr=0.001")
        found = page(reported.root)
        stale = {href for href, kind in found.links if "stale" in kind.split()}
        assert "#lock-phase1a_base_training:train" in stale and "#lock-phase0_dataset:split" not in stale
        assert "would run" in found.text and "may run" in found.text


def test_hostile_answers_stay_text(reported: Smoke) -> None:
    with put_back(reported, "phase1a/evaluate/tuned/results.jsonl", "phase1a/compare/comparison.json") as paths:
        for number, words in enumerate(HOSTILE):
            poison(*paths, words, number)
        (reported.root / "report/stamp.json").unlink()
        reported.build("report")
        assert faults(reported.root) == []
        assert "<script>alert(1)</script>" in page(reported.root).text


def poison(results: Path, samples: Path, words: str, number: int) -> None:
    """Put `words` wherever a model or a data set has a say."""
    head, *lines = results.read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    row = rows[number % len(rows)]
    row |= {"text": words, "outcome": "fail", "reason": words, "source": words}
    results.write_text("\n".join([head, *(json.dumps(row) for row in rows)]) + "\n")
    found = json.loads(samples.read_text())
    sample = found["samples"][number % len(found["samples"])]
    sample |= dict.fromkeys(("question", "reference", "before", "after", "source", "change"), words)
    samples.write_text(json.dumps(found))


def test_a_broken_result_is_one_line(reported: Smoke) -> None:
    with put_back(reported, "phase1a/compare/comparison.json") as (path,):
        path.write_bytes(path.read_bytes()[:100])
        done = reported.doit("report")
        assert done.code == 3 and len(done.text.splitlines()) == 1
        assert "comparison.json" in done.text and "doit redo phase1a_base_training:compare" in done.text


def test_gates_of_a_run_that_failed_on_them_are_shown(reported: Smoke, tmp_path: Path) -> None:
    folder, work = reported.root / "phase1a/compare", reported.root / ".work/phase1a/compare"
    gate = {"value": 0.5, "threshold": 0.95, "at_least": True, "n": 12, "interval": None, "reference": None}
    marker = {"key": "k", "attempt": "a", "pid": 1, "started": 1, "state": "failed"}
    shutil.move(folder, tmp_path / "aside")
    try:
        work.mkdir(parents=True)
        (work / "gates.json").write_text(json.dumps({"stop_rate": {**gate, "passed": False}}))
        (work / "running.json").write_text(json.dumps(marker))
        reported.build("report")
        found = page(reported.root)
        text = " ".join(found.text.split())
        assert "held against stop_rate phase1a_base_training:compare 0.5 ≥ 0.95 12 – – ✕ failed" in text
        assert "1 failed last time" in text and found.unanswered() == ["0.5", "≥ 0.95", "12"]
    finally:
        shutil.rmtree(work)
        shutil.move(tmp_path / "aside", folder)
        reported.build("report")


def test_rendering_loads_nothing_heavy(reported: Smoke) -> None:
    script = "import sys; from doit.doit_cmd import DoitMain; assert DoitMain().run(['report']) == 0; "
    script += "sys.exit(str({'torch', 'matplotlib', 'numpy', 'transformers', 'rich', 'pandas'} & set(sys.modules)))"
    environ = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(reported.root),
        "PROFILE": "smoke",
        "ARTIFACTS": str(reported.root),
        "CONFIG_LOCAL": "",
    }
    (reported.root / "report/stamp.json").unlink()
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, env=environ, capture_output=True, text=True)
    assert "rendered in" in done.stdout and done.stderr.strip() == "set()"
