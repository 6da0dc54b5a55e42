"""What the steps call, on rows of the calibration split as they lie in a file, through the chat template."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from prune_toys import make_rows, recover, settings, training

from lib.compress import prune_recover, prune_sensitivity, prune_variant
from lib.compress.gguf_settings import Calibration
from lib.compress.prune_achieved import measure
from lib.compress.prune_folder import sizes
from lib.compress.prune_settings import ShapeSettings
from lib.compress.prune_text import calibration_ids
from lib.data import jsonl
from lib.data.rows import Message, Row, identified
from lib.errors import DataError, ModelError
from lib.model import toy
from lib.model.chat import Chat
from lib.model.settings import ToySettings
from lib.result import Gate
from lib.train import render

WORDS = "one two three four five six seven eight nine ten".split()
SHAPE = ToySettings(vocab=300, hidden=32, intermediate=64, layers=2, heads=4, kv_heads=2, context=128)
UNEVEN = ShapeSettings(share=0.5, allocation="sensitivity")


def question(at: int) -> Row:
    """A row of the calibration split."""
    said = " ".join(WORDS[(at * 7 + step) % 10] for step in range(3))
    messages = [Message("user", f"Say {said}, {at} times."), Message("assistant", said)]
    return identified(Row(messages=messages, source="toy/say", licence="CC0-1.0", domain="reasoning"))


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A student with a tokenizer, and the file of the calibration split."""
    root = tmp_path_factory.mktemp("given")
    rows = [question(at) for at in range(30)]
    toy.make([message.content for row in rows for message in row.messages], root / "model", SHAPE, 1)
    jsonl.write(root / "rows.jsonl", rows)
    return {"model": root / "model", "rows": root / "rows.jsonl"}


def test_calibration_text_is_whole_conversations_in_the_models_own_format(given: dict[str, Path]) -> None:
    ids = calibration_ids(given["rows"], given["model"], Calibration(rows=5, tokens=20), seed=1)
    assert len(ids) == 5 and max(map(len, ids)) <= 20
    wanted = {tuple(Chat.load(given["model"]).example_ids(question(at).messages)[0][:20]) for at in range(30)}
    assert {tuple(one) for one in ids} <= wanted
    assert ids != calibration_ids(given["rows"], given["model"], Calibration(rows=5, tokens=20), seed=2)
    empty = given["rows"].with_name("empty.jsonl")
    jsonl.write(empty, [])
    with pytest.raises(DataError, match="no rows"):
        calibration_ids(empty, given["model"], Calibration(rows=5, tokens=20), seed=1)


def failed(gates: list[Gate]) -> list[str]:
    return [gate.line() for gate in gates if not gate.passed]


def test_a_variant_is_what_its_name_says(given: dict[str, Path], tmp_path: Path) -> None:
    section = settings(shapes={**settings().shapes, "uneven": UNEVEN})
    curves = tmp_path / "curves.json"
    found = prune_variant.sensitivities(**given, curves=curves, settings=section.sensitivity, seed=1, threads=1)
    assert found["layers"] == 2 and found["error_ratio"] > 1
    metrics, gates = prune_variant.one_shot(
        **given,
        curves=curves,
        out=tmp_path / "out",
        variant="wanda-uneven",
        settings=section.one_shots["wanda-uneven"],
        seed=1,
        threads=1,
    )
    assert metrics["sparsity"] == 0.5 and metrics["sparsity_least"] < metrics["sparsity_most"]
    assert sorted(gate.name for gate in gates) == ["pattern_violations", "sparsity_error"] and failed(gates) == []
    assert metrics["sparsity_of_model"] < 0.5 and 0 < metrics["layer_error_mean"] <= metrics["layer_error_most"]
    with pytest.raises(ModelError, match="sensitivities"):
        prune_variant.wanted(given["model"], UNEVEN, None)


def test_the_gradual_one_takes_the_best_method_and_says_what_it_cost(given: dict[str, Path], tmp_path: Path) -> None:
    for name, count in (("tokens", 12), ("held_out", 6)):
        render.save(make_rows(count), tmp_path / name)
    section, kl = settings(), {"magnitude-50": 0.9, "wanda-50": 0.4, "sparsegpt-50": 0.5, "wanda-65": 0.1}
    metrics, gates = prune_variant.in_stages(
        **given, tokens=tmp_path / "tokens", held_out=tmp_path / "held_out", curves=None, kl_nats=kl,
        out=tmp_path / "out", stages=tmp_path / "stages.json", work=tmp_path / "work", settings=section.staged, seed=1,
        threads=1,
    )  # fmt: skip
    assert failed(gates) == [] and metrics["kl_nats_recovered"] <= metrics["kl_nats_unrecovered"]
    assert sorted(gate.name for gate in gates) == ["mask_violations", "pattern_violations", "sparsity_error"]
    assert sum(measure(tmp_path / "out", UNEVEN).zeros.values()) == sum(sizes(given["model"]).values()) // 2
    written = msgspec.json.decode((tmp_path / "stages.json").read_bytes())
    assert written["method"] == "wanda" and len(written["stages"]) == len(section.gradual.stages)
    with pytest.raises(ModelError, match="sparsegpt-50"):
        prune_variant.best({"magnitude-50": 0.9, "wanda-50": 0.4}, section.staged)


def test_the_hardest_calibration_rows_are_learnt_under_the_mask(given: dict[str, Path], tmp_path: Path) -> None:
    prune_variant.one_shot(
        **given,
        curves=None,
        out=tmp_path / "sparse",
        variant="magnitude-50",
        settings=settings().one_shots["magnitude-50"],
        seed=1,
        threads=1,
    )
    rendered, _ = render.render([question(at) for at in range(30, 40)], Chat.load(given["model"]), max_tokens=128)
    render.save(rendered, tmp_path / "held_out")
    (tmp_path / "work").mkdir()
    train = msgspec.structs.replace(training(), max_tokens=128, block_tokens=256)
    metrics, timings = prune_recover.learn(
        model=tmp_path / "sparse", rows=given["rows"], held_out=tmp_path / "held_out", adapter=tmp_path / "adapter",
        history=tmp_path / "history.jsonl", work=tmp_path / "work", settings=recover(least_answer_tokens=1),
        train=train, seed=1, threads=1,
    )  # fmt: skip
    assert (metrics["candidates"], metrics["hardest"]) == (24, 12) and timings["tok_per_s"] > 0
    assert metrics["hardest_loss_nats"] > metrics["candidate_loss_nats"] and metrics["improved"] == 1
    gates = prune_recover.merged(model=tmp_path / "sparse", adapter=tmp_path / "adapter", out=tmp_path / "merged")
    assert [gate.name for gate in gates] == ["mask_violations"] and failed(gates) == []


def test_sensitivities_are_read_as_they_were_written(given: dict[str, Path], tmp_path: Path) -> None:
    curves = tmp_path / "curves.json"
    prune_variant.sensitivities(**given, curves=curves, settings=settings().sensitivity, seed=1, threads=1)
    again = tmp_path / "again.json"
    prune_sensitivity.save(prune_sensitivity.load(curves), again)
    assert curves.read_bytes() == again.read_bytes()
