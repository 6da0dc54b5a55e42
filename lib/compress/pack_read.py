"""Unpacks a packed file to the identical bytes, or refuses it by name; nothing grows beyond what the head declares."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from lib.compress import pack_format
from lib.compress.pack_chunks import BadChunk, chunk_blocks, decode
from lib.compress.pack_file import whole
from lib.compress.pack_format import BYTES, SKIPPABLE, DamagedPack, ForeignPack, Head, Part, TruncatedPack
from lib.compress.pack_layout import LAYOUTS
from lib.errors import DiskError
from lib.progress import report

if TYPE_CHECKING:
    from zstandard import ZstdCompressionDict

_PIECE = 1 << 20


def unpack(path: Path, out: Path, max_bytes: int) -> str:
    """Write the original of the pack at `path` to `out` and return its SHA-256.

    Raises ForeignPack, TruncatedPack, DamagedPack, OversizedPack (more than `max_bytes`) or DiskError; `out` then
    stays as it was.
    """
    with path.open("rb") as file:
        size = pack_format.read_head(file, path, max_bytes).size
    free = shutil.disk_usage(out.parent).free
    if free < size:
        raise DiskError(f"{out} takes {size:,} bytes and {free:,} are free: make room and unpack again.")
    with whole(out) as file:
        for data in contents(path, max_bytes):
            file.write(data)
    return original_sha256(path, max_bytes)


def original_sha256(path: Path, max_bytes: int) -> str:
    """What the head of a pack says of its original; `contents` checks it."""
    with path.open("rb") as file:
        return pack_format.read_head(file, path, max_bytes).sha256


def unpacked_sha256(path: Path, max_bytes: int) -> str:
    """SHA-256 of what a pack unpacks to, without writing it anywhere."""
    digest = hashlib.sha256()
    for data in contents(path, max_bytes):
        digest.update(data)
    return digest.hexdigest()


def contents(path: Path, max_bytes: int) -> Iterator[bytes]:
    """The original, piece by piece; an error may come after some of it: only the end says that all of it was right."""
    import zstandard

    with path.open("rb") as file:
        head = pack_format.read_head(file, path, max_bytes)
        digest, done = hashlib.sha256(), 0
        try:
            for data in _parts(file, path, head):
                digest.update(data)
                done += len(data)
                report("unpack", done, head.size, "bytes")
                yield data
        except (zstandard.ZstdError, BadChunk) as e:
            raise DamagedPack(f"{path} is damaged ({e}): fetch it again.") from e
    if digest.hexdigest() != head.sha256:
        raise DamagedPack(f"{path} unpacks to other bytes than were packed: pack the original again.")


def _parts(file: BinaryIO, path: Path, head: Head) -> Iterator[bytes]:
    dictionary = _dictionary(file, path, head)
    for part in head.parts:
        section = _Section(file, path, part)
        yield from _bytes(section, part, head, dictionary) if part.kind == BYTES else _chunks(section, part, head)
        section.close()


class _Section:
    """The bytes of one part: hashed as they are read, and never more than there are."""

    def __init__(self, file: BinaryIO, path: Path, part: Part) -> None:
        self._file, self.path, self._part = file, path, part
        self._left, self._hash = part.packed, hashlib.sha256()

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, fewer at the end of the part."""
        data = self._file.read(min(size, self._left))
        if len(data) < min(size, self._left):
            raise TruncatedPack(f"{self.path} ends before its last part: fetch it again.")
        self._left -= len(data)
        self._hash.update(data)
        return data

    def exactly(self, size: int) -> bytes:
        """`size` bytes; DamagedPack when the part has fewer."""
        if size > self._left:
            raise DamagedPack(f"{self.path} is damaged: a part of {self._part.kind} ends too early. Fetch it again.")
        return self.read(size)

    def close(self) -> None:
        """All was read, and it was what was written."""
        if self._left or self._hash.hexdigest() != self._part.sha256:
            raise DamagedPack(f"{self.path} is damaged in a part of {self._part.kind}: fetch it again.")


def _bytes(section: _Section, part: Part, head: Head, dictionary: ZstdCompressionDict | None) -> Iterator[bytes]:
    """One zstd frame of exactly the declared size."""
    import zstandard

    decompressor = zstandard.ZstdDecompressor(dict_data=dictionary, max_window_size=1 << head.window_log)
    reader = decompressor.stream_reader(section, read_size=_PIECE, closefd=False)
    left = part.size
    while left:
        data = reader.read(min(_PIECE, left))
        if not data:
            raise BadChunk(f"a part of {part.size:,} bytes ends {left:,} too early")
        left -= len(data)
        yield data
    if reader.read(1):
        raise BadChunk(f"a part of {part.size:,} bytes goes on behind its end")


def _chunks(section: _Section, part: Part, head: Head) -> Iterator[bytes]:
    """Chunks of one GGUF type until the declared size is reached."""
    import zstandard

    if part.kind not in LAYOUTS:
        raise ForeignPack(f"{section.path} has a part of kind {part.kind}, unknown to this version: update.")
    decompressor, block = zstandard.ZstdDecompressor(), LAYOUTS[part.kind].block
    left, most = part.size // block, chunk_blocks(part.kind, head.chunk_bytes)
    while left:
        data = decode(part.kind, section.exactly, decompressor, min(most, left))
        left -= len(data) // block
        yield data


def _dictionary(file: BinaryIO, path: Path, head: Head) -> ZstdCompressionDict | None:
    import zstandard

    if not head.dictionary:
        return None
    frame = file.read(SKIPPABLE.size + head.dictionary)
    data = frame[SKIPPABLE.size :]
    if frame != pack_format.skippable(data) or hashlib.sha256(data).hexdigest() != head.dictionary_sha256:
        raise DamagedPack(f"{path} is damaged in its dictionary: fetch it again.")
    return zstandard.ZstdCompressionDict(data)
