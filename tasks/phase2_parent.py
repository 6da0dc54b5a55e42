"""Phase 2, what everything starts from: the model that was adopted, and the calibration split in two."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import msgspec

from lib.data import jsonl
from lib.data.rows import Row
from lib.result import Number, Result


def parent(
    *, compared: Path, models: list[Path], files: list[Path], answers: list[Path], model: Path, f16: Path, types: Path,
    results: Path,
) -> Result:  # fmt: skip
    """Take the taught model where its comparison adopted it, else the one it was taught from: folder, file, answers.

    `compared` are the comparison's metrics; each list has the tuned model's first and the taught model's second. The
    steps after this one cannot ask a verdict which file to read, so the verdict is followed once, here.
    """
    from lib.compress.types import types_of

    taught = int(bool(json.loads(compared.read_text(encoding="utf-8")).get("adopted")))
    shutil.copytree(models[taught], model, dirs_exist_ok=True)
    shutil.copyfile(files[taught], f16)
    shutil.copyfile(answers[taught], results)
    found = types_of(f16, "f16")
    types.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
    metrics: dict[str, Number] = {"targeted": taught, **found.metrics()}
    return Result(metrics=metrics)


def divide(*, rows: Path, asked: Path, learn: Path, judge: Path, most: int, share: float, seed: int) -> Result:
    """Part the calibration split: what recovery may learn and what confidence is judged on; `asked` is both."""
    from lib.compress.calibrate_rows import divided, overlap_gate

    parts = divided(jsonl.read(rows, Row), most, share, seed)
    for path, part in zip((learn, judge, asked), (*parts, [*parts[0], *parts[1]]), strict=True):
        jsonl.write(path, part)
    ids = {path.stem: [row.id for row in jsonl.read(path, Row)] for path in (learn, judge)}
    metrics: dict[str, Number] = {name: len(found) for name, found in ids.items()}
    return Result(metrics=metrics, gates=[overlap_gate(*ids.values())])
