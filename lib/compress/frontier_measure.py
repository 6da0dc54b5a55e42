"""How far a candidate is from its parent, position by position on held-out text: KL, top-1 agreement, perplexity ratio.

Both sides answer in one engine, so that what is measured is the rounding and not llama.cpp against torch (the f16 file
is the parent of GGUF candidates, the folder that of folders). Sums are kept by row of text: intervals resample rows,
since the positions of one row are alike, and two candidates are compared on the same rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from lib.compress.gguf_settings import Calibration
from lib.compress.prune_text import calibration_ids
from lib.errors import ModelError
from lib.evaluate.stats import Rate
from lib.model.llama import Gguf
from lib.model.merge_check import kl_nats
from lib.progress import track

if TYPE_CHECKING:
    import torch

Predictor = Callable[[Sequence[int]], Any]
"""Token ids → logits [tokens, vocabulary], as torch tensor or numpy array; may be a view of the next call's memory."""


class Divergence(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over each row: positions, KL(parent ‖ candidate) in nats, equal predictions, loss over the parent's."""

    positions: list[int]
    kl: list[float]
    equal: list[int]
    loss_gap: list[float]

    @property
    def kl_nats(self) -> float:
        """Mean KL a position."""
        return math.fsum(self.kl) / sum(self.positions)

    @property
    def top1(self) -> float:
        """Share of positions at which both predict the same token."""
        return sum(self.equal) / sum(self.positions)

    @property
    def perplexity_ratio(self) -> float:
        """exp of the mean loss over the parent's; the last position of a row has nothing to predict."""
        return math.exp(math.fsum(self.loss_gap) / (sum(self.positions) - len(self.positions)))

    def interval(self, *, seed: int, resamples: int) -> Rate:
        """Mean KL with the 95 % percentile bootstrap over rows."""
        return Rate(self.kl_nats, *_bootstrap(self.kl, self.positions, seed, resamples), sum(self.positions))

    def metrics(self, prefix: str = "", *, seed: int, resamples: int) -> dict[str, int | float]:
        """kl_nats with kl_low and kl_high, top1, perplexity_ratio, positions and rows."""
        rate = self.interval(seed=seed, resamples=resamples)
        found = {
            "kl_nats": rate.value, "kl_low": rate.low, "kl_high": rate.high, "top1": self.top1,
            "perplexity_ratio": self.perplexity_ratio, "positions": rate.n, "rows": len(self.positions),
        }  # fmt: skip
        return {f"{prefix}{key}": value for key, value in found.items()}


def difference(one: Divergence, other: Divergence, *, seed: int, resamples: int) -> Rate:
    """KL of `one` minus KL of `other` a position, bootstrapped over the rows both were measured on."""
    if one.positions != other.positions:
        raise ModelError("Two candidates were measured on different rows: their difference would say nothing.")
    gaps = [left - right for left, right in zip(one.kl, other.kl, strict=True)]
    low, high = _bootstrap(gaps, one.positions, seed, resamples)
    return Rate(math.fsum(gaps) / sum(one.positions), low, high, sum(one.positions))


def measure(
    parent: Predictor, candidates: Mapping[str, Predictor], sequences: Sequence[Sequence[int]]
) -> dict[str, Divergence]:
    """Hold every candidate against `parent` on token-id `sequences`; the parent answers each of them once.

    One row's logits are in memory at a time, twice over. ModelError when vocabularies differ or nothing is left.
    """
    usable = [list(ids) for ids in sequences if len(ids) >= 2]
    if not usable:
        raise ModelError("A comparison needs rows of at least two tokens: there is nothing to compare on.")
    found = {name: Divergence(positions=[], kl=[], equal=[], loss_gap=[]) for name in candidates}
    for ids in track(usable, "divergence"):
        reference = _tensor(parent(ids)).clone()
        for name, candidate in candidates.items():
            _add(found[name], ids, reference, _tensor(candidate(ids)))
    return found


def measure_files(
    parent: Path, files: Mapping[str, Path], sequences: Sequence[Sequence[int]], *, threads: int
) -> dict[str, Divergence]:
    """`measure` for GGUF files, all of them by llama.cpp; `parent` is the f16 file."""
    import torch

    torch.set_num_threads(threads)
    longest = max(map(len, sequences), default=2)
    with ExitStack() as stack:
        whole, *others = (
            stack.enter_context(Gguf(path, threads=threads, context=longest)) for path in (parent, *files.values())
        )
        candidates = {name: file.logits for name, file in zip(files, others, strict=True)}
        return measure(whole.logits, candidates, sequences)


def divergence_of_file(
    *, f16: Path, gguf: Path, rows: Path, tokenizer: Path, out: Path, text: Calibration, resamples: int,
    seed: int, threads: int,
) -> dict[str, int | float]:  # fmt: skip
    """Hold `gguf` against the parent's file `f16` on held-out `rows`; sums by row to the file `out`."""
    ids = calibration_ids(rows, tokenizer, text, seed=seed)
    found = measure_files(f16, {gguf.name: gguf}, ids, threads=threads)[gguf.name]
    out.write_bytes(msgspec.json.encode(found) + b"\n")
    return found.metrics(seed=seed, resamples=resamples)


def folder_predictor(folder: Path, *, threads: int) -> Predictor:
    """A Hugging Face folder by torch in fp32; packed weights are de-quantised as they are used."""
    import torch

    from lib.compress import awq_reload
    from lib.model import weights

    torch.set_num_threads(threads)
    model = weights.load(folder, dtype=torch.float32).eval()
    return lambda ids: awq_reload.logits(model, [ids])[0]


def _tensor(logits: Any) -> torch.Tensor:
    import torch

    return logits if isinstance(logits, torch.Tensor) else torch.from_numpy(logits)


def _add(sums: Divergence, ids: list[int], reference: torch.Tensor, other: torch.Tensor) -> None:
    import torch

    if other.shape != reference.shape:
        raise ModelError(
            f"The candidate predicts {other.shape[1]} tokens, the parent {reference.shape[1]}: not a pair."
        )
    targets = torch.tensor(ids[1:])
    losses = [torch.nn.functional.cross_entropy(x[:-1], targets, reduction="sum") for x in (other, reference)]
    sums.positions.append(len(ids))
    sums.kl.append(float(kl_nats(reference, other).double().sum()))
    sums.equal.append(int((other.argmax(-1) == reference.argmax(-1)).sum()))
    sums.loss_gap.append(float(losses[0] - losses[1]))


def _bootstrap(sums: Sequence[float], counts: Sequence[int], seed: int, resamples: int) -> tuple[float, float]:
    """95 % percentile interval of Σ sums / Σ counts when rows are drawn again with replacement."""
    import numpy as np

    drawn = np.random.default_rng(seed).integers(0, len(sums), size=(resamples, len(sums)))
    means = np.asarray(sums)[drawn].sum(1) / np.asarray(counts)[drawn].sum(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
