"""Phase 2, the end: what was chosen, where users look for it."""

from __future__ import annotations

from pathlib import Path

from lib.compress.pack_settings import PackSettings
from lib.result import Result


def release(
    *, table: Path, ggufs: list[Path], files: Path, names: list[str], settings: PackSettings, threads: int
) -> Result:
    """The files that the frontier chose, and their packs; `ggufs` are all candidates', called `names`."""
    from lib.compress import release as chosen
    from lib.compress.frontier_variants import read_choice

    by_name = dict(zip(names, ggufs, strict=True))
    metrics = chosen.place(read_choice(table), by_name, files, settings, threads)
    return Result(metrics=metrics, gates=[chosen.gate(files, settings.max_file_bytes)])
