"""Phase 2, pruning: what layers can bear, one-shot variants, pruning in stages, and the best of each shape."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import msgspec

from lib.compress.prune_settings import OneShotSettings, SensitivitySettings, StagesSettings
from lib.result import Number, Result


def sensitivity(
    *, model: Path, rows: Path, curves: Path, settings: SensitivitySettings, threads: int, seed: int
) -> Result:
    """What each layer loses when it alone is pruned."""
    from lib.compress.prune_variant import sensitivities

    return Result(
        metrics=sensitivities(model=model, rows=rows, curves=curves, settings=settings, seed=seed, threads=threads)
    )


def one_shot(
    *, parent: Path, rows: Path, curves: list[Path], model: Path, variant: str, settings: OneShotSettings, threads: int,
    seed: int,
) -> Result:  # fmt: skip
    """Prune the parent at once by the method and to the shape that the variant's name says."""
    from lib.compress import prune_variant

    metrics, gates = prune_variant.one_shot(
        model=parent, rows=rows, curves=curves[0] if curves else None, out=model, variant=variant, settings=settings,
        seed=seed, threads=threads,
    )  # fmt: skip
    return Result(metrics=metrics, gates=gates)


def gradual(
    *, parent: Path, rows: Path, tokens: Path, held_out: Path, curves: Path, divergences: list[Path], model: Path,
    stages: Path, work: Path, settings: StagesSettings, threads: int, seed: int,
) -> Result:  # fmt: skip
    """Prune in stages, by the method that is best at once, the pruned model learning from the parent in between."""
    from lib.compress.prune_variant import in_stages

    metrics, gates = in_stages(
        model=parent, rows=rows, tokens=tokens, held_out=held_out, curves=curves,
        kl_nats=_kl_nats(list(settings.methods), divergences),
        out=model, stages=stages, work=work, settings=settings, seed=seed, threads=threads,
    )  # fmt: skip
    return Result(metrics=metrics, gates=gates)


def best(
    *, models: list[Path], divergences: list[Path], model: Path, f16: Path, choice: Path, names: list[str]
) -> Result:
    """The variant of a shape with the least KL to the parent: its folder, and the f16 file that others are made of.

    The variants are known when the graph is made and the best of them only afterwards, so it gets a place of its own.
    """
    from lib.model.gguf_export import export

    found = _kl_nats(names, divergences)
    chosen = min(names, key=lambda name: (found[name], name))
    shutil.copytree(models[names.index(chosen)], model, dirs_exist_ok=True)
    export(model, f16, "f16")
    choice.write_bytes(msgspec.json.format(msgspec.json.encode({"best": chosen, "kl_nats": found}), indent=1) + b"\n")
    metrics: dict[str, Number] = {"kl_nats": found[chosen], "variants": len(names)}
    return Result(metrics=metrics | {f"is_{name.replace('-', '_')}": int(name == chosen) for name in names})


def _kl_nats(names: list[str], divergences: list[Path]) -> dict[str, float]:
    """Each variant's KL(parent ‖ variant), from the metrics of the steps that measured it."""
    read = [json.loads(path.read_text(encoding="utf-8")) for path in divergences]
    return {name: found["kl_nats"] for name, found in zip(names, read, strict=True)}
