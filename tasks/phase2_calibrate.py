"""Phase 2, confidence: how sure the parent was of each answer, and the chance that such an answer is right."""

from __future__ import annotations

from pathlib import Path

import msgspec

from lib.compress.calibrate_settings import CalibrateSettings, TraceSettings
from lib.data import jsonl
from lib.data.rows import Row
from lib.result import Gate, Number, Result


def trace(
    *, model: Path, rows: Path, results: Path, traces: Path, settings: TraceSettings, dtype: str, threads: int
) -> Result:
    """Log-probabilities of the answers that were judged, from one more pass over them."""
    from lib.compress import calibrate_trace
    from lib.compress.calibrate_evidence import Traced
    from lib.evaluate.results import read_results

    asked = read_results(results)
    if not any(row.counted for row in asked.rows):
        jsonl.write(traces, [])  # nobody can judge these rows: nothing to trace, and calibrating says so
        return Result(metrics={"trace_n": 0}, gates=_gates({}, settings, 0))
    found, metrics = calibrate_trace.traces(
        model, list(jsonl.read(rows, Row)), asked, dtype=dtype, device="cpu", batch_tokens=settings.batch_tokens,
        threads=threads,
    )  # fmt: skip
    jsonl.write(traces, [Traced(name, one) for name, one in sorted(found.items())])
    return Result(metrics=metrics, gates=_gates(metrics, settings, len(found)))


def _gates(metrics: dict[str, Number], settings: TraceSettings, n: int) -> list[Gate]:
    """The pass over given answers is the run that gave them: as many tokens, as sure of the first; of none, none."""
    limits = {"trace_retokenised": settings.max_retokenised, "trace_first_gap_nats": settings.max_first_gap_nats}
    return [
        Gate(name=name, value=_value(metrics[name]) if n else 0.0, threshold=most, at_least=False, n=n,
             reference="what was recorded")
        for name, most in limits.items()
    ]  # fmt: skip


def calibrate(
    *, judged: Path, results: Path, traces: Path, confidence: Path, calibration: Path, picture: Path,
    settings: CalibrateSettings, seed: int,
) -> Result:  # fmt: skip
    """Maps from a model's certainty to the chance of being right: chosen on some answers, judged on others.

    Where there are too few answers, or only right or only wrong ones, there is no confidence: `calibrated` is 0 and the
    file holds null, which nobody can take for one.
    """
    from lib.compress import calibrate as calibrating
    from lib.compress.calibrate_diagram import plot
    from lib.compress.calibrate_evidence import Traced, evidence
    from lib.evaluate.results import read_results

    traced = {one.id: one.trace for one in jsonl.read(traces, Traced)}
    found = evidence(read_results(results), traced)
    metrics: dict[str, Number] = {"n": len(found), "passed": sum(one.passed for one in found)}
    if not calibrating.enough(found, settings):
        for path in (confidence, calibration):
            path.write_bytes(b"null\n")
        picture.write_text('<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>\n', encoding="utf-8")
        return Result(metrics={**metrics, "calibrated": 0})
    ids = {row.id for row in jsonl.read(judged, Row)}
    made = calibrating.calibrate(found, settings, seed, judged=ids)
    calibrating.save(made.confidence, confidence)
    calibration.write_bytes(msgspec.json.format(msgspec.json.encode(made), indent=1) + b"\n")
    plot(made, picture)
    return Result(metrics={**metrics, **made.metrics(settings.max_ece), "calibrated": 1})


def _value(found: Number) -> float:
    """A figure that is not known passes no gate."""
    return float("nan") if found is None else float(found)
