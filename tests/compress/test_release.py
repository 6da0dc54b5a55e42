"""The chosen files: copied, packed, named, and nothing where nothing was chosen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from packable import SETTINGS, write_gguf

from lib.compress import release
from lib.compress.frontier import Choice
from lib.compress.pack_read import unpack


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    return {name: write_gguf(tmp_path / f"{name}.gguf", seed=seed) for seed, name in enumerate(("big", "small"), 1)}


def test_the_chosen_are_copied_and_packed(files: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "files"
    metrics = release.place(Choice(release="big", mobile="small", verdicts={}), files, out, SETTINGS, 1)
    assert sorted(path.name for path in out.iterdir()) == [
        "chosen.json", "mobile.gguf", "mobile.pack", "release.gguf", "release.pack",
    ]  # fmt: skip
    for role, name in (("release", "big"), ("mobile", "small")):
        assert (out / f"{role}.gguf").read_bytes() == files[name].read_bytes()
        unpack(out / f"{role}.pack", tmp_path / "back", SETTINGS.max_file_bytes)
        assert (tmp_path / "back").read_bytes() == files[name].read_bytes()
        assert metrics[f"{role}_bytes"] == files[name].stat().st_size
        assert metrics[f"{role}_packed_bytes"] == (out / f"{role}.pack").stat().st_size < metrics[f"{role}_bytes"]
    found = release.gate(out, SETTINGS.max_file_bytes)
    assert found.passed and found.n == 2


def test_what_was_not_chosen_has_no_file(files: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "files"
    metrics = release.place(Choice(release=None, mobile=None, verdicts={}), files, out, SETTINGS, 1)
    assert [path.name for path in out.iterdir()] == ["chosen.json"] and set(metrics.values()) == {0}
    assert json.loads((out / "chosen.json").read_bytes()) == {"release": None, "mobile": None}
    assert release.gate(out, SETTINGS.max_file_bytes).n == 0


def test_a_pack_of_another_file_and_a_damaged_one_are_counted(files: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "files"
    release.place(Choice(release="big", mobile="small", verdicts={}), files, out, SETTINGS, 1)
    (out / "release.gguf").write_bytes(files["small"].read_bytes())
    found = release.gate(out, SETTINGS.max_file_bytes)
    assert not found.passed and found.value == 1
    damaged = bytearray((out / "mobile.pack").read_bytes())
    damaged[-9] ^= 1
    (out / "mobile.pack").write_bytes(damaged)
    assert release.gate(out, SETTINGS.max_file_bytes).value == 2
