"""What the steps of AWQ call: a model and settings in; the packed folder, the scaled one, numbers and gates out."""

from __future__ import annotations

from pathlib import Path

from lib.compress import awq, awq_check
from lib.compress.gguf_settings import AwqSettings
from lib.compress.prune_text import calibration_ids
from lib.result import Gate, Number

Numbers = tuple[dict[str, Number], list[Gate]]


def four_bit(
    *, model: Path, rows: Path, packed: Path, folded: Path, work: Path, settings: AwqSettings, seed: int, threads: int
) -> Numbers:
    """AWQ of the folder `model`: the 4-bit folder `packed`, and `folded` with its scales in plain weights.

    Gates: awq_reload_max_abs_logit_diff, awq_fold_kl_nats. The probes are the first rows of the calibration text.
    """
    text = calibration_ids(rows, model, settings.text, seed=seed)
    probes, said = text[: settings.check_rows], work / "said.safetensors"
    metrics = awq.compress(
        model, text, packed=packed, folded=folded, probes=probes, said=said, settings=settings, threads=threads
    )  # fmt: skip
    answered = awq_check.reload(packed, probes, work=work, threads=threads)
    return metrics, [
        awq_check.reload_gate(said, answered, settings),
        awq_check.fold_gate(model, folded, probes, settings, threads),
    ]
