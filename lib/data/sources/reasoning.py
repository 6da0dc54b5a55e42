"""Generated puzzles from reasoning-gym: every row has the generator's own verifier, and its reference passes it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from blake3 import blake3

from lib.data.rows import Message, Reject, Row, Verifier, identified
from lib.data.settings import FamilySettings, ReasoningSettings
from lib.errors import ConfigError

SOURCE = "reasoning_gym"
LICENCE = "Apache-2.0"
_DAY = datetime(2026, 11, 23)  # any day, but always this one
_NOT_CONTENT = {"source_dataset", "source_index", "difficulty"}  # metadata that says how, not what


def rows(settings: ReasoningSettings, cache: Path, seed: int, on_reject: Callable[[Reject], None]) -> Iterator[Row]:
    """Yield `settings.rows` puzzles (fewer by the rejected ones), family by family and level by level.

    Deterministic in `seed`; a larger `rows` only appends within a level, so that scaling keeps the common part equal.
    """
    del cache  # generated: nothing to fetch
    check(settings)
    total = sum(family.weight for family in settings.families.values())
    for name, family in settings.families.items():
        share = settings.rows * family.weight / total
        for level in range(len(family.levels)):
            count = max(1, round(share / len(family.levels)))
            yield from _level(settings, name, level, count, seed, on_reject)


def check(settings: ReasoningSettings) -> None:
    """Raise ConfigError if a family would exceed its share, or an unseen kind is not among the families."""
    total = sum(family.weight for family in settings.families.values())
    for name, family in settings.families.items():
        share = family.weight / total
        if share > settings.max_family_share:
            raise ConfigError(
                f"sources.reasoning.families.{name}.weight = {family.weight:g} makes {share:.1%} of the rows, "
                f"allowed are {settings.max_family_share:.0%}: lower the weight or add families"
            )
    missing = sorted(kind for kind in settings.unseen_kinds if kind.removeprefix(f"{SOURCE}/") not in settings.families)
    if missing:
        raise ConfigError(f"sources.reasoning.unseen_kinds names {', '.join(missing)}, which no family generates")


def _level(
    settings: ReasoningSettings, name: str, level: int, count: int, seed: int, on_reject: Callable[[Reject], None]
) -> Iterator[Row]:
    import reasoning_gym

    params = _parameters(settings.families[name], level)
    own = int.from_bytes(
        blake3(f"{seed}/{name}/{level}".encode()).digest(length=4)
    )  # levels must not share random streams
    puzzles = reasoning_gym.create_dataset(name, size=count, seed=own, **params)
    score = reasoning_gym.get_score_answer_fn(name)
    for index in range(count):
        entry = _plain(_made(puzzles, index))
        fault = _fault(entry, score)
        if fault:
            detail = str(entry["question"])[:200]
            on_reject(
                Reject(source=f"{SOURCE}/{name}", position=f"level {level}, {index}", reason=fault, detail=detail)
            )
            continue
        provenance = {"difficulty": str(level), "seed": str(own), "index": str(index)}
        yield _row(name, entry, settings.prompt, provenance)


def _made(puzzles: Any, index: int) -> dict[str, Any]:
    """Puzzle `index`, the same whatever the day and the time zone.

    time_intervals has dateutil read "04:57", and what a text leaves out dateutil takes from the clock.
    """
    from dateutil import parser

    with patch.object(parser, "parse", partial(parser.parse, default=_DAY)):
        return puzzles[index]


def _parameters(family: FamilySettings, level: int) -> dict[str, Any]:
    """A level's keyword arguments; TOML has no tuples, and some generators compare with tuples."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in family.levels[level].items()}


def _plain(entry: dict[str, Any]) -> dict[str, Any]:
    """The parts a verifier needs, as they will be after a journey through JSON; equal puzzles give equal entries."""
    metadata = {key: value for key, value in entry["metadata"].items() if key not in _NOT_CONTENT}
    kept = {"question": entry["question"], "answer": entry["answer"], "metadata": metadata}
    return json.loads(json.dumps(kept, default=str))


def _fault(entry: dict[str, Any], score: Callable[..., float]) -> str:
    if not isinstance(entry["answer"], str) or not entry["answer"].strip():
        return "no single reference answer"
    if score(answer=entry["answer"], entry=entry) != 1.0:
        return "the reference fails its verifier"
    return ""


def instance(name: str, entry: dict[str, Any]) -> str:
    """What makes a puzzle this puzzle: generator, its parameters and the answer; wording and level do not count."""
    content = {
        key: value
        for key, value in entry["metadata"].items()
        if not key.startswith("num_") and not key.endswith("_length")
    }
    body = json.dumps([name, content, entry["answer"]], sort_keys=True, ensure_ascii=False)
    return blake3(body.encode()).hexdigest(length=16)


def _row(name: str, entry: dict[str, Any], prompt: str, provenance: dict[str, str]) -> Row:
    same = instance(name, entry)
    return identified(
        Row(
            messages=[
                Message("system", prompt),
                Message("user", entry["question"].strip()),
                Message("assistant", entry["answer"].strip()),
            ],
            source=f"{SOURCE}/{name}",
            licence=LICENCE,
            domain="reasoning",
            verifier=Verifier("reasoning_gym", {"dataset": name, "entry": entry}),
            provenance=provenance,
            group=same,
            generated=True,
            instance=same,
        )
    )
