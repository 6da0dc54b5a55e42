"""From a tuned toy to the choice: every function that a step calls, in the order of the steps."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest
from gguf_toys import TEXTS, model
from safetensors.numpy import load_file, save_file

from lib.compress import frontier_measure, frontier_variants, ggml, gguf_variants
from lib.compress.frontier_variants import Files
from lib.compress.gguf_settings import (
    Calibration,
    FrontierSettings,
    ImportanceSettings,
    TypeMixSettings,
    TypeSettings,
)
from lib.data import jsonl
from lib.data.rows import Message, Row, identified
from lib.errors import ConfigError
from lib.evaluate.results import Harness, Outcome, ResultRow, Results, write_results
from lib.model.gguf_export import export
from lib.result import Gate

TEXT = Calibration(rows=6, tokens=24)
IMPORTANCE = ImportanceSettings(text=TEXT, head=True)
TYPES = TypeSettings(stock=["Q8_0", "Q5_K_M", "Q4_0"], with_importance=["Q4_0"], grid_share=0.5)
MIX = TypeMixSettings(
    text=TEXT, kinds=["Q8_0", "Q5_0", "Q5_1", "Q4_0", "Q3_K"], head_kinds=["Q8_0", "Q5_0"], of="dense",
    bits=[5.5, 7.0], units=5000,
)  # fmt: skip
FRONTIER = FrontierSettings(
    text=TEXT, finalists=3, keep=0.97, keep_low=0.95, mobile_share=0.6, mobile_of="Q8_0", resamples=200
)
SEED = {"seed": 5}


class Root(msgspec.Struct):
    """A folder with everything the steps made."""

    folder: Path
    gates: dict[str, list[Gate]]
    files: list[Files]

    def path(self, name: str) -> Path:
        return self.folder / name


def split(folder: Path, name: str, texts: list[str]) -> Path:
    rows = [
        identified(
            Row(messages=[Message("user", text), Message("assistant", "So it is.")], source="a/b", licence="MIT",
                domain="general")
        )
        for text in texts
    ]  # fmt: skip
    jsonl.write(folder / name, rows)
    return folder / name


def on_q4_1(folder: Path, out: Path) -> Path:
    shutil.copytree(folder, out)
    found = load_file(out / "model.safetensors")
    rounded = {name: ggml.rounded(w, "Q4_1") if w.ndim == 2 else w for name, w in found.items()}
    save_file(rounded, out / "model.safetensors", metadata={"format": "pt"})
    return out


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Root:
    """The steps in their order: importance, grid, stock types, errors, mixes, divergences."""
    made = Root(tmp_path_factory.mktemp("chain"), {}, [])
    at, tuned = made.path, model("chatml")
    long = [text for text in TEXTS if len(text) > 100]
    rows, held_out = split(at(""), "calibration.jsonl", long[:20]), split(at(""), "validation.jsonl", long[20:40])
    export(tuned, at("f16.gguf"), "f16")
    common = {"f16": at("f16.gguf"), "matrix": at("matrix.gguf"), "threads": 1}
    _, made.gates["importance"] = gguf_variants.importance(
        model=tuned, rows=rows, settings=IMPORTANCE, **common, **SEED
    )
    gguf_variants.grid(student=on_q4_1(tuned, at("student")), tuned=tuned, out=at("grid.json"), share=TYPES.grid_share)
    kept = {"grid": at("grid.json")}
    for kind in TYPES.stock:
        used = {**common, "matrix": at("matrix.gguf") if kind in TYPES.with_importance else None}
        outs = {"out": at(f"{kind}.gguf"), "types": at(f"{kind}.types.json")}
        _, made.gates[kind] = gguf_variants.stock(kind=kind, **outs, **used, **kept)
    gguf_variants.errors(
        model=tuned, rows=rows, matrix=at("matrix.gguf"), options=at("options.json"), settings=MIX.errors, threads=1,
        **kept, **SEED,
    )  # fmt: skip
    for number in range(len(MIX.bits)):
        outs = {"out": at(f"mix-{number}.gguf"), "types": at(f"mix-{number}.types.json")}
        _, made.gates[f"mix-{number}"] = gguf_variants.mixed(
            options=at("options.json"), bits=MIX.bits[number], units=MIX.units, **outs, **common, **kept
        )
    for name in (*TYPES.stock, "mix-0", "mix-1"):
        paths = {"gguf": at(f"{name}.gguf"), "divergence": at(f"{name}.divergence.json")}
        frontier_measure.divergence_of_file(
            f16=at("f16.gguf"), gguf=paths["gguf"], rows=held_out, tokenizer=tuned, out=paths["divergence"],
            text=TEXT, resamples=FRONTIER.resamples, threads=1, **SEED,
        )  # fmt: skip
        origin = "ours" if name.startswith("mix") else "stock"
        made.files.append(Files(name=name, origin=origin, types=at(f"{name}.types.json"), **paths))
    return made


def answers(path: Path, passed: int, failed: Outcome = "fail") -> Path:
    harness = Harness(
        template_sha="t", tokenizer_sha="k", limits={}, decoding="greedy", engine={}, precision="gguf", judge_sha="j",
        rows_sha="r", n=20,
    )  # fmt: skip
    rows = [
        ResultRow(
            id=str(at), domain="d", source="s", outcome="pass" if at < passed else failed, finish="stop", tokens=1,
            text="",
        )
        for at in range(20)
    ]  # fmt: skip
    write_results(path, Results(harness, rows))
    return path


def test_every_gate_of_the_steps_passes_but_those_that_must_not(root: Root) -> None:
    failed = {(name, gate.name) for name, gates in root.gates.items() for gate in gates if not gate.passed}
    assert failed == set()
    names = {gate.name for gates in root.gates.values() for gate in gates}
    assert names >= {
        "imatrix_entries_changed", "imatrix_tensors_wrong", "tensor_sizes_wrong", "mix_types_wrong", "mix_bytes_off",
        "tensors_on_students_grid",
    }  # fmt: skip


def test_types_of_the_grid_are_left_out_of_mixes_and_refused_in_stock_files(root: Root) -> None:
    grid = gguf_variants.read_grid(root.path("grid.json"))
    assert grid is not None and grid.kind == "Q4_1"
    options = gguf_variants.read_options(root.path("options.json"))
    assert "Q5_1" not in {option.kind for found in options.values() for option in found}
    refusals = {name: gguf_variants.refusal(gguf_variants.read_types(root.path(f"{name}.types.json")), grid)
                for name in (*TYPES.stock, "mix-0")}  # fmt: skip
    assert refusals["Q8_0"] == refusals["mix-0"] == ""
    assert "by a rule" in refusals["Q5_K_M"]


def test_a_budget_that_nothing_fits_into_is_an_error(root: Root, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="A mix takes at least"):
        gguf_variants.mixed(
            options=root.path("options.json"), f16=root.path("f16.gguf"), matrix=root.path("matrix.gguf"),
            grid=root.path("grid.json"), bits=1.5, units=5000, out=tmp_path / "x", types=tmp_path / "y", threads=1,
        )  # fmt: skip


def test_finalists_are_placed_judged_and_one_is_chosen(root: Root, tmp_path: Path) -> None:
    grid, parent = root.path("grid.json"), answers(tmp_path / "parent.jsonl", 12)
    named, results = [tmp_path / f"{at}.json" for at in range(3)], []
    for at, passed in enumerate((9, 12, 12)):
        metrics, _ = frontier_variants.final(
            files=root.files, grid=grid, parent=parent, earlier=named[:at], results=results, named=named[at],
            place=tmp_path / f"{at}.gguf", settings=FRONTIER, **SEED,
        )  # fmt: skip
        results.append(answers(tmp_path / f"{at}.jsonl", passed))
        assert metrics["size_bytes"] == (tmp_path / f"{at}.gguf").stat().st_size
    names = [frontier_variants.read_name(path) for path in named]
    assert "Q5_K_M" not in names and len(set(names)) == 3
    for at, name in enumerate(names):
        assert (tmp_path / f"{at}.gguf").read_bytes() == root.path(f"{name}.gguf").read_bytes()
    metrics, _ = frontier_variants.frontier(
        files=root.files, grid=grid, parent=parent, named=named, results=results,
        table=tmp_path / "table.json", picture=tmp_path / "frontier.svg", parameters=100_000, settings=FRONTIER, **SEED,
    )  # fmt: skip
    table = msgspec.json.decode((tmp_path / "table.json").read_bytes(), type=frontier_variants.Frontier)
    assert frontier_variants.read_choice(tmp_path / "table.json") == table.choice
    sizes = {each.name: each.bytes for each in table.candidates}
    assert table.choice.release == min(names[1:], key=sizes.__getitem__)
    assert table.choice.verdicts[names[0]] == "too few answers kept"
    assert metrics["release_chosen"] == 1 and metrics["plan_possible"] == 0
    assert table.choice.release in (tmp_path / "frontier.svg").read_text(encoding="utf-8")
    assert sizes == {each.name: each.gguf.stat().st_size for each in root.files}


def test_where_nothing_is_judged_nothing_is_chosen(root: Root, tmp_path: Path) -> None:
    """Without a verifier the shares of the table are no numbers; its choice is read all the same."""
    unjudged = answers(tmp_path / "none.jsonl", 0, "not_evaluated")
    (tmp_path / "name.json").write_text('"Q8_0"')
    frontier_variants.frontier(
        files=root.files, grid=root.path("grid.json"), parent=unjudged, named=[tmp_path / "name.json"],
        results=[unjudged], table=tmp_path / "table.json", picture=tmp_path / "frontier.svg", parameters=100_000,
        settings=FRONTIER, **SEED,
    )  # fmt: skip
    choice = frontier_variants.read_choice(tmp_path / "table.json")
    assert (choice.release, choice.mobile) == (None, None) and choice.verdicts == {"Q8_0": "too few answers kept"}


def test_a_final_without_a_candidate_is_an_error(root: Root, tmp_path: Path) -> None:
    refused = [each for each in root.files if each.name == "Q5_K_M"]
    with pytest.raises(ConfigError, match="Finalist 1 is wanted, 0 candidates may be released"):
        frontier_variants.final(
            files=refused, grid=root.path("grid.json"), parent=answers(tmp_path / "p.jsonl", 1), earlier=[], results=[],
            named=tmp_path / "n", place=tmp_path / "g", settings=FRONTIER, **SEED,
        )  # fmt: skip
