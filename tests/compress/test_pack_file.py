"""Whole files: the identical bytes come back, equal files give equal packs, and memory stays where it was said to."""

from __future__ import annotations

import argparse
import hashlib
import inspect
import io
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from packable import PLAIN, SETTINGS, SPLIT, WITH_DICTIONARY, write_gguf

from lib.compress.pack import pack
from lib.compress.pack_format import read_head
from lib.compress.pack_layout import LAYOUTS
from lib.compress.pack_plan import stretches
from lib.compress.pack_read import contents, unpack, unpacked_sha256
from lib.compress.pack_settings import PackSettings, PackVariant
from lib.compress.pack_table import pack_variants, unpacks_to
from lib.errors import DataError

REPOSITORY = Path(__file__).parents[2]
LIMIT = 1 << 26


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tmp_path_factory.mktemp("model") / "model.gguf")


@pytest.mark.parametrize("variant", [PLAIN, SPLIT, WITH_DICTIONARY], ids=["plain", "split", "dictionary"])
def test_a_gguf_comes_back_identical(model: Path, tmp_path: Path, variant: PackVariant) -> None:
    made = pack(model, tmp_path / "p", variant, SETTINGS)
    sha = unpack(tmp_path / "p", tmp_path / "back.gguf", LIMIT)
    assert (tmp_path / "back.gguf").read_bytes() == model.read_bytes()
    assert sha == made.sha256 == hashlib.sha256(model.read_bytes()).hexdigest()
    assert made.packed_bytes == (tmp_path / "p").stat().st_size < made.size_bytes == model.stat().st_size
    assert made.dictionary_bytes == (4096 if variant.dictionary else 0)
    assert unpacks_to(tmp_path / "p", model, LIMIT).passed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back.gguf", "p"]


def test_every_tensor_with_a_layout_is_taken_apart(model: Path, tmp_path: Path) -> None:
    made = stretches(model)
    assert {one.kind for one in made} == {*LAYOUTS, "bytes"}
    assert sum(one.size for one in made) == model.stat().st_size
    packed = pack(model, tmp_path / "p", SPLIT, SETTINGS)
    assert packed.typed_bytes == sum(one.size for one in made if one.kind != "bytes") > 0.9 * packed.size_bytes


@settings(max_examples=30, deadline=None)
@given(data=st.binary(max_size=50_000), variant=st.sampled_from([PLAIN, SPLIT]))
def test_any_file_comes_back(tmp_path_factory: pytest.TempPathFactory, data: bytes, variant: PackVariant) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "f").write_bytes(data)
    if variant is SPLIT and data.startswith(b"GGUF"):  # the generator knows this word, and no more of the format
        with pytest.raises(DataError, match="begins as a GGUF file and is none"):
            pack(folder / "f", folder / "p", variant, SETTINGS)
        return
    made = pack(folder / "f", folder / "p", variant, SETTINGS)
    assert b"".join(contents(folder / "p", LIMIT)) == data
    assert made.typed_bytes == 0


def test_equal_files_give_equal_packs_with_any_threads(model: Path, tmp_path: Path) -> None:
    for threads in (1, 3):
        pack(model, tmp_path / f"p{threads}", SPLIT, SETTINGS, threads)
    assert (tmp_path / "p1").read_bytes() == (tmp_path / "p3").read_bytes()


def test_any_zstd_tool_unpacks_a_plain_pack(model: Path, tmp_path: Path) -> None:
    pack(model, tmp_path / "p", PLAIN, SETTINGS)
    reader = zstandard.ZstdDecompressor().stream_reader(
        io.BytesIO((tmp_path / "p").read_bytes()), read_across_frames=True
    )
    assert reader.read() == model.read_bytes()


def test_split_is_smaller_than_plain_on_sparse_weights(tmp_path: Path) -> None:
    sparse = write_gguf(tmp_path / "sparse.gguf", rows=200, zeros=0.65)
    plain, split = (pack(sparse, tmp_path / "p", variant, SETTINGS).packed_bytes for variant in (PLAIN, SPLIT))
    assert split < 0.97 * plain


def test_a_damaged_gguf_is_not_packed_as_if_it_were_none(model: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.gguf").write_bytes(model.read_bytes()[:2000])
    with pytest.raises(DataError, match="cut.gguf begins as a GGUF file and is none"):
        pack(tmp_path / "cut.gguf", tmp_path / "p", SPLIT, SETTINGS)
    assert not (tmp_path / "p").exists()
    assert pack(tmp_path / "cut.gguf", tmp_path / "p", PLAIN, SETTINGS).size_bytes == 2000


def test_a_gguf_whose_tensors_are_missing_is_refused(model: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.gguf").write_bytes(model.read_bytes()[:-5000])
    with pytest.raises(DataError, match="cut.gguf"):
        stretches(tmp_path / "cut.gguf")


def test_too_small_for_a_dictionary_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(10_000))
    with pytest.raises(DataError, match="too small to train"):
        pack(tmp_path / "f", tmp_path / "p", WITH_DICTIONARY, SETTINGS)


def test_variants_are_measured_and_the_chosen_one_kept(model: Path, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    metrics, timings = pack_variants(model, tmp_path / "out.pack", tmp_path / "work", SETTINGS, threads=1)
    assert metrics["split_packed_bytes"] == (tmp_path / "out.pack").stat().st_size
    assert metrics["size_bytes"] == model.stat().st_size and metrics["plain_dictionary_bytes"] == 0
    assert set(timings) == {f"{name}_{what}" for name in ("plain", "split") for what in
                            ("pack_seconds", "unpack_bytes_per_s")}  # fmt: skip
    assert list((tmp_path / "work").iterdir()) == [] and unpacks_to(tmp_path / "out.pack", model, LIMIT).passed


def test_the_gate_fails_on_a_pack_of_another_file_and_on_a_damaged_one(model: Path, tmp_path: Path) -> None:
    other = write_gguf(tmp_path / "other.gguf", seed=9)
    pack(other, tmp_path / "p", SPLIT, SETTINGS)
    assert not unpacks_to(tmp_path / "p", model, LIMIT).passed
    data = bytearray((tmp_path / "p").read_bytes())
    data[-100] ^= 1
    (tmp_path / "p").write_bytes(data)
    gate = unpacks_to(tmp_path / "p", other, LIMIT)
    assert not gate.passed and "damaged" in str(gate.reference)


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="words in common"):
        msgspec.convert({"layout": "split", "level": 3, "dictionary": True}, PackVariant)
    with pytest.raises(msgspec.ValidationError, match="none of the variants"):
        msgspec.convert({**msgspec.to_builtins(SETTINGS), "chosen": "best"}, PackSettings)


_MEASURE = """
import resource, sys
from pathlib import Path
from packable import PLAIN, SETTINGS, SPLIT
from lib.compress.pack import pack
from lib.compress.pack_read import unpack, unpacked_sha256
import gguf, numpy, zstandard
source, folder = Path(sys.argv[1]), Path(sys.argv[2])
for variant in (SPLIT, PLAIN):
    pack(source, folder / "p", variant, SETTINGS)
    unpacked_sha256(folder / "p", 1 << 40)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def _peak_kib(source: Path, folder: Path) -> int:
    command = [sys.executable, "-c", _MEASURE, str(source), str(folder)]
    paths = f"{REPOSITORY}:{Path(__file__).parent}"
    done = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": paths, "PATH": "/usr/bin:/bin"})
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    small, large = write_gguf(tmp_path / "small.gguf", rows=100), write_gguf(tmp_path / "large.gguf", rows=8_000)
    grown = large.stat().st_size - small.stat().st_size
    assert grown > 20 << 20
    more = (_peak_kib(large, tmp_path) - _peak_kib(small, tmp_path)) * 1024
    assert more < grown / 4


def test_a_model_of_this_project_comes_back_identical(tmp_path: Path) -> None:
    """The real thing in small: exported from weights, quantised by llama.cpp, sparse and not."""
    from lib.model import toy
    from lib.model.gguf_export import export
    from lib.model.quantise import quantise
    from lib.model.settings import ToySettings

    texts = inspect.getsource(argparse).split("\n\n")
    shape = ToySettings(vocab=320, hidden=64, intermediate=96, layers=2, heads=4, kv_heads=2, context=64)
    toy.make(texts, tmp_path / "m", shape, seed=3)
    export(tmp_path / "m", tmp_path / "f16.gguf", "f16")
    for kind in ("Q8_0", "Q4_0", "Q5_0"):
        quantise(tmp_path / "f16.gguf", tmp_path / f"{kind}.gguf", kind, threads=1)
    for path in sorted(tmp_path.glob("*.gguf")):
        packed = pack(path, tmp_path / "p", SPLIT, SETTINGS)
        assert unpacked_sha256(tmp_path / "p", LIMIT) == hashlib.sha256(path.read_bytes()).hexdigest()
        assert packed.typed_bytes > 0.5 * packed.size_bytes


def test_the_head_names_what_is_inside(model: Path, tmp_path: Path) -> None:
    pack(model, tmp_path / "p", SPLIT, SETTINGS)
    with (tmp_path / "p").open("rb") as file:
        head = read_head(file, tmp_path / "p", LIMIT)
    assert head.size == model.stat().st_size and [part.kind for part in head.parts] == [
        one.kind for one in stretches(model)
    ]
    assert all(part.size > 0 and part.packed > 0 for part in head.parts)
