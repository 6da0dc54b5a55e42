"""The end of a `doit` run: reads what the steps left behind and has it shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lib.pipeline.graph import Graph
from lib.pipeline.lock import read_lock
from lib.report import release, summary

BASE, DISTILLED, COMPRESSED = "phase1a", "phase1c", "phase2"
MODELS = {
    **{name: f"{BASE}/evaluate/{name}" for name in ("student", "control", "tuned")},
    "taught on failures": f"{DISTILLED}/evaluate/targeted",
}


def show(root: Path, graph: Graph) -> None:
    """Steps with times and sizes, accuracies of the models that were evaluated, the verdicts, ten answers."""
    from rich.console import Console

    locks = {name: read_lock(graph.lock(step)) for name, step in graph.steps.items()}
    steps = [(name, lock.seconds, lock.size) for name, lock in locks.items() if lock is not None]
    models = {name: _json(root / folder / "metrics.json") for name, folder in MODELS.items()}
    compared, distilled = (_json(root / phase / "compare" / "metrics.json") for phase in (BASE, DISTILLED))
    answers = (_json(root / BASE / "compare" / "comparison.json") or {}).get("samples", [])
    evaluated = {name: metrics for name, metrics in models.items() if metrics is not None}
    summary.show(steps, evaluated, compared, answers, Console(), distilled, _released(root / COMPRESSED))


def _released(folder: Path) -> str:
    """Which files compression chose and what they are worth, in a sentence; nothing where it has not run."""
    found, numbers = (_json(folder / "frontier" / name) for name in ("frontier.json", "metrics.json"))
    return release.sentence(found, numbers) if found and numbers else ""


def _json(path: Path) -> Any | None:
    """The file's content, or None where the step that writes it has not run."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
