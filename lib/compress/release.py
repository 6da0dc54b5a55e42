"""The chosen files where users look for them: each as it runs, and packed for download."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import msgspec

from lib.compress.frontier import Choice
from lib.compress.pack import pack
from lib.compress.pack_settings import PackSettings
from lib.compress.pack_table import unpacks_to
from lib.result import Gate, Number

CHOSEN = "chosen.json"


def place(
    choice: Choice, files: Mapping[str, Path], out: Path, settings: PackSettings, threads: int
) -> dict[str, Number]:
    """Put the chosen ones of `files` (by name) in the folder `out`, as `release.gguf` and `mobile.gguf`, each with
    its `.pack` in the chosen way; what was not chosen has no file. `chosen.json` says which is which.

    Returns bytes before and after packing, 0 where nothing was chosen.
    """
    out.mkdir(exist_ok=True)
    found: dict[str, Number] = {}
    for role, name in named(choice).items():
        sizes = (0, 0)
        if name is not None:
            file = out / f"{role}.gguf"
            shutil.copyfile(files[name], file)
            made = pack(file, file.with_suffix(".pack"), settings.variants[settings.chosen], settings, threads)
            sizes = (made.size_bytes, made.packed_bytes)
        found |= {f"{role}_bytes": sizes[0], f"{role}_packed_bytes": sizes[1]}
    (out / CHOSEN).write_bytes(msgspec.json.encode(named(choice)) + b"\n")
    return found


def named(choice: Choice) -> dict[str, str | None]:
    """What the files are called, and which candidates they are."""
    return {"release": choice.release, "mobile": choice.mobile}


def gate(out: Path, max_bytes: int) -> Gate:
    """How many of the packs in `out` do not unpack to the file beside them."""
    roles = msgspec.json.decode((out / CHOSEN).read_bytes(), type=dict[str, str | None])
    chosen = [role for role, name in roles.items() if name is not None]
    held = [unpacks_to(out / f"{role}.pack", out / f"{role}.gguf", max_bytes) for role in chosen]
    wrong = [one for one in held if not one.passed]
    return Gate(
        name="chosen_packs_wrong", value=len(wrong), threshold=0, at_least=False, n=len(chosen),
        reference=wrong[0].reference if wrong else None,
    )  # fmt: skip
