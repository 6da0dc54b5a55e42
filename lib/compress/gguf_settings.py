"""How small the model is made, and what is chosen: importance, GGUF types, type mixes, AWQ and the frontier."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from lib.scale import Scaled

Count = Annotated[int, msgspec.Meta(ge=1)]
Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Bits = Annotated[float, msgspec.Meta(gt=0, le=32)]
Kind = Annotated[str, msgspec.Meta(pattern="^[A-Z][A-Z0-9_]*$")]


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much text of the calibration split is looked at: rows, and tokens of each from its beginning."""

    rows: Scaled
    tokens: Annotated[int, msgspec.Meta(ge=2)]


class ImportanceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The importance matrix. `head`: the output head gets an entry, too; with tied weights that is the embedding."""

    text: Calibration
    head: bool


class TypeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The files of llama.cpp's own types: `stock` is what ours are held against, `with_importance` is made again so.

    A type whose grid holds `grid_share` of the student's blocks exactly is refused: it would round the training away.
    """

    stock: list[Kind]
    with_importance: list[Kind]
    grid_share: Share


class MixErrorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the errors of types depend on: text, types tried for layers and for the head."""

    text: Calibration
    kinds: list[Kind]
    head_kinds: list[Kind]


class TypeMixSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The mix of types by tensor: types tried for layers and for the head, and the budgets in bits a weight.

    `of` is the model that is mixed: the parent, or the parent with AWQ's scales in its weights.
    `units` bounds the fineness of the allocation: with more different sizes than that, sizes are rounded up.
    """

    text: Calibration
    kinds: Annotated[list[Kind], msgspec.Meta(min_length=1)]
    head_kinds: Annotated[list[Kind], msgspec.Meta(min_length=1)]
    of: Literal["dense", "awq"]
    bits: Annotated[list[Bits], msgspec.Meta(min_length=1)]
    units: Count

    @property
    def errors(self) -> MixErrorSettings:
        """The part that does not know of budgets."""
        return MixErrorSettings(text=self.text, kinds=self.kinds, head_kinds=self.head_kinds)


class AwqSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Activation-aware 4-bit weights (W4A16). Every width must be a multiple of `group_size`.

    `grid` is the number of scales tried for each group of layers, `precision` that of the arithmetic and of the scaled
    weights. The two limits are those of the gates.
    """

    text: Calibration
    group_size: Count
    symmetric: bool
    grid: Annotated[int, msgspec.Meta(ge=3)]  # llmcompressor divides by two less
    precision: Literal["fp32", "bf16"]
    check_rows: Count
    max_reload_diff: Annotated[float, msgspec.Meta(ge=0)]
    max_fold_kl_nats: Annotated[float, msgspec.Meta(gt=0)]


class FrontierSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who gets to the final and who wins it.

    A finalist may win with `keep` of the parent's verified accuracy and a lower end of the interval of `keep_low`.
    The mobile model has at most `mobile_share` of the bytes of the file called `mobile_of`.
    """

    text: Calibration
    finalists: Annotated[int, msgspec.Meta(ge=1, le=3)]  # each costs an evaluation
    keep: Share
    keep_low: Share
    mobile_share: Share
    mobile_of: str
    resamples: Count


Origin = Literal["stock", "ours", "parent"]


def dtype(precision: Literal["fp32", "bf16"]) -> Any:
    """torch's name of a precision."""
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
