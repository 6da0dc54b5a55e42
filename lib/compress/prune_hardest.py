"""The rows that a compressed model finds hardest: its loss on every answer, and the rows where it is highest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import torch

from lib.errors import ModelError
from lib.model import weights
from lib.progress import track
from lib.train.backend import DTYPES, block_diagonal
from lib.train.batches import Block, block
from lib.train.fine_tune import configure_torch
from lib.train.loss import SLICE
from lib.train.pack import pack
from lib.train.render import Rendered

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def row_losses(model: Path, rows: Rendered, *, precision: str, block_tokens: int, threads: int) -> list[float]:
    """Mean loss in nats per answer token of every row under the folder `model`: the logarithm of its perplexity."""
    configure_torch(threads)
    loaded = weights.load(model, dtype=DTYPES[precision], attn_implementation="sdpa").eval()
    loaded.to("cuda" if torch.cuda.is_available() else "cpu")
    answers = rows.lengths - rows.completions
    losses = [0.0] * len(rows)
    for numbers in track(pack(rows.lengths, block_tokens=block_tokens), "losses", unit="blocks"):
        parts = _token_losses(loaded, block(rows, numbers)).split([int(answers[number]) for number in numbers])
        for number, part in zip(numbers, parts, strict=True):
            losses[number] = float(part.mean())
    return losses


def _token_losses(model: PreTrainedModel, item: Block) -> torch.Tensor:
    """−log p in nats of every answer token of a block, fp32 [C], in order; the head is run a slice at a time."""
    item = item.to(model.device)
    with torch.inference_mode():
        hidden = model.model(
            input_ids=item.ids[None], position_ids=item.positions[None], use_cache=False,
            attention_mask=block_diagonal(item)[None, None],
        ).last_hidden_state[0, item.predict]  # fmt: skip
        parts = zip(hidden.split(SLICE), item.labels.split(SLICE), strict=True)
        found = [torch.nn.functional.cross_entropy(model.lm_head(h).float(), y, reduction="none") for h, y in parts]
    return torch.cat(found).cpu()


def hardest(rows: Rendered, losses: Sequence[float], count: int, *, least_answer_tokens: int) -> Rendered:
    """The `count` rows of highest loss, hardest first, ties by id; those with shorter answers stay out.

    One token decides such a row, so its loss says more about luck than about what the model lacks. Where every answer
    is that short, that is the task, and none stays out. ModelError where there are no rows.
    """
    answers = rows.lengths - rows.completions
    usable = [number for number in range(len(rows)) if answers[number] >= least_answer_tokens] or range(len(rows))
    if not usable:
        raise ModelError("There are no rows to recover on: give the calibration split more.")
    return picked(rows, sorted(usable, key=lambda number: (-losses[number], rows.ids[number]))[:count])


def picked(rows: Rendered, numbers: Sequence[int]) -> Rendered:
    """The rows with these numbers, in this order."""
    parts = [rows.row(number) for number in numbers]
    return msgspec.structs.replace(
        rows,
        tokens=np.concatenate(parts),
        starts=np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64),
        completions=rows.completions[list(numbers)],
        ids=[rows.ids[number] for number in numbers],
    )
