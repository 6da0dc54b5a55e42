"""Both sides of the training bench do the same work on the smoke model, and a side that does not is noticed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from lib.errors import DataError
from lib.train import render
from tests.bench import training
from tests.bench.finished import apart, finished
from tests.bench.training_rivals import Adapter, Choice, Examples, Padded, Rival, our_passes, trainer, validation_loss
from tests.bench.training_sides import Ran, Work, our_steps, ours

if TYPE_CHECKING:  # a child process that imports this module has no tests/ on its path
    from smoke_run import Smoke

STEPS = 6


@pytest.fixture(scope="module")
def work(smoke: Smoke, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Work]:
    """A few steps on the smoke root's rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROFILE", "smoke")
        patch.setenv("ARTIFACTS", str(smoke.root))
        root = finished("phase1a/render/train")
    base, settings = root.root / "phase1a", root.config.train
    rows = training.common_rows(render.load(base / "render/train"), settings, STEPS)
    yield Work(
        train=base / "render/train", validation=base / "render/validation", model=base / "student/model",
        out=tmp_path_factory.mktemp("bench"), rows=rows, steps=STEPS, settings=settings, seed=1, threads=1,
    )  # fmt: skip


def in_folder(work: Work, name: str, **changes: object) -> Work:
    return msgspec.structs.replace(work, out=work.out / name, **changes)


def rival_of(work: Work, **changes: object) -> Rival:
    choice = Choice(precision="fp32", attention="sdpa", micro=work.rows_a_step // 2, sampling="group_by_length")
    return Rival(work=work, choice=msgspec.structs.replace(choice, **changes))


def judged(work: Work) -> float:
    adapter = {"adapter": work.out / "adapter", "rows": 20, "threads": 1}
    return validation_loss(Adapter(model=work.model, validation=work.validation, **adapter))


@pytest.fixture(scope="module")
def our_run(work: Work) -> tuple[Work, Ran]:
    mine = in_folder(work, "ours")
    return mine, ours(mine)


def test_both_sides_train_on_the_same_rows_and_end_alike(our_run: tuple[Work, Ran], work: Work) -> None:
    theirs = in_folder(work, "trainer")
    found, rival = our_run[1], trainer(rival_of(theirs, sampling="as_ours"))
    rows = render.load(work.train).head(work.rows)
    assert (found.rows, found.tokens, found.steps) == (len(rows), len(rows.tokens), STEPS)
    speed, loss = training.goals(found, [rival], rival, judged(our_run[0]), judged(theirs))
    assert speed.value == pytest.approx(rival.seconds / found.seconds)
    assert loss.passed, loss.line()


def test_a_side_that_learns_nothing_is_noticed(our_run: tuple[Work, Ran], work: Work) -> None:
    idle = in_folder(work, "idle", settings=msgspec.structs.replace(work.settings, lr=1e-9))
    _, loss = training.goals(trainer(rival_of(idle)), [our_run[1]], our_run[1], judged(idle), judged(our_run[0]))
    assert not loss.passed


def test_one_step_over_the_same_rows_gives_the_same_adapter(work: Work) -> None:
    """Same start, rate, clipping and loss: else the two would already differ."""
    from safetensors.numpy import load_file

    rows = training.common_rows(render.load(work.train), work.settings, 1)
    mine, theirs = in_folder(work, "one", rows=rows, steps=1), in_folder(work, "one-trainer", rows=rows, steps=1)
    ours(msgspec.structs.replace(mine, settings=msgspec.structs.replace(work.settings, min_gain=0.0)))
    trainer(rival_of(theirs, sampling="random"))
    one, other = (load_file(side.out / "adapter/adapter_model.safetensors") for side in (mine, theirs))
    assert one.keys() == other.keys()
    moved = np.concatenate([one[name].ravel() for name in one if "lora_B" in name])
    expected = np.concatenate([other[name].ravel() for name in one if "lora_B" in name])
    assert np.abs(moved).max() > 1e-4
    assert np.isclose(moved, expected, rtol=0.01, atol=1e-6).mean() > 0.99


@pytest.mark.parametrize("micro", [1, 2])
def test_the_rival_can_be_given_the_rows_of_our_steps(work: Work, micro: int) -> None:
    rows = render.load(work.train).head(work.rows)
    steps, passes = our_steps(work, rows), our_passes(work, rows, micro)
    each, rest = divmod(len(passes), STEPS)
    assert rest == 0 and all(passes)
    assert [sum(passes[each * at : each * (at + 1)], []) for at in range(STEPS)] == steps
    assert sorted(sum(steps, [])) == list(range(work.rows))


def test_sides_that_did_different_work_are_refused() -> None:
    ran = Ran(tokens=1000, rows=10, steps=2, seconds=1.0, peak_bytes=0)
    slow, slower = (msgspec.structs.replace(ran, seconds=seconds) for seconds in (1.9, 2.0))
    assert [goal.passed for goal in training.goals(ran, [slow, slower], ran, 1.0, 1.0)] == [False, True]
    assert [goal.passed for goal in training.goals(ran, [slower], slow, 1.02, 1.0)] == [True, False]
    for name in ("tokens", "rows", "steps"):
        with pytest.raises(DataError, match=name):
            training.goals(ran, [slow, msgspec.structs.replace(slow, **{name: 7})], slow, 1.0, 1.0)
        with pytest.raises(DataError, match=name):
            training.goals(ran, [slow], msgspec.structs.replace(slow, **{name: 7}), 1.0, 1.0)


def test_common_rows_fill_both_sides_steps(work: Work) -> None:
    a_step = work.rows_a_step
    assert a_step % 2 == 0 and -(-work.rows // a_step) == STEPS
    with pytest.raises(DataError, match="cannot be divided"):
        training.common_rows(render.load(work.train), work.settings, 10_000)


def test_the_fastest_candidate_is_varied_further() -> None:
    def rate(choice: Choice) -> float:
        precision = {"bf16": 1, "autocast": 3, "fp32": 2}[choice.precision]
        return precision + (choice.attention == "eager") + choice.keep_memory - abs(choice.micro - 2)

    tried = training.candidates(12, rate)
    assert len(tried) == len({choice for choice, _ in tried})
    assert {choice.micro for choice, _ in tried} == {1, 2, 3, 4, 6}  # 1 and 6 are worse: no further
    best = max(tried, key=lambda item: item[1])
    assert best == (Choice(precision="autocast", attention="eager", micro=2), 5)
    assert not all(choice.keep_memory for choice, _ in tried)


def test_the_collator_pads_and_counts_real_tokens_only(work: Work) -> None:
    rows = render.load(work.train).head(5)
    collate, examples = Padded(rows.eos_id), Examples(rows)
    batch = collate([examples[number] for number in range(5)])
    assert batch["input_ids"].shape == (5, rows.lengths.max())
    assert collate.tokens == int(batch["attention_mask"].sum()) == rows.lengths.sum()
    assert int((batch["labels"] != -100).sum()) == (rows.lengths - rows.completions).sum()
    assert collate.rows == 5


class Number(msgspec.Struct):
    value: float
    folder: Path = Path()


def halved(number: Number) -> float:
    if number.value == 0:
        raise ValueError("nothing to halve")
    assert isinstance(number.folder, Path)
    return number.value / 2


def test_a_side_runs_in_its_own_process_and_its_failure_is_told() -> None:
    assert apart("tests.bench.test_training_bench:halved", Number(3.0), threads=1) == 1.5
    with pytest.raises(RuntimeError, match="nothing to halve"):
        apart("tests.bench.test_training_bench:halved", Number(0.0), threads=1)


def test_an_unfinished_root_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTIFACTS", str(tmp_path))
    with pytest.raises(DataError, match="phase1a/render/train"):
        finished("phase1a/render/train")
