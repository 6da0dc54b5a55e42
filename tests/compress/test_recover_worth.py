"""What an adapter is worth: nothing if it does nothing, else the loss it takes away, whichever way it is held."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
import torch
from prune_toys import make_model, make_rows, recover, settings, training
from safetensors.torch import load_file, save_file

from lib.compress import prune_lora
from lib.compress.prune_allocation import uniform
from lib.compress.prune_folder import sizes
from lib.compress.prune_hardest import row_losses
from lib.compress.prune_oneshot import prune
from lib.compress.recover_worth import worth
from lib.train import render

Hold = Literal["separate", "merged"]


@pytest.fixture(scope="module")
def sparse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sparse")
    dense, section, rows = make_model(root / "dense"), settings(), make_rows(8)
    prune(
        model=dense, out=root / "sparse", name="sparse", sequences=[rows.row(at).tolist() for at in range(8)],
        zeros=uniform(sizes(dense), 0.5), method="magnitude", shape=section.shapes["50"], sparsegpt=section.sparsegpt,
        threads=1,
    )  # fmt: skip
    return root / "sparse"


def learnt(sparse: Path, folder: Path, hold: Hold) -> Path:
    for name, count in (("rows", 12), ("held_out", 6)):
        render.save(make_rows(count), folder / name)
    prune_lora.recover(
        model=sparse, rows=folder / "rows", held_out=folder / "held_out", adapter_out=folder / "adapter",
        history_out=folder / "history.jsonl", settings=recover(hold=hold), train=training(), seed=1, threads=1,
        work=folder / "run",
    )  # fmt: skip
    return folder / "adapter"


@pytest.mark.parametrize("hold", ["separate", "merged"])
def test_the_loss_that_learning_took_away_is_found(sparse: Path, tmp_path: Path, hold: Hold) -> None:
    adapter, rows = learnt(sparse, tmp_path, hold), make_rows(12)
    found = worth(
        sparse, adapter, rows, work=tmp_path, hold=hold, train=training(), resamples=200, seed=1, threads=1
    )  # fmt: skip
    alone = row_losses(sparse, rows, precision="fp32", block_tokens=64, threads=1)
    assert found.before == pytest.approx(sum(alone) / 12)
    assert found.gap.high < 0 and found.gap.value == pytest.approx(found.after - found.before)
    assert found.gap.n == 12 and found.gap.low <= found.gap.value <= found.gap.high


def test_an_adapter_that_does_nothing_is_worth_nothing(sparse: Path, tmp_path: Path) -> None:
    adapter = learnt(sparse, tmp_path, "separate")
    file = adapter / "adapter_model.safetensors"
    save_file({name: torch.zeros_like(value) for name, value in load_file(file).items()}, file)
    found = worth(
        sparse, adapter, make_rows(4), work=tmp_path, hold="separate", train=training(), resamples=50, seed=1, threads=1
    )  # fmt: skip
    assert (found.gap.value, found.gap.low, found.gap.high) == (0.0, 0.0, 0.0)
