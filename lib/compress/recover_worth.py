"""What an adapter is worth to the compressed model it was made for: the loss of the same answers with and without."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from lib.compress import prune_hardest, prune_lora
from lib.evaluate.stats import Rate
from lib.model.merge import merge
from lib.train.render import Rendered
from lib.train.settings import TrainSettings


class Worth(msgspec.Struct, frozen=True, kw_only=True):
    """Mean loss of a row's answer in nats a token, without and with the adapter, and the difference with its interval.

    The 95 % interval is the percentile bootstrap over rows, which stay paired; below 0 the adapter helps.
    """

    before: float
    after: float
    gap: Rate

    def metrics(self) -> dict[str, int | float]:
        """loss_before_nats, loss_after_nats, loss_gap_nats with its ends, and n."""
        return {
            "loss_before_nats": self.before, "loss_after_nats": self.after, "loss_gap_nats": self.gap.value,
            "loss_gap_low": self.gap.low, "loss_gap_high": self.gap.high, "n": self.gap.n,
        }  # fmt: skip


def worth(
    model: Path, adapter: Path, rows: Rendered, *, work: Path, hold: Literal["separate", "merged"],
    train: TrainSettings, resamples: int, seed: int, threads: int,
) -> Worth:  # fmt: skip
    """Losses of rendered `rows` under the folder `model` alone and with `adapter`, put in as `hold` says."""
    import numpy as np

    taught = work / "taught"
    if hold == "merged":
        prune_lora.merge_under_mask(model=model, adapter=adapter, out=taught, name="taught")
    else:
        merge(base=model, adapter=adapter, out=taught, name="taught")
    before, after = (
        np.array(
            prune_hardest.row_losses(
                folder, rows, precision=train.precision, block_tokens=train.block_tokens, threads=threads
            )
        )
        for folder in (model, taught)
    )
    gaps = after - before
    drawn = np.random.default_rng(seed).integers(0, len(gaps), size=(resamples, len(gaps)))
    low, high = np.percentile(gaps[drawn].mean(axis=1), [2.5, 97.5])
    rate = Rate(float(gaps.mean()), float(low), float(high), len(gaps))
    return Worth(before=float(before.mean()), after=float(after.mean()), gap=rate)
