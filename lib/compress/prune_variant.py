"""What the steps of pruning call: files and settings in, a folder with its numbers and gates out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from lib.compress import prune_achieved, prune_sensitivity
from lib.compress.prune_allocation import allocate, uniform
from lib.compress.prune_folder import sizes
from lib.compress.prune_oneshot import LayerLoss, prune
from lib.compress.prune_settings import Method, OneShotSettings, SensitivitySettings, ShapeSettings, StagesSettings
from lib.compress.prune_text import calibration_ids
from lib.errors import ModelError
from lib.result import Gate, Number

Numbers = tuple[dict[str, Number], list[Gate]]


def one_shot(
    *, model: Path, rows: Path, curves: Path | None, out: Path, variant: str, settings: OneShotSettings, seed: int,
    threads: int,
) -> Numbers:  # fmt: skip
    """Prune the folder `model` into `out` and call it `variant`; `rows` is the calibration split, `curves` may be None.

    Metrics: sparsities as they are stored, mean and largest relative error of a layer, weights settled; gates:
    `sparsity_error`, `pattern_violations`.
    """
    shape = settings.shape
    zeros = wanted(model, shape, curves)
    ids = calibration_ids(rows, model, settings.text, seed=seed)
    losses = prune(
        model=model, out=out, name=f"pruned-{variant}", sequences=ids, zeros=zeros, method=settings.method, shape=shape,
        sparsegpt=settings.sparsegpt, threads=threads,
    )  # fmt: skip
    found = prune_achieved.measure(out, shape)
    return {**found.metrics(), **_losses(losses)}, found.gates(zeros, settings.max_sparsity_error)


def wanted(model: Path, shape: ShapeSettings, curves: Path | None) -> dict[int, int]:
    """Zeros of each layer: the same share everywhere, or as the sensitivities in the file `curves` divide them."""
    if shape.allocation == "uniform":
        return uniform(sizes(model), shape.share)
    if curves is None:
        raise ModelError("An allocation by sensitivity needs the measured sensitivities: let the step read them.")
    return allocate(prune_sensitivity.load(curves), shape.share)


def sensitivities(
    *, model: Path, rows: Path, curves: Path, settings: SensitivitySettings, seed: int, threads: int
) -> dict[str, Number]:
    """Measure what each layer loses when it alone is pruned, into the file `curves`."""
    ids = calibration_ids(rows, model, settings.text, seed=seed)
    found = prune_sensitivity.measure(model, ids, settings.shares, threads=threads)
    prune_sensitivity.save(found, curves)
    last = [curve.errors[-1] for curve in found]
    return {"layers": len(found), "most_sensitive_layer": last.index(max(last)), "error_ratio": max(last) / min(last)}


def in_stages(
    *, model: Path, rows: Path, tokens: Path, held_out: Path, curves: Path | None, kl_nats: Mapping[str, float],
    out: Path, stages: Path, work: Path, settings: StagesSettings, seed: int, threads: int,
) -> Numbers:  # fmt: skip
    """Prune in stages with recovery, by the method whose one-shot variant of the same shape has the least KL.

    `tokens` and `held_out` are rendered rows; `kl_nats` maps variants to their KL(parent ‖ variant). Writes the stages'
    numbers as JSON to `stages`. Metrics and gates as of `one_shot`, and the gate `mask_violations` over all stages.
    """
    from lib.compress.prune_gradual import Job, gradual
    from lib.train import render

    gradually, shape = settings.gradual, settings.shape
    job = Job(
        model=model, sequences=calibration_ids(rows, model, settings.text, seed=seed), method=best(kl_nats, settings),
        zeros=wanted(model, shape, curves), shape=shape, sparsegpt=settings.sparsegpt, settings=gradually, seed=seed,
        threads=threads,
    )  # fmt: skip
    taught, held = render.load(tokens), render.load(held_out)
    found = gradual(job, rows=taught, held_out=held, out=out, name=f"gradual-{gradually.shape}", work=work)
    stages.write_bytes(msgspec.json.format(msgspec.json.encode({"method": job.method, "stages": found}), indent=1))
    achieved, last = prune_achieved.measure(out, shape), found[-1].recovered
    metrics = {**achieved.metrics(), "kl_nats_unrecovered": last.initial_kl_nats, "kl_nats_recovered": last.kl_nats}
    metrics |= {"recovery_tokens": sum(stage.recovered.tokens for stage in found)}
    broken = sum(stage.mask_violations for stage in found)
    mask = Gate(name="mask_violations", value=broken, threshold=0, at_least=False, n=found[-1].zeros)
    return metrics, [*achieved.gates(job.zeros, settings.max_sparsity_error), mask]


def best(kl_nats: Mapping[str, float], settings: StagesSettings) -> Method:
    """The method whose variant of the shape `gradual.shape` is closest to the parent; ModelError if one lacks."""
    names = settings.methods
    if missing := sorted(set(names) - set(kl_nats)):
        raise ModelError(f"No KL of the variant {missing[0]}: measure all methods of one shape before choosing.")
    return names[min(names, key=lambda name: (kl_nats[name], name))]


def _losses(losses: Sequence[LayerLoss]) -> dict[str, Number]:
    errors = [loss.error for loss in losses]
    return {
        "layer_error_mean": sum(errors) / len(errors), "layer_error_most": max(errors),
        "weights_settled": sum(loss.settled for loss in losses),
    }  # fmt: skip
