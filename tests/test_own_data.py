"""A user's own rows and five lines of configuration give a tuned GGUF; without a verifier nothing is claimed.

The smoke student learns its vocabulary from the rows themselves, and sixty of them hold less than its usual 800 tokens:
that value is set here, and more rounds than usual so that it learns to say something; neither concerns a real student.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from smoke_run import Smoke

WORDS = "amber birch cedar delta ember fjord grove haven inlet jetty knoll ledge maple north ocean pearl quill ridge"
COLOURS = ("red", "blue", "green")
SMALL = "student.toy.vocab=320 train.epochs=60 train.steps=60"
FIVE_LINES = """\
[sources]
use = ["own"]
[curate.own]
paths = ["{path}"]
source.verifier = "{verifier}"
"""


def records() -> list[dict[str, str]]:
    """Sixty questions with a colour for an answer."""
    words = WORDS.split()
    return [
        {
            "instruction": f"Which colour marks {words[n % 18]} and {words[(7 * n + 3) % 18]} on shelf {n}?",
            "response": COLOURS[n % 3],
        }
        for n in range(60)
    ]


class Own(Smoke):
    """The smoke profile on a user's file."""

    def __init__(self, folder: Path, file: Path, verifier: str) -> None:
        super().__init__(folder / "root")
        self.local = folder / "local.toml"
        self.local.write_text(FIVE_LINES.format(path=file, verifier=verifier))

    def doit(self, *words: str, **environ: str) -> Any:
        """With the five lines as the user's configuration."""
        return super().doit(*words, **{"CONFIG_LOCAL": str(self.local), "SET": SMALL, **environ})


def json_lines(folder: Path) -> Path:
    """The records as JSON Lines, and two lines that are none."""
    path = folder / "mine.jsonl"
    lines = [json.dumps(record) for record in records()]
    path.write_text("\n".join([*lines, '{"instruction": "half a li', '{"instruction": "no answer"}']) + "\n")
    return path


def parquet(folder: Path) -> Path:
    """The same records as Parquet."""
    import pyarrow
    import pyarrow.parquet

    path = folder / "mine.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records()), path)
    return path


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> Own:
    """A finished run on JSON Lines with exact answers."""
    folder = tmp_path_factory.mktemp("own")
    own = Own(folder, json_lines(folder), "exact")
    own.text = own.build().text  # type: ignore[attr-defined]
    return own


def test_the_example_is_five_lines() -> None:
    assert FIVE_LINES.count("\n") == 5


def test_json_lines_give_a_tuned_file(exact: Own) -> None:
    assert (exact.root / "phase1a/gguf/tuned/model-q8_0.gguf").read_bytes()[:4] == b"GGUF"
    fetched = exact.json("phase0/fetch/own/metrics.json")
    assert (fetched["rows_kept"], fetched["rows_rejected"]) == (60, 2)
    assert exact.json("phase1a/render/metrics.json")["train_rows"] > 20
    assert "fixtures" not in exact.build("list", "--all").text


def test_broken_lines_are_named_in_the_rejects(exact: Own) -> None:
    rejects = [json.loads(line) for line in (exact.root / "phase0/standardise/rejects.jsonl").read_text().splitlines()]
    assert [reject["position"].rpartition(" byte")[0] for reject in rejects] == [
        "mine.jsonl line 61",
        "mine.jsonl line 62",
    ]


def test_exact_answers_are_scored(exact: Own) -> None:
    assert exact.json("phase1a/compare/metrics.json")["judged"] == exact.json("phase0/split/metrics.json")["test"] > 0
    assert "The tuned model is" in exact.text  # type: ignore[attr-defined]


def test_parquet_gives_the_same_rows_and_so_the_same_model(exact: Own, tmp_path: Path) -> None:
    other = Own(tmp_path, parquet(tmp_path), "exact")
    other.build("phase0_dataset:standardise")
    name = "phase0/standardise/rows.jsonl"
    assert (other.root / name).read_bytes() == (exact.root / name).read_bytes()


def test_without_a_verifier_nothing_is_claimed_and_the_build_ends(tmp_path: Path) -> None:
    own = Own(tmp_path, parquet(tmp_path), "none")
    text = own.build().text
    assert own.json("phase1a/compare/metrics.json") == {"judged": 0}
    assert "nothing is claimed" in text and "is better" not in text and "not evaluated" in text
    tuned = own.json("phase1a/evaluate/tuned/metrics.json")
    assert tuned["acc"] is None and tuned["n"] == 0 and tuned["not_evaluated"] > 0
    results = (own.root / "phase1a/evaluate/tuned/results.jsonl").read_text().splitlines()[1:]
    assert {json.loads(line)["reason"] for line in results} == {"no verifier"}
    assert any(json.loads(line)["text"] for line in results)
    assert (own.root / "phase1a/gguf/tuned/model-q8_0.gguf").read_bytes()[:4] == b"GGUF"
    assert own.json("phase2/release/metrics.json") == dict.fromkeys(
        ("release_bytes", "release_packed_bytes", "mobile_bytes", "mobile_packed_bytes"), 0
    )


def test_paths_are_taken_from_the_projects_folder(tmp_path: Path) -> None:
    from smoke_run import REPOSITORY

    relative = os.path.relpath(json_lines(tmp_path), REPOSITORY)
    own = Own(tmp_path, Path(relative), "exact")
    own.build("phase0_dataset:fetch/own")
    assert own.json("phase0/fetch/own/metrics.json")["rows_kept"] == 60


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (("mine.jsonl", "yours.jsonl"), "yours.jsonl"),
        (('"exact"', '"exactly"'), "one of 'none', 'exact', 'number'"),
        (('"own"', '"owns"'), "sources.use"),
        (("paths", "path"), "did you mean curate.own.paths?"),
    ],
)
def test_a_mistake_in_the_five_lines_is_named(tmp_path: Path, change: tuple[str, str], wanted: str) -> None:
    own = Own(tmp_path, json_lines(tmp_path), "exact")
    own.local.write_text(own.local.read_text().replace(*change))
    done = own.doit("phase0_dataset:fetch/own")
    assert done.code != 0 and wanted in done.text and "Traceback" not in done.text, done.text
