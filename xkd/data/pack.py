"""A data set whose files lie in a few large shards: they are copied as they are, nothing is decoded.

Many small files cost a disk, and a network's disk most of all, more for being found than for being read. A row can be read at any time and
in any order, so samples, their order and what a resumed run sees are those of the loose files.
"""

from __future__ import annotations

import os
import shutil
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from xkd.data.manifest import Manifest
from xkd.data.shots import check_files, named
from xkd.data.write import files_of, link, new_dataset
from xkd.packed import INDEX, Entry, as_index, content, is_packed, shard_name, size_of
from xkd.remote import check_url

SHARD: Final = 64 * 2**20  # bytes
_HEADERS: Final = ("manifest.csv", "manifest.toml")


@dataclass(frozen=True)
class Packing:
    """What was done: how many files are in how many shards of how many bytes, and which are larger than a shard and stayed loose."""

    files: int
    shards: int
    size: int
    loose: tuple[str, ...]


def pack(manifest: Manifest, out: Path, tick: Callable[[], None] = lambda: None, shard: int = SHARD, base: str = "") -> Packing:
    """Write `out`, the data set with its files in shards of about `shard` bytes; `tick` is called after each file.

    `base` is the URL of the folder to which the shards will be copied; they are read from there, those in `out` are not.
    A file that is larger than a shard gains nothing and stays as it is, as a link where the disk is the same. All or nothing is written.
    Raises `FileExistsError` where `out` is there, `FileNotFoundError` that names the row of a file that is not.
    """
    if shard < 1:
        raise ValueError(f"a shard has a size in bytes, 1 or more; got {shard}")
    if base:
        check_url(base)
    check_files(manifest.root, manifest.rows, set(manifest.modalities), masks=True)
    loose = []
    with new_dataset(out) as draft:
        shards = _Shards(draft, shard)
        try:
            for name, row in files_of(manifest).items():
                path = manifest.root / name
                if size_of(path) > shard:
                    _write_loose(path, draft / name)
                    loose.append(name)
                else:
                    with named(row):
                        shards.add(name, content(path))
                tick()
        finally:
            shards.close()
        (draft / INDEX).write_bytes(as_index(shards.entries, shards.sizes, base))
        _copy_headers(manifest, draft)
    return Packing(len(shards.entries), len(shards.sizes), sum(shards.sizes), tuple(loose))


def unpack(manifest: Manifest, out: Path, tick: Callable[[], None] = lambda: None) -> int:
    """The reverse: write `out`, the data set with each file as it was, and say how many there are. Raises what `pack` does."""
    files = files_of(manifest)
    check_files(manifest.root, manifest.rows, set(manifest.modalities), masks=True)
    with new_dataset(out) as draft:
        for name, row in files.items():
            with named(row):
                _write_loose(manifest.root / name, draft / name)
            tick()
        _copy_headers(manifest, draft)
    return len(files)


def _write_loose(path: Path, target: Path) -> None:
    if not is_packed(path):
        link(path, target)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content(path))


def _copy_headers(manifest: Manifest, folder: Path) -> None:
    for name in _HEADERS:
        shutil.copyfile(manifest.root / name, folder / name)


class _Shards:
    """Writes files one after the other; a new shard begins where the next file would make one too large."""

    def __init__(self, folder: Path, largest: int) -> None:
        self.folder, self.largest = folder, largest
        self.entries: dict[str, Entry] = {}
        self.sizes: list[int] = []
        self._file: BinaryIO | None = None

    def add(self, name: str, data: bytes) -> None:
        if self._file is None or self.sizes[-1] + len(data) > self.largest:
            self.close()
            self._file = (self.folder / shard_name(len(self.sizes))).open("wb")
            self.sizes.append(0)
        self.entries[name] = Entry(len(self.sizes) - 1, self.sizes[-1], len(data), zlib.crc32(data))
        self._file.write(data)
        self.sizes[-1] += len(data)

    def close(self) -> None:
        """What was written is on the disk."""
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None
