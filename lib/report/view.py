"""A finished root as the sections see it: numbers, gates, small files and rows of steps that have a lock."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from lib.errors import DataError
from lib.report.source import Source


class View:
    """Reads what `built` steps (name -> folder of outputs) left behind; `stale` names those a run would make anew.

    Everything else counts as not there, whatever lies on the disk. Raises DataError for a file nobody can read.
    """

    def __init__(self, built: Mapping[str, Path], stale: set[str]) -> None:
        self._built, self._stale = built, stale

    def path(self, step: str, name: str) -> Path | None:
        """An output of a built step; None where the step has no result or the file is gone."""
        path = self._built[step] / name if step in self._built else None
        return path if path is not None and path.is_file() else None

    def json(self, step: str, name: str) -> Any | None:
        """The content of a JSON output."""
        path = self.path(step, name)
        if path is None:
            return None
        try:
            return msgspec.json.decode(path.read_bytes())
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: {error}; let its step run again: doit redo {step}") from None

    def lines(self, step: str, name: str) -> list[Any] | None:
        """The objects of a JSON Lines output."""
        path = self.path(step, name)
        if path is None:
            return None
        try:
            return [msgspec.json.decode(line) for line in path.read_bytes().splitlines() if line.strip()]
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: {error}; let its step run again: doit redo {step}") from None

    def under(self, prefix: str) -> dict[str, str]:
        """The built steps whose names begin with `prefix`, in their order: rest of the name -> step."""
        return {step.removeprefix(prefix): step for step in self._built if step.startswith(prefix)}

    def metrics(self, step: str) -> Source | None:
        """The step's metrics."""
        return self._source(step, "metrics.json")

    def timings(self, step: str) -> Source | None:
        """What the step took and at which rates."""
        return self._source(step, "timings.json")

    def gates(self, step: str) -> dict[str, Any]:
        """The step's gates by name; empty where it has none or has not run."""
        return self.json(step, "gates.json") or {}

    def metrics_of(self, steps: Mapping[str, str]) -> dict[str, Source]:
        """name -> metrics, of those `steps` (name -> step) that are built."""
        found = {name: self.metrics(step) for name, step in steps.items()}
        return {name: source for name, source in found.items() if source is not None}

    def _source(self, step: str, name: str) -> Source | None:
        values = self.json(step, name)
        return None if values is None else Source(step, values, step in self._stale)
