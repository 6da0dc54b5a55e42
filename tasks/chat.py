"""`make chat`: talk to the model of the furthest finished phase of the chosen profile that was adopted."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import NamedTuple

from lib.errors import ConfigError
from lib.pipeline import config
from lib.pipeline.lock import read_lock
from lib.pipeline.step import LOCK_NAME
from lib.serve import chat

HERE = Path(__file__).resolve().parents[1]


class Place(NamedTuple):
    """Where a phase leaves its model: its step's folder, the GGUF file in it, the tokenizer's folder, what to call it.

    `verdict` is the comparison that must have adopted it; a phase that starts from nothing needs none, nor one that
    writes the file only when it was chosen.
    """

    step: str
    file: str
    tokenizer: str
    name: str
    verdict: str = ""


FURTHEST_FIRST = (
    Place("phase2/release", "files/release.gguf", "phase2/parent/model", "compressed release (phase 2)"),
    Place(
        "phase1c/gguf", "model-q8_0.gguf", "phase1c/merge/targeted/model", "targeted distillation (phase 1D), Q8_0",
        verdict="phase1c/compare",
    ),
    Place("phase1a/gguf/tuned", "model-q8_0.gguf", "phase1a/merge/tuned/model", "base training (phase 1A), Q8_0"),
)  # fmt: skip
"""Later phases stand before earlier ones."""


def main(arguments: list[str]) -> int:
    """Find the model and hand over to lib.serve.chat; 1 when no phase has made one, or PROFILE names none."""
    try:
        root = HERE / config.choose(os.environ, HERE / "config").root
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    for place in FURTHEST_FIRST:
        if _usable(root, place):
            where = ["--model", str(root / place.step / place.file), "--tokenizer", str(root / place.tokenizer)]
            return chat.main([*where, "--name", place.name, *arguments])
    print(f"no finished model under {root}: run `make run`, or set ARTIFACTS or PROFILE", file=sys.stderr)
    return 1


def _usable(root: Path, place: Place) -> bool:
    """Whether the file is a finished step's, and its phase has adopted it."""
    step = root / place.step
    if read_lock(step / LOCK_NAME) is None or not (step / place.file).is_file():
        return False
    return not place.verdict or _adopted(root / place.verdict)


def _adopted(folder: Path) -> bool:
    metrics = folder / "metrics.json"
    if read_lock(folder / LOCK_NAME) is None or not metrics.is_file():
        return False
    return bool(json.loads(metrics.read_text(encoding="utf-8")).get("adopted"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
