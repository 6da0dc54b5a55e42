"""Recovery with the mask kept: distillation in stages, and adapters beside the model or under its mask."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from prune_toys import (
    HALF,
    SPARSEGPT,
    TWO_OF_FOUR,
    distil,
    make_model,
    make_rows,
    recover,
    sequences,
    settings,
    training,
)  # fmt: skip

from lib.compress import prune_achieved, prune_distil, prune_gradual, prune_hardest, prune_lora
from lib.compress.prune_allocation import uniform
from lib.compress.prune_folder import sizes
from lib.compress.prune_oneshot import prune
from lib.errors import ModelError
from lib.model import identity, weights
from lib.model.merge import merge
from lib.train import render

ROWS, HELD_OUT = make_rows(24, 1), make_rows(8, 2)


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dense parent."""
    return make_model(tmp_path_factory.mktemp("parent"))


@pytest.fixture(scope="module")
def sparse(dense: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half of its weights gone."""
    out = tmp_path_factory.mktemp("sparse")
    prune(
        model=dense, out=out, name="sparse", sequences=sequences(make_rows(12)), zeros=zeros(dense),
        method="magnitude", shape=HALF, sparsegpt=SPARSEGPT, threads=1,
    )  # fmt: skip
    return out


def zeros(model: Path) -> dict[int, int]:
    """Half of each layer."""
    return uniform(sizes(model), 0.5)


def test_divergence_and_its_gradient_are_those_of_autograd() -> None:
    draw = torch.Generator().manual_seed(1)
    head, other = torch.randn(50, 16, generator=draw), torch.randn(50, 16, generator=draw)
    hidden = torch.randn(300, 16, generator=draw, requires_grad=True)  # more than a slice
    taught = torch.randn(300, 16, generator=draw)
    p, q = (taught @ other.T).log_softmax(-1), (hidden @ head.T).log_softmax(-1)
    wanted = torch.nn.functional.kl_div(q, p, log_target=True, reduction="sum")
    (gradient,) = torch.autograd.grad(wanted, hidden)
    found = prune_distil.divergence(hidden, head, taught, other)
    assert torch.allclose(found, wanted, rtol=1e-5)
    assert torch.allclose(torch.autograd.grad(found, hidden)[0], gradient, atol=1e-4)
    assert prune_distil.divergence(taught, other, taught, other) == pytest.approx(0, abs=1e-3)


def test_masked_weights_stay_zero_through_steps_and_the_others_do_as_llmcompressor_would() -> None:
    """Against ConstantPruningModifier, which lets the gradients pass and zeroes the weights after every step."""
    from llmcompressor.core import Event, EventType, State
    from llmcompressor.modifiers.pruning import ConstantPruningModifier

    def trained(held_by_us: bool) -> torch.Tensor:
        torch.manual_seed(3)
        model = torch.nn.Sequential(torch.nn.Linear(8, 8, bias=False), torch.nn.Tanh(), torch.nn.Linear(8, 1))
        weight = model[0].weight
        weight.data[torch.rand(8, 8) < 0.5] = 0
        optimizer, state = torch.optim.SGD(model.parameters(), lr=0.1), State()
        state.update(model=model, optimizer=optimizer)
        modifier = ConstantPruningModifier(targets=["re:^0$"], start=0.0, end=100.0)
        if held_by_us:
            prune_distil.hold_mask(weight)
        else:
            modifier.initialize(state)
        for step in range(5):
            model(torch.randn(16, 8)).square().sum().backward()
            for kind in (EventType.BATCH_START, EventType.OPTIM_PRE_STEP):
                None if held_by_us else modifier.update_event(state, Event(type_=kind, global_step=step))
            optimizer.step()
            optimizer.zero_grad()
            for kind in (EventType.OPTIM_POST_STEP, EventType.BATCH_END):
                None if held_by_us else modifier.update_event(state, Event(type_=kind, global_step=step))
        return weight.detach()

    ours, theirs = trained(True), trained(False)
    assert 20 < int((ours == 0).sum()) < 44 and torch.equal(ours == 0, theirs == 0)
    assert torch.allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("positions", ["all", "answers"])
def test_recovery_comes_closer_to_the_parent_and_fills_no_zero(
    positions: Any, dense: Path, sparse: Path, tmp_path: Path
) -> None:
    recovery = prune_distil.Recovery(dense, sparse, distil(steps=30, positions=positions))
    found = recovery.train(ROWS, HELD_OUT, seed=1)
    assert found.kl_nats < 0.95 * found.initial_kl_nats and found.best_step > 0
    recovery.write(tmp_path / "out", "recovered")
    assert prune_achieved.mask_gate(sparse, tmp_path / "out").passed
    assert prune_achieved.measure(tmp_path / "out", HALF).zeros == zeros(dense)
    same = prune_distil.Recovery(dense, tmp_path / "out", distil(positions=positions))
    assert same.evaluate(HELD_OUT) == pytest.approx(found.kl_nats, rel=1e-5)  # the best is stored


def job(model: Path, **given: Any) -> prune_gradual.Job:
    values = {
        "model": model, "sequences": sequences(make_rows(12)), "zeros": zeros(model), "method": "wanda",
        "shape": HALF, "sparsegpt": SPARSEGPT, "settings": settings().gradual, "seed": 1, "threads": 1,
    }  # fmt: skip
    return prune_gradual.Job(**{**values, **given})


def run(one: prune_gradual.Job, folder: Path) -> list[prune_gradual.Stage]:
    given = {"rows": ROWS, "held_out": HELD_OUT, "name": "gradual"}
    return prune_gradual.gradual(one, out=folder / "out", work=folder / "work", **given)


def test_stages_reach_the_sparsity_and_a_killed_run_ends_in_the_same_bytes(
    dense: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(job(dense), tmp_path / "whole")
    assert [stage.zeros for stage in whole] == [sum(zeros(dense).values()) // 2, sum(zeros(dense).values())]
    assert all(stage.recovered.kl_nats < stage.recovered.initial_kl_nats for stage in whole)
    assert prune_achieved.measure(tmp_path / "whole/out", HALF).zeros == zeros(dense)
    assert [stage.mask_violations for stage in whole] == [0, 0]

    class Killed(BaseException):
        """As far as it got."""

    train, seen = prune_distil.Recovery.train, []

    def dies_in_the_second(self: Any, *args: Any, **given: Any) -> Any:
        seen.append(1)
        if len(seen) == 2:
            raise Killed
        return train(self, *args, **given)

    monkeypatch.setattr(prune_distil.Recovery, "train", dies_in_the_second)
    with pytest.raises(Killed):
        run(job(dense), tmp_path / "killed")
    assert run(job(dense), tmp_path / "killed") == whole and len(seen) == 3  # the first stage was not made again
    for file in (*weights.files(dense), identity.FILE):
        assert (tmp_path / "killed/out" / file).read_bytes() == (tmp_path / "whole/out" / file).read_bytes()
    run(job(dense, seed=2), tmp_path / "killed")
    assert len(seen) == 5  # another run's stages are not continued


def test_a_mask_that_is_not_held_is_counted(dense: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prune_distil, "hold_mask", lambda parameter: parameter.requires_grad_(True))
    found = run(job(dense, settings=msgspec.structs.replace(settings().gradual, stages=[1.0])), tmp_path)
    assert found[0].mask_violations > 0.9 * found[0].zeros


def test_a_pattern_has_no_stages(dense: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="stages"):
        run(job(dense, shape=TWO_OF_FOUR), tmp_path)


def test_the_hardest_rows_are_those_of_highest_loss(sparse: Path) -> None:
    losses = prune_hardest.row_losses(sparse, ROWS, precision="fp32", block_tokens=64, threads=1)
    model = weights.load(sparse)
    for number in (0, 5, 23):  # one row by itself, by transformers' own loss
        ids = torch.from_numpy(ROWS.row(number).astype("int64"))[None]
        labels = ids.clone()
        labels[0, : ROWS.completions[number]] = -100
        assert losses[number] == pytest.approx(float(model(ids, labels=labels).loss.detach()), rel=1e-4)
    found = prune_hardest.hardest(ROWS, losses, 5, least_answer_tokens=6)
    long = [number for number in range(24) if ROWS.lengths[number] - ROWS.completions[number] >= 6]
    best = sorted(long, key=lambda number: -losses[number])[:5]
    assert 5 < len(long) < 24 and found.ids == [ROWS.ids[number] for number in best]
    assert [found.row(at).tolist() for at in range(5)] == [ROWS.row(number).tolist() for number in best]
    everyone = prune_hardest.hardest(ROWS, losses, 5, least_answer_tokens=99)
    assert everyone.ids == prune_hardest.hardest(ROWS, losses, 5, least_answer_tokens=1).ids
    with pytest.raises(ModelError, match="no rows"):
        prune_hardest.hardest(prune_hardest.picked(ROWS, [0]).head(0), [], 5, least_answer_tokens=1)


def adapted(sparse: Path, folder: Path, **given: Any) -> Path:
    """An adapter of the sparse model."""
    for name, rows in (("rows", ROWS), ("held_out", HELD_OUT)):
        render.save(rows, folder / name)
    prune_lora.recover(
        model=sparse, rows=folder / "rows", held_out=folder / "held_out", adapter_out=folder / "adapter",
        history_out=folder / "history.jsonl", settings=recover(**given), train=training(), seed=1, threads=1,
        work=folder / "work",
    )  # fmt: skip
    return folder / "adapter"


def test_an_adapter_under_the_mask_is_the_model_that_was_trained(sparse: Path, tmp_path: Path) -> None:
    adapter = adapted(sparse, tmp_path)
    prune_lora.merge_under_mask(model=sparse, adapter=adapter, out=tmp_path / "merged", name="recovered")
    assert prune_achieved.mask_gate(sparse, tmp_path / "merged").passed
    from peft import PeftModel

    trained = prune_lora.through_mask(PeftModel.from_pretrained(weights.load(sparse), adapter).eval())
    ids = torch.from_numpy(HELD_OUT.row(0).astype("int64"))[None]
    with torch.inference_mode():
        wanted, found, before = (
            model(ids).logits for model in (trained, weights.load(tmp_path / "merged"), weights.load(sparse))
        )
    assert torch.allclose(found, wanted, atol=1e-4) and not torch.allclose(found, before, atol=1e-2)


def test_a_plain_merge_fills_the_zeros_and_the_gate_says_so(sparse: Path, tmp_path: Path) -> None:
    adapter = adapted(sparse, tmp_path)
    merge(base=sparse, adapter=adapter, out=tmp_path / "merged", name="filled")
    gate = prune_achieved.mask_gate(sparse, tmp_path / "merged")
    assert not gate.passed and gate.value > 0.9 * gate.n and "mask_violations" in gate.line()


def test_an_adapter_beside_the_model_leaves_it_alone_and_stops_at_the_first_rise(sparse: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(sparse, tmp_path / "sparse")
    bad = msgspec.structs.replace(recover().train, lr=5.0, steps=40)
    adapter = adapted(copy, tmp_path, hold="separate", train=bad)
    losses = [
        entry["validation_loss"]
        for entry in map(msgspec.json.decode, (tmp_path / "history.jsonl").read_bytes().splitlines())
        if "validation_loss" in entry
    ]
    assert losses[-1] >= min(losses[:-1]) and losses[:-1] == sorted(losses[:-1], reverse=True) and len(losses) < 20
    assert prune_achieved.mask_gate(sparse, copy).passed and (adapter / "adapter_config.json").is_file()


def test_adapters_of_another_model_and_dropout_under_a_mask_are_refused(
    dense: Path, sparse: Path, tmp_path: Path
) -> None:
    adapter = adapted(sparse, tmp_path)
    with pytest.raises(ModelError, match="trained on"):
        prune_lora.merge_under_mask(model=dense, adapter=adapter, out=tmp_path / "merged", name="wrong")
    from lib.train.lora import attach

    lora = msgspec.structs.replace(training().lora, dropout=0.1)
    with pytest.raises(ModelError, match="dropout"):
        prune_lora.through_mask(attach(weights.load(sparse), lora, seed=1, base="toy@1"))
