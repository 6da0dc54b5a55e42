"""What the steps of GGUF compression call: files and settings in; files, numbers and gates out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import msgspec

from lib.compress import imatrix, imatrix_file, mix, mix_errors
from lib.compress.gguf_quantise import quantise
from lib.compress.gguf_settings import ImportanceSettings, MixErrorSettings
from lib.compress.imatrix import Importance
from lib.compress.mix_errors import Option, Options
from lib.compress.prune_text import calibration_ids
from lib.compress.types import TypesReport, honest_sizes, types_of
from lib.compress.types_grid import SIMPLE, Grid, allowed, find_grid, grid_gate, kept_delta, refused_tensors
from lib.result import Gate, Number

Numbers = tuple[dict[str, Number], list[Gate]]


def importance(
    *, model: Path, rows: Path, f16: Path, matrix: Path, settings: ImportanceSettings, seed: int, threads: int
) -> Numbers:
    """Importance of the folder `model` on the calibration split `rows`, written to `matrix` for the file `f16`.

    Gates: imatrix_entries_changed (read back), imatrix_tensors_wrong (an entry for every matrix of `f16`).
    """
    text = calibration_ids(rows, model, settings.text, seed=seed)
    found = imatrix.collect(model, text, head=settings.head, threads=threads)
    imatrix_file.write(found, matrix, dataset=rows.name, rows=len(text), tokens=settings.text.tokens)
    widths = imatrix.matrix_widths(f16, head=settings.head)
    return found.metrics(), [imatrix_file.round_trip(found, matrix), imatrix.check(found, widths)]


def grid(*, student: Path, tuned: Path, out: Path, share: float) -> Numbers:
    """Which grid the student lies on, to the file `out` (null: none), and what each type keeps of the training."""
    found = find_grid(student, least=share)
    _write(out, found)
    kept = kept_delta(student, tuned, SIMPLE)
    metrics: dict[str, Number] = {f"kept_delta_{kind.lower()}": _finite(value) for kind, value in kept.items()}
    return metrics | {"on_grid_share": found.share if found else 0.0}, []


def stock(
    *, f16: Path, matrix: Path | None, grid: Path, kind: str, out: Path, types: Path, threads: int
) -> Numbers:  # fmt: skip
    """llama.cpp's own type `kind`, with the importance in `matrix` or None without; its tensors' types to `types`.

    A file with tensors on the student's grid is made all the same, to be compared with, and is `refused` later:
    metric tensors_on_grid. Gate: tensor_sizes_wrong.
    """
    made = quantise(f16, out, kind, threads=threads, importance=_matrix(matrix))
    found = types_of(out, kind, made.fell_back)
    _write(types, found)
    on_grid = refused_tensors(found, read_grid(grid))
    return found.metrics() | {"tensors_on_grid": len(on_grid)}, [honest_sizes(found)]


def errors(
    *, model: Path, rows: Path, matrix: Path, grid: Path, options: Path, settings: MixErrorSettings, seed: int,
    threads: int,
) -> Numbers:  # fmt: skip
    """The error of each type at each tensor, to the file `options`; types of the student's grid are left out."""
    kinds, refused = allowed(settings.kinds, read_grid(grid))
    heads, _ = allowed(settings.head_kinds, read_grid(grid))
    text = calibration_ids(rows, model, settings.text, seed=seed)
    found = mix_errors.measure(
        model, text, kinds=kinds, head_kinds=heads, importance=_matrix(matrix), threads=threads
    )  # fmt: skip
    _write(options, found)
    ranked = mix.ranking(found)
    return {
        "tensors": len(found),
        "options": sum(map(len, found.values())),
        "refused_types": len(refused),
        "sensitive_ratio": ranked[0].error_per_byte / max(ranked[-1].error_per_byte, 1e-300),
    }, []


def mixed(
    *, options: Path, f16: Path, matrix: Path, grid: Path, bits: float, units: int, out: Path, types: Path, threads: int
) -> Numbers:  # fmt: skip
    """The mix for a budget of `bits` a weight, from the file `f16`; its tensors' types to `types`.

    `units` is as of lib.compress.mix_allocate.allocate.

    Gates: mix_types_wrong, mix_bytes_off, tensors_on_students_grid and tensor_sizes_wrong.
    """
    source = types_of(f16, "f16")
    planned = mix.plan(read_options(options), source, [bits], units=units)[0]
    found, gates = mix.write(planned, f16, out, importance=_matrix(matrix), threads=threads)
    _write(types, found)
    metrics = found.metrics() | {"budget_bits": bits, "summed_error": planned.error}
    return metrics, [*gates, grid_gate(found, read_grid(grid)), honest_sizes(found)]


def read_types(path: Path) -> TypesReport:
    """What `stock` and `mixed` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=TypesReport)


def read_grid(path: Path) -> Grid | None:
    """What `grid` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=Grid | None)


def read_options(path: Path) -> Options:
    """What `errors` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=dict[str, list[Option]])


def refusal(types: TypesReport, grid: Grid | None) -> str:
    """Why a file may not be released ("": it may): how many tensors lie on the student's grid, and the reason."""
    wrong: Sequence[str] = refused_tensors(types, grid)
    return f"{len(wrong)} tensors, such as {wrong[0]}: {grid.reason()}" if wrong and grid else ""


def _matrix(path: Path | None) -> Importance | None:
    return imatrix_file.read(path) if path else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _write(path: Path, found: object) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
