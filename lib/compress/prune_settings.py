"""What the section [compress.prune] can be told: shapes of sparsity, how weights are chosen, how a model recovers."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from lib.compress.gguf_settings import Calibration
from lib.errors import ConfigError
from lib.scale import Scaled
from lib.train.settings import Count, Positive, TrainSettings

Method = Literal["magnitude", "wanda", "sparsegpt"]
Sparse = Annotated[float, msgspec.Meta(gt=0, lt=1)]
GRADUAL = "gradual"
"""The variant that is pruned in stages."""
NotNegative = Annotated[float, msgspec.Meta(ge=0)]


class ShapeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How sparse the linear layers become: a `share` of their weights, anywhere ("") or as zeros of every so many.

    `pattern` "2:4" is two zeros in every four neighbours of a row: a share of exactly one half, in every layer.
    `allocation` "sensitivity" gives layers that lose less by it more of the zeros. `methods`: only these, if any.
    """

    share: Sparse
    pattern: Annotated[str, msgspec.Meta(pattern="^([1-9][0-9]*:[1-9][0-9]*)?$")] = ""
    allocation: Literal["uniform", "sensitivity"] = "uniform"
    methods: list[Method] = []

    def __post_init__(self) -> None:
        if self.group and self.group[0] / self.group[1] != self.share:
            raise ConfigError(
                f"compress.prune.shapes: {self.pattern} has a share of its own, which is not {self.share}"
            )
        if self.group and self.allocation != "uniform":
            raise ConfigError(f"compress.prune.shapes: {self.pattern} is the same in every layer: nothing to allocate")

    @property
    def group(self) -> tuple[int, int] | None:
        """(zeros, of), or None for weights chosen anywhere."""
        zeros, _, of = self.pattern.partition(":")
        return (int(zeros), int(of)) if of else None

    @property
    def alone(self) -> ShapeSettings:
        """The shape without the list of methods: no single variant depends on the others."""
        return msgspec.structs.replace(self, methods=[])


class SparseGptSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """SparseGPT: columns whose weights are chosen together, and the dampening as a share of the mean squared input."""

    block_columns: Count
    damp: NotNegative


class SensitivitySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """On how much text each layer's error is measured, and at which sparsities: first and last bound the allocation."""

    text: Calibration
    shares: Annotated[list[Annotated[float, msgspec.Meta(ge=0, lt=1)]], msgspec.Meta(min_length=2)]


class DistilFromParentSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Recovery of a pruned model: KL(dense parent ‖ pruned) in nats as loss, on its unpruned weights, mask fixed.

    `steps` a stage, each of `block_tokens` tokens; `positions` that count: all, or those of answers only. Evaluated
    every `evaluate_every` steps on `validation_rows` rows; the best weights are kept.
    """

    steps: Scaled
    block_tokens: Count
    positions: Literal["all", "answers"]
    lr: Positive
    warmup_steps: Annotated[int, msgspec.Meta(ge=0)]
    final_lr_share: Annotated[float, msgspec.Meta(ge=0, le=1)]
    clip: Positive
    precision: Literal["fp32", "bf16"]
    evaluate_every: Count
    validation_rows: Scaled


class GradualSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`stages`: shares of the sparsity of the shape so named, rising to 1; after each of them the model recovers."""

    shape: str
    stages: Annotated[list[Annotated[float, msgspec.Meta(gt=0, le=1)]], msgspec.Meta(min_length=1)]
    recovery: DistilFromParentSettings

    def __post_init__(self) -> None:
        if self.stages != sorted(set(self.stages)) or self.stages[-1] != 1:
            raise ConfigError(f"compress.prune.gradual.stages {self.stages} must rise, and end with 1")


class RecoverTrainSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What differs from `[train]`: see lib.train.settings.TrainSettings for each field."""

    steps: Scaled
    epochs: Positive
    lr: Positive
    warmup_steps: Annotated[int, msgspec.Meta(ge=0)]
    evaluate_every: Count
    validation_rows: Scaled
    save_every: Count
    clip: Positive

    def over(self, usual: TrainSettings) -> TrainSettings:
        """`usual` with these values, stopped by the first evaluation that is no better than the best one."""
        own = msgspec.structs.asdict(self)
        return msgspec.structs.replace(usual, **own, patience=1, min_gain=0.0, plateau_evaluations=0)


class RecoverSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """LoRA on the `hardest` of `candidates` calibration rows by perplexity, short answers left out.

    `hold` "separate" leaves the compressed model alone and ships the adapter beside it; "merged" trains the adapter
    through the mask, so that it can be added into a pruned model without filling its zeros.
    """

    candidates: Scaled
    hardest: Scaled
    least_answer_tokens: Count
    hold: Literal["separate", "merged"]
    train: RecoverTrainSettings


class OneShotSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What one variant is made by: the part of `[compress.prune]` that a step which makes it depends on."""

    method: Method
    shape: ShapeSettings
    text: Calibration
    sparsegpt: SparseGptSettings
    max_sparsity_error: NotNegative


class StagesSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What pruning in stages depends on; `methods` are those of the one-shot variants of its shape, by name."""

    methods: dict[str, Method]
    shape: ShapeSettings
    text: Calibration
    sparsegpt: SparseGptSettings
    gradual: GradualSettings
    max_sparsity_error: NotNegative


class PruneSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[compress.prune]`. A variant is a method and a shape, and is called METHOD-SHAPE.

    `max_sparsity_error` is the gate on |achieved − asked| as a share of the pruned layers' weights.
    """

    methods: Annotated[list[Method], msgspec.Meta(min_length=1)]
    shapes: dict[str, ShapeSettings]
    text: Calibration
    sparsegpt: SparseGptSettings
    sensitivity: SensitivitySettings
    gradual: GradualSettings
    recover: RecoverSettings
    max_sparsity_error: NotNegative

    def __post_init__(self) -> None:
        found = self.shapes.get(self.gradual.shape)
        if found is None or found.group:
            raise ConfigError(f"compress.prune.gradual.shape {self.gradual.shape!r} must be a shape without a pattern")

    @property
    def variants(self) -> dict[str, tuple[Method, ShapeSettings]]:
        """Name → method and shape, in the order of the configuration."""
        return {
            f"{method}-{name}": (method, shape)
            for name, shape in self.shapes.items()
            for method in shape.methods or self.methods
        }

    @property
    def families(self) -> dict[str, list[str]]:
        """Shape → variants that are as sparse in the same pattern, however their layers share the zeros.

        A shape with another allocation counts to the plain one of its share; "gradual" to the shape it is made in.
        """
        found: dict[tuple[float, str], str] = {}
        for name, shape in self.shapes.items():
            found.setdefault((shape.share, shape.pattern), name)
        families: dict[str, list[str]] = {name: [] for name in found.values()}
        for variant, (_, shape) in self.variants.items():
            families[found[shape.share, shape.pattern]].append(variant)
        gradually = self.shapes[self.gradual.shape]
        families[found[gradually.share, gradually.pattern]].append(GRADUAL)
        return families

    @property
    def one_shots(self) -> dict[str, OneShotSettings]:
        """Name of a variant → what it is made by."""
        return {
            name: OneShotSettings(
                method=method, shape=shape.alone, text=self.text, sparsegpt=self.sparsegpt,
                max_sparsity_error=self.max_sparsity_error,
            )
            for name, (method, shape) in self.variants.items()
        }  # fmt: skip

    @property
    def staged(self) -> StagesSettings:
        """What pruning in stages is told."""
        wanted = self.shapes[self.gradual.shape]
        methods = {name: method for name, (method, shape) in self.variants.items() if shape is wanted}
        return StagesSettings(
            methods=methods, shape=wanted.alone, text=self.text, sparsegpt=self.sparsegpt, gradual=self.gradual,
            max_sparsity_error=self.max_sparsity_error,
        )  # fmt: skip
