"""How confidence is traced, calibrated and judged: the sections [compress.trace] and [compress.calibrate]."""

from __future__ import annotations

from typing import Annotated

import msgspec

from lib.scale import Scaled

Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]


class TraceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[compress.trace]`: how many tokens a pass over given answers takes, and how well it must agree with the answers.

    `max_retokenised` is the share of answers whose text has another number of tokens than the model made,
    `max_first_gap_nats` the mean distance to the recorded log-probability of an answer's first token.
    """

    batch_tokens: Annotated[int, msgspec.Meta(ge=1)]
    max_retokenised: Share
    max_first_gap_nats: Annotated[float, msgspec.Meta(gt=0.0)]


class CalibrateSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[compress.calibrate]`.

    `rows` answers are wanted, and `min_rows` needed; `fit_share` of them fit the maps, the others judge them. Score and
    map are chosen on the fitting part alone, by Brier score over `folds` folds. `bins` of equal mass and `resamples`
    bootstrap samples measure the error, `max_ece` is its goal (a verdict). `coverages` are the shares of answers, the
    surest first, for which accuracy is told.
    """

    rows: Scaled
    min_rows: Annotated[int, msgspec.Meta(ge=4)]
    fit_share: Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)]
    folds: Annotated[int, msgspec.Meta(ge=2)]
    bins: Annotated[int, msgspec.Meta(ge=2)]
    resamples: Annotated[int, msgspec.Meta(ge=100)]
    max_ece: Share
    coverages: list[Annotated[float, msgspec.Meta(gt=0.0, le=1.0)]]
