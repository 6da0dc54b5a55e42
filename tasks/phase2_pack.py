"""Phase 2, packing for download: without a lost bit, and what zeros are worth once they are coded."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from lib.compress.pack_settings import PackSettings
from lib.result import Number, Result


def pack(*, gguf: Path, packed: Path, work: Path, settings: PackSettings, threads: int) -> Result:
    """Pack a file in every way the settings have, and keep the chosen one."""
    from lib.compress.pack_table import pack_variants

    metrics, timings = pack_variants(gguf, packed, work, settings, threads)
    return Result(metrics=metrics, timings=timings)


def unpack(*, gguf: Path, packed: Path, max_bytes: int) -> Result:
    """Unpack what was published, and hold it against the file that was packed."""
    from lib.compress.pack_table import unpacks_to

    gate = unpacks_to(packed, gguf, max_bytes)
    metrics: dict[str, Number] = {"size_bytes": gguf.stat().st_size, "packed_bytes": packed.stat().st_size}
    return Result(metrics=metrics, gates=[gate])


def compare(
    *, packs: list[Path], table: Path, names: list[str], models: list[str], kinds: list[str], dense: str, chosen: str,
    goal: float,
) -> Result:  # fmt: skip
    """Every packed file beside the dense one of its type: what pruning takes off the download, by type.

    `packs` are the metrics of packing; the file of model `models[i]` in type `kinds[i]` is called `names[i]`.
    """
    key = f"{chosen.replace('-', '_')}_packed_bytes"
    read = [json.loads(path.read_text(encoding="utf-8")) for path in packs]
    whole = {kind: found[key] for model, kind, found in zip(models, kinds, read, strict=True) if model == dense}
    rows = [
        {"name": name, "model": model, "type": kind, "bytes": found["size_bytes"], "packed_bytes": found[key],
         "smaller": 1 - found[key] / whole[kind], "ways": found}
        for name, model, kind, found in zip(names, models, kinds, read, strict=True)
    ]  # fmt: skip
    table.write_bytes(msgspec.json.format(msgspec.json.encode({"chosen": chosen, "rows": rows}), indent=1) + b"\n")
    metrics: dict[str, Number] = {f"smaller_{row['name'].replace('-', '_').lower()}": row["smaller"]
                                  for row in rows if row["model"] != dense}  # fmt: skip
    reached = {model: [row["smaller"] >= goal for row in rows if row["model"] == model] for model in models}
    metrics |= {f"goal_met_{model}": int(all(found)) for model, found in reached.items() if model != dense}
    return Result(metrics=metrics)
