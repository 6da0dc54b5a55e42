"""What the section [distil] can be told: how many failures are taught, and how the model is trained on them."""

from __future__ import annotations

from typing import Annotated

import msgspec

from lib.scale import Scaled
from lib.train.mix import DomainName
from lib.train.settings import Count, Positive, TrainSettings


class DistilTrainSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What differs from `[train]`: see lib.train.settings.TrainSettings for each field."""

    steps: Scaled
    epochs: Positive
    lr: Positive
    warmup_steps: Annotated[int, msgspec.Meta(ge=0)]
    evaluate_every: Count
    validation_rows: Scaled
    patience: Count
    plateau_evaluations: Annotated[int, msgspec.Meta(ge=0)]
    save_every: Count

    def over(self, usual: TrainSettings) -> TrainSettings:
        """`usual` with these values in place of its own."""
        return msgspec.structs.replace(usual, **msgspec.structs.asdict(self))


class DistilSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[distil]`: phase 1D. `rows` is the most failed items of each domain that are taught.

    Kinds of which the model gets less than `least_rate` right, by the upper end of the interval, are left out.
    `second_seed` trains on the same rows once more: how much of a difference is chance. `min_retained` is the share of
    rows right before that a model must still get right to be called one that forgets nothing.
    """

    rows: dict[DomainName, Scaled]
    least_rate: Annotated[float, msgspec.Meta(ge=0, lt=1)]
    second_seed: int
    min_retained: Annotated[float, msgspec.Meta(ge=0, le=1)]
    train: DistilTrainSettings
