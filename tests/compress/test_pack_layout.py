"""Blocks come apart and together without losing a bit, sizes are llama.cpp's, and a zero word is a weight of zero."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from packable import blocks

from lib.compress.pack_chunks import BadChunk, decode, encode
from lib.compress.pack_layout import LAYOUTS, paired, unpaired

MOST = 1 << 16
WITH_ZERO = [kind for kind, layout in LAYOUTS.items() if layout.quants is not None]


def _reader(data: bytes):  # type: ignore[no-untyped-def]
    at = 0

    def read(size: int) -> bytes:
        nonlocal at
        at += size
        assert at <= len(data)
        return data[at - size : at]

    return read


def _encoded(kind: str, raw: bytes, mask_from: float = 0.3) -> bytes:
    return encode(kind, raw, zstandard.ZstdCompressor(level=3), mask_from)


def _decoded(kind: str, chunk: bytes) -> bytes:
    return decode(kind, _reader(chunk), zstandard.ZstdDecompressor(), MOST)


@pytest.mark.parametrize("kind", LAYOUTS)
def test_blocks_are_as_long_as_ggml_says(kind: str) -> None:
    block, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
    layout = LAYOUTS[kind]
    assert layout.block == size
    quants = layout.quants
    assert quants is None or quants.count == block
    sides = sum(field.stop - field.start for field in layout.fields)
    assert sides + (quants.count * quants.bits // 8 if quants else 0) == size


@pytest.mark.parametrize("kind", LAYOUTS)
@settings(max_examples=25, deadline=None)
@given(count=st.integers(1, 40), seed=st.integers(0, 2**32), zeros=st.sampled_from([0.0, 0.2, 0.5, 0.97, 1.0]))
def test_every_block_comes_back(kind: str, count: int, seed: int, zeros: float) -> None:
    raw = blocks(kind, count, seed, zeros).tobytes()
    for mask_from in (0.0, 1.0):
        assert _decoded(kind, _encoded(kind, raw, mask_from)) == raw


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_bytes_come_back(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(sorted(LAYOUTS)))
    size = LAYOUTS[kind].block * data.draw(st.integers(1, 3))
    raw = data.draw(st.binary(min_size=size, max_size=size))
    assert _decoded(kind, _encoded(kind, raw)) == raw


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0", "Q5_0", "Q6_K"])
def test_words_are_the_weights_and_their_zero_is_zero(kind: str) -> None:
    """gguf's own arithmetic on the same blocks is scale × (word − zero)."""
    made = blocks(kind, 50, seed=4, zeros=0.5)
    made[:, slice(208, 210) if kind == "Q6_K" else slice(0, 2)] = np.frombuffer(np.float16(0.5).tobytes(), np.uint8)
    quants = LAYOUTS[kind].quants
    assert quants is not None
    words = quants.out(made).astype(np.int64)
    values = words.astype(np.uint8).view(np.int8).astype(np.int64) if kind == "Q8_0" else words - quants.zero
    scale = np.full((50, quants.count), 0.5)
    if kind == "Q6_K":
        scale *= np.repeat(made[:, 192:208].copy().view(np.int8), 16, axis=1)
    weights = gguf.quants.dequantize(made, gguf.GGMLQuantizationType[kind]).reshape(50, -1)
    assert np.array_equal(weights, (values * scale).astype(np.float32))
    assert (words == quants.zero).mean() > 0.4


@pytest.mark.parametrize("kind", WITH_ZERO)
def test_zeros_are_taken_out_where_that_is_smaller(kind: str) -> None:
    raw = blocks(kind, 2000, seed=5, zeros=0.65).tobytes()
    dense, masked = _encoded(kind, raw, mask_from=1.01), _encoded(kind, raw, mask_from=0.0)
    assert len(masked) < 0.97 * len(dense) < len(raw)
    full = blocks(kind, 500, seed=6).tobytes()
    assert _encoded(kind, full, mask_from=0.0) == _encoded(kind, full, mask_from=1.01)  # no zeros: dense is smaller


def test_pairs_of_odd_length_come_back() -> None:
    values = np.arange(15, dtype=np.uint8)
    assert np.array_equal(unpaired(paired(values), 15), values)


@pytest.mark.parametrize(
    ("start", "put", "message"),
    [
        (0, b"\0\0\0\0", "0 blocks"),
        (0, b"\xff\xff\xff\x7f", "cannot be"),
        (4, b"\x02", "cannot be"),
        (5, b"\xff\xff\xff\xff", "cannot be"),
        (9, b"\xff\xff\xff\xff", "cannot take"),
        (0, b"\x0b", "where .* should"),
        (5, b"\x07\0\0\0", "where .* should|keeps"),
    ],
)
def test_chunks_that_cannot_be_are_refused(start: int, put: bytes, message: str) -> None:
    chunk = _encoded("Q8_0", blocks("Q8_0", 10, seed=7, zeros=0.9).tobytes(), mask_from=0.0)
    assert chunk[4] == 1
    with pytest.raises(BadChunk, match=message):
        _decoded("Q8_0", chunk[:start] + put + chunk[start + len(put) :])


def test_a_mask_that_disagrees_with_its_words_is_refused() -> None:
    made = blocks("Q8_0", 64, seed=8, zeros=0.9)
    good = _encoded("Q8_0", made.tobytes(), mask_from=0.0)
    made[0, 2:34] = 0 if made[0, 2:34].any() else 1
    assert LAYOUTS["Q8_0"].quants is not None
    kept = made[:, 2:].reshape(-1) != 0
    mask = zstandard.ZstdCompressor(level=3).compress(np.packbits(kept, bitorder="little").data)
    lengths = np.frombuffer(good[9:25], "<u4").copy()
    at = 25 + int(lengths[:2].sum())
    end = at + int(lengths[2])
    lengths[2] = len(mask)
    with pytest.raises(BadChunk, match="a mask keeps"):
        _decoded("Q8_0", good[:9] + lengths.tobytes() + good[25:at] + mask + good[end:])
