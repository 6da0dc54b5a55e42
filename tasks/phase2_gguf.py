"""Phase 2, quantisation: importance, the student's grid, llama.cpp's types, mixes of types, and AWQ."""

from __future__ import annotations

from pathlib import Path

from lib.compress.gguf_settings import AwqSettings, ImportanceSettings, MixErrorSettings
from lib.result import Result


def importance(
    *, model: Path, rows: Path, f16: Path, matrix: Path, settings: ImportanceSettings, threads: int, seed: int
) -> Result:
    """How strongly calibration text drives each input of each matrix."""
    from lib.compress import gguf_variants

    metrics, gates = gguf_variants.importance(
        model=model, rows=rows, f16=f16, matrix=matrix, settings=settings, seed=seed, threads=threads
    )  # fmt: skip
    return Result(metrics=metrics, gates=gates)


def grid(*, student: Path, tuned: Path, grid: Path, share: float) -> Result:
    """Whether the student lies on a type's grid, and what each type would keep of the training."""
    from lib.compress import gguf_variants

    metrics, gates = gguf_variants.grid(student=student, tuned=tuned, out=grid, share=share)
    return Result(metrics=metrics, gates=gates)


def stock(*, f16: Path, matrix: list[Path], grid: Path, gguf: Path, types: Path, kind: str, threads: int) -> Result:
    """A file of llama.cpp's own type, with the importance in `matrix` if there is one."""
    from lib.compress import gguf_variants

    metrics, gates = gguf_variants.stock(
        f16=f16, matrix=matrix[0] if matrix else None, grid=grid, kind=kind, out=gguf, types=types, threads=threads
    )  # fmt: skip
    return Result(metrics=metrics, gates=gates)


def mix_errors(
    *, model: Path, rows: Path, matrix: Path, grid: Path, options: Path, settings: MixErrorSettings, threads: int,
    seed: int,
) -> Result:  # fmt: skip
    """The error of each type at each matrix, in the output of its layer."""
    from lib.compress import gguf_variants

    metrics, gates = gguf_variants.errors(
        model=model, rows=rows, matrix=matrix, grid=grid, options=options, settings=settings, seed=seed, threads=threads
    )  # fmt: skip
    return Result(metrics=metrics, gates=gates)


def mixed(
    *, options: Path, f16: Path, matrix: Path, grid: Path, gguf: Path, types: Path, bits: float, units: int,
    threads: int,
) -> Result:  # fmt: skip
    """The best type for every matrix within one budget of bits."""
    from lib.compress import gguf_variants

    metrics, gates = gguf_variants.mixed(
        options=options, f16=f16, matrix=matrix, grid=grid, bits=bits, units=units, out=gguf, types=types,
        threads=threads,
    )  # fmt: skip
    return Result(metrics=metrics, gates=gates)


def awq(
    *, model: Path, rows: Path, packed: Path, folded: Path, work: Path, settings: AwqSettings, threads: int, seed: int
) -> Result:
    """4-bit weights by AWQ, and the same model with AWQ's scales in plain weights."""
    from lib.compress.awq_variant import four_bit

    metrics, gates = four_bit(
        model=model, rows=rows, packed=packed, folded=folded, work=work, settings=settings, seed=seed, threads=threads
    )  # fmt: skip
    return Result(metrics=metrics, gates=gates)


def export(*, model: Path, f16: Path) -> Result:
    """A folder as f16 GGUF, which types are made of."""
    from lib.model.gguf_export import export as write

    return Result(metrics=write(model, f16, "f16"))
