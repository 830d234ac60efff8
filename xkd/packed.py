"""The bytes of a data set's file, wherever they lie: in a file of their own, or in a shard that `xkd pack` has written.

A packed data set has its manifest, shards, and `pack.index`: one line of JSON, then an entry for each file in the order of their names (in
UTF-8), then the names. The index is mapped into memory, so that processes share it; shards are read by `seek`, since a mapped file that is
cut off would kill the process in the place of an error.
"""

from __future__ import annotations

import io
import json
import mmap
import os
import zlib
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from struct import Struct
from typing import Any, BinaryIO, Final, NamedTuple

from xkd.remote import length_of, part_of

INDEX: Final = "pack.index"
_FORMAT: Final = "xkd pack 1"
_AGAIN: Final = "copy it again, or pack the data set again: xkd pack"
TWICE: Final = "is packed, and lies on the disk too, where it is not read: remove it there, or pack the data set anew: xkd pack"
_LINE: Final = 64  # bytes that the line of JSON is a multiple of, so that what follows is aligned
_ENTRY: Final = Struct("<QQQII")  # where its name ends among the names, offset, length, number of the shard, CRC-32


class Entry(NamedTuple):
    """Where a file lies."""

    shard: int
    offset: int
    length: int
    checksum: int  # CRC-32


def shard_name(number: int) -> str:
    return f"shard_{number:05d}.bin"


def as_index(entries: dict[str, Entry], sizes: Sequence[int], base: str = "") -> bytes:
    """Content of `pack.index`: files by their path below the data set's folder, bytes of each shard, and the URL of their folder."""
    by_name = sorted((name.encode(), entry) for name, entry in entries.items())
    table, names = bytearray(), bytearray()
    for name, entry in by_name:
        names += name
        table += _ENTRY.pack(len(names), entry.offset, entry.length, entry.shard, entry.checksum)
    body = bytes(table + names)
    told = {"format": _FORMAT, "base": base, "files": len(by_name), "shards": list(sizes), "bytes": len(body), "crc32": zlib.crc32(body)}
    line = json.dumps(told)
    return line.ljust(-(-(len(line) + 1) // _LINE) * _LINE - 1).encode() + b"\n" + body


@dataclass(frozen=True)
class Pack:
    """Content of `pack.index`: files by path below the data set's folder, bytes of each shard, and the URL of the folder they lie in."""

    root: Path
    base: str
    sizes: tuple[int, ...]
    _count: int
    _content: Any  # the mapped index
    _table: int  # where the entries begin
    _names: int  # where the names begin

    @classmethod
    def open(cls, root: Path) -> Pack:
        """`ValueError` names the index where it is not whole, or of another version."""
        path = root / INDEX
        with path.open("rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b""
        table = content.find(b"\n") + 1
        try:
            header = json.loads(content[:table])
            form, base, sizes, count, size, checksum = (header[key] for key in ("format", "base", "shards", "files", "bytes", "crc32"))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: is no index of packed files; {_AGAIN}") from error
        if form != _FORMAT:
            raise ValueError(f"{path}: its format is {form!r}, this xkd reads '{_FORMAT}'; pack the data set again: xkd pack")
        if len(content) != table + size or zlib.crc32(memoryview(content)[table:]) != checksum:
            raise ValueError(f"{path}: the index of the packed files is cut off, or bytes of it have changed; {_AGAIN}")
        return cls(root, base, tuple(sizes), count, content, table, table + count * _ENTRY.size)

    def entry(self, path: Path) -> Entry | None:
        """Where a file below `root` lies; None where the pack does not hold it."""
        name = self._name_of(path).encode()
        at = self._place(name)
        if at == self._count or self._name(at) != name:
            return None
        _, offset, length, shard, checksum = _ENTRY.unpack_from(self._content, self._table + at * _ENTRY.size)
        return Entry(shard, offset, length, checksum)

    def below(self, folder: Path) -> Iterator[str]:
        """Paths of the packed files in a folder, seen from there, in the order of their names."""
        prefix = b"" if folder == self.root else self._name_of(folder).encode() + b"/"
        for at in range(self._place(prefix), self._count):
            name: bytes = self._name(at)
            if not name.startswith(prefix):
                return
            yield name[len(prefix) :].decode()

    def shard(self, number: int) -> Path | str:
        """Its path, or its URL."""
        return f"{self.base.rstrip('/')}/{shard_name(number)}" if self.base else self.root / shard_name(number)

    def read(self, path: Path, entry: Entry) -> bytes:
        """The file's bytes; `FileNotFoundError` or `ValueError` names the file and its shard where that is missing or broken."""
        shard = self.shard(entry.shard)
        try:
            content = _part(shard, entry)
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{path}: is in {_broken(shard, 'which is missing')}") from error
        except ValueError as error:
            raise ValueError(f"{path}: is in a shard behind a URL: {error}") from error
        if len(content) < entry.length:
            raise ValueError(f"{path}: is in {_broken(shard, f'which is cut off after {_bytes(shard)} bytes')}")
        if zlib.crc32(content) != entry.checksum:
            raise ValueError(f"{path}: is in {_broken(shard, 'in which bytes of it have changed since it was packed')}")
        return content

    def faults(self, first: int) -> dict[int, str]:
        """Shards that are missing or not of their size, by number, and what is wrong with each; behind a URL `first` alone is looked at."""
        found = {}
        for number in range(len(self.sizes))[first : first + 1] if self.base else range(len(self.sizes)):
            shard, size = self.shard(number), self.sizes[number]
            try:
                there = _bytes(shard)
            except FileNotFoundError:
                found[number] = _broken(shard, "which is missing")
            except ValueError as error:
                found[number] = f"a shard behind a URL: {error}"
            else:
                if there != size:
                    found[number] = _broken(shard, f"which has {there} bytes in the place of {size}")
        return found

    def _name_of(self, path: Path) -> str:
        return path.as_posix().removeprefix(self.root.as_posix()).removeprefix("/")

    def _place(self, name: bytes) -> int:
        return bisect_left(range(self._count), name, key=self._name)

    def _name(self, at: int) -> bytes:
        start = _ENTRY.unpack_from(self._content, self._table + (at - 1) * _ENTRY.size)[0] if at else 0
        end = _ENTRY.unpack_from(self._content, self._table + at * _ENTRY.size)[0]
        return bytes(self._content[self._names + start : self._names + end])


def _part(shard: Path | str, entry: Entry) -> bytes:
    if isinstance(shard, str):
        return part_of(shard, entry.offset, entry.length)
    with shard.open("rb") as file:
        file.seek(entry.offset)
        return file.read(entry.length)


def _bytes(shard: Path | str) -> int:
    return length_of(shard) if isinstance(shard, str) else shard.stat().st_size


def _broken(shard: Path | str, what: str) -> str:
    return f"the shard {shard}, {what}; {_AGAIN}"


def content(path: Path) -> bytes:
    """A file's bytes. `FileNotFoundError` where it is not there; `ValueError` where its shard is broken; both name the file."""
    pack, entry = _found(path)
    return path.read_bytes() if pack is None or entry is None else pack.read(path, entry)


def opened(path: Path) -> BinaryIO:
    """A file for a look at its beginning: of a shard on the disk no more is read than is asked for, and no checksum is compared."""
    pack, entry = _found(path)
    if pack is None or entry is None:
        return path.open("rb")
    shard = pack.shard(entry.shard)
    return io.BytesIO(content(path)) if isinstance(shard, str) else io.BufferedReader(_Part(shard, entry.offset, entry.length))


def source(path: Path) -> Path | io.BytesIO:
    """What a library reads that takes a path or a file: the path, or where the file is packed its bytes. Raises what `content` does."""
    return io.BytesIO(content(path)) if is_packed(path) else path


def is_packed(path: Path) -> bool:
    return _found(path)[1] is not None


def is_there(path: Path) -> bool:
    """Whether there is such a file, packed or not."""
    return is_packed(path) or path.is_file()


def size_of(path: Path) -> int:
    """Bytes of a file; `FileNotFoundError` where it is not there."""
    _, entry = _found(path)
    return path.stat().st_size if entry is None else entry.length


def version_of(path: Path) -> tuple[int, ...]:
    """Numbers that change with a file's content: its size and checksum where it is packed, else its size and times."""
    _, entry = _found(path)
    if entry is not None:
        return entry.length, entry.checksum
    stat = path.stat()
    # archives give many files one time of writing; that of the last change here is the disk's own
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def names_in(folder: Path) -> set[str]:
    """Of the files in a folder, packed or not, and of the folders on the disk; none where there is no such folder."""
    return loose_in(folder) | {name for name in _packed_below(folder) if "/" not in name}


def loose_in(folder: Path) -> set[str]:
    """Names of what lies in a folder on the disk; none where there is no such folder."""
    return set(os.listdir(folder)) if folder.is_dir() else set()


def packed_below(folder: Path) -> list[Path]:
    """Every packed file below a folder, by name; none where it is not part of a packed data set."""
    return [folder / name for name in _packed_below(folder)]


def parts_of(root: Path) -> list[Path]:
    """The files on the disk that a packed data set consists of, beside its manifest and what stays loose; none where it is not packed."""
    pack = pack_of(root)
    numbers = range(0 if pack is None or pack.base else len(pack.sizes))
    return [] if pack is None else [root / INDEX, *(root / shard_name(number) for number in numbers)]


@lru_cache(maxsize=4096)
def pack_of(folder: Path) -> Pack | None:
    """The pack of the data set that a folder (an absolute path) is, or is part of; `ValueError` names an index that is broken."""
    if (folder / INDEX).is_file():
        return Pack.open(folder)
    if folder.parent == folder or (folder / "manifest.toml").is_file():
        return None
    return pack_of(folder.parent)


def look_again() -> None:
    """What was known of folders is forgotten: a data set may have been packed since."""
    pack_of.cache_clear()


def _found(path: Path) -> tuple[Pack | None, Entry | None]:
    path = path if path.is_absolute() else path.absolute()
    pack = pack_of(path.parent)
    return pack, None if pack is None else pack.entry(path)


def _packed_below(folder: Path) -> Iterator[str]:
    folder = folder.absolute()
    pack = pack_of(folder)
    return iter(()) if pack is None else pack.below(folder)


class _Part(io.RawIOBase):
    """A part of a file, as a file to read; it ends where the file does, if that is earlier."""

    def __init__(self, path: Path, offset: int, length: int) -> None:
        self._file, self._offset, self._length, self._at = path.open("rb", buffering=0), offset, length, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._length}[whence])
        return self._at

    def readinto(self, buffer: Any) -> int:
        with memoryview(buffer) as room:
            wanted = max(0, min(len(room), self._length - self._at))
            self._file.seek(self._offset + self._at)
            number = self._file.readinto(room[:wanted]) if wanted else 0
        self._at += number
        return number

    def close(self) -> None:
        self._file.close()
        super().close()
