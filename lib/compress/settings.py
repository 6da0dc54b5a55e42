"""The section [compress]: how each technique works, and which models become which files."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import msgspec

from lib.compress.calibrate_settings import CalibrateSettings, TraceSettings
from lib.compress.gguf_settings import (
    AwqSettings,
    Count,
    FrontierSettings,
    ImportanceSettings,
    Kind,
    Origin,
    Share,
    TypeMixSettings,
    TypeSettings,
)
from lib.compress.pack_settings import PackSettings
from lib.compress.prune_settings import PruneSettings
from lib.errors import ConfigError

DENSE = "dense"
"""What the parent is called where pruned models have the name of their shape."""
SCALED = "awq"
"""What the parent with AWQ's scales in plain weights is called: the same function, in weights that round better."""


class SpeedSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Tokens that a file reads and writes while it is timed."""

    prompt: Count
    new: Count


class FileSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which models become GGUF files, and which files are packed.

    `pruned` are shapes, each by its best variant, made in every one of `pruned_types`; those types of the dense model
    are packed beside them. AWQ is made of the models `awq` ("dense" or a shape), `awq_types` of the dense model with
    AWQ's scales folded in and with the importance of that. Files in `packed_fully` are packed in all ways, the others
    in `ways`. `recovered` is the file that adapters are trained for. `smaller` is the goal of packing: a pruned file
    against the dense one of a type.
    """

    pruned: list[str]
    pruned_types: list[Kind]
    awq: list[str]
    awq_types: list[Kind]
    packed_fully: list[str]
    ways: Annotated[list[str], msgspec.Meta(min_length=1)]
    recovered: str
    smaller: Share


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A GGUF file: its name, whose idea it is, its type (a budget's number for a mix), and the model it is made of.

    `model` is "dense", a shape, or "awq"; `importance`: with that model's matrix of the calibration text.
    """

    name: str
    origin: Origin
    model: str
    kind: str
    importance: bool = False

    @property
    def step(self) -> str:
        """Its part of the names of steps."""
        return self.name.lower()


class CompressSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[compress]`: see the struct of each section."""

    files: FileSettings
    prune: PruneSettings
    importance: ImportanceSettings
    types: TypeSettings
    mix: TypeMixSettings
    awq: AwqSettings
    speed: SpeedSettings
    frontier: FrontierSettings
    pack: PackSettings
    trace: TraceSettings
    calibrate: CalibrateSettings

    def __post_init__(self) -> None:
        files, names = self.files, {each.name for each in self.candidates}
        _known("compress.files.pruned", files.pruned, self.prune.families)
        _known("compress.files.pruned_types", files.pruned_types, self.types.stock)
        _known("compress.files.awq", files.awq, [DENSE, *files.pruned])
        _known("compress.files.ways", files.ways, self.pack.variants)
        _known("compress.files.packed_fully", files.packed_fully, [name for name, _, _ in self.packed])
        _known("compress.files.recovered", [files.recovered], names)
        _known("compress.types.with_importance", self.types.with_importance, self.types.stock)
        _known("compress.frontier.mobile_of", [self.frontier.mobile_of], names)
        if self.pack.chosen not in files.ways:
            raise ConfigError(f"compress.files.ways lacks compress.pack.chosen {self.pack.chosen!r}, which is kept")
        if (files.awq_types or self.mix.of == SCALED) and DENSE not in files.awq:
            raise ConfigError(
                'compress.files.awq_types and compress.mix.of = "awq" need AWQ of the dense model: add "dense" to '
                "compress.files.awq"
            )

    @property
    def stock(self) -> list[Candidate]:
        """llama.cpp's own types of every model, with and without importance."""
        files = self.files
        found = [Candidate(name=kind, origin="stock", model=DENSE, kind=kind) for kind in self.types.stock]
        found += [
            Candidate(name=f"{kind}-imatrix", origin="stock", model=DENSE, kind=kind, importance=True)
            for kind in self.types.with_importance
        ]
        found += [
            Candidate(name=f"awq-{kind}", origin="ours", model=SCALED, kind=kind, importance=True)
            for kind in files.awq_types
        ]
        return found + [
            Candidate(name=f"{shape}-{kind}", origin="ours", model=shape, kind=kind)
            for shape in files.pruned
            for kind in files.pruned_types
        ]

    @property
    def mixes(self) -> list[Candidate]:
        """One mix of types for each budget."""
        numbers = range(len(self.mix.bits))
        return [Candidate(name=f"mix-{at}", origin="ours", model=self.mix.of, kind=str(at)) for at in numbers]

    @property
    def plain(self) -> list[str]:
        """Models whose files may use an importance matrix, which each has of its own."""
        return [DENSE, SCALED] if DENSE in self.files.awq else [DENSE]

    @property
    def candidates(self) -> list[Candidate]:
        """Every file that is held against the parent; the parent itself is none of them."""
        return [*self.stock, *self.mixes]

    @property
    def packed(self) -> list[tuple[str, str, str]]:
        """(file, model, type) of what is packed: each type of the dense model and of every pruned one."""
        models = [DENSE, *self.files.pruned]
        return [
            (kind if model == DENSE else f"{model}-{kind}", model, kind)
            for kind in self.files.pruned_types
            for model in models
        ]

    def packing(self, name: str) -> PackSettings:
        """The ways in which the file `name` is packed."""
        if name in self.files.packed_fully:
            return self.pack
        return msgspec.structs.replace(self.pack, variants={way: self.pack.variants[way] for way in self.files.ways})

    @property
    def recovery_gates(self) -> tuple[str, ...]:
        """An adapter beside its model leaves the model alone; one that goes into it may break its mask."""
        return ("mask_violations",) if self.prune.recover.hold == "merged" else ()


def _known(key: str, names: Iterable[str], allowed: Iterable[str]) -> None:
    there = sorted(allowed)
    if wrong := [name for name in names if name not in there]:
        raise ConfigError(f"{key} names {wrong[0]!r}; there are {', '.join(there)}")
