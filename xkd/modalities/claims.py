"""What a scan's header claims, beside what its file holds: readers make room for it before they look whether it is there."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

from xkd.packed import opened, size_of

# ASPRS LAS 1.4 R15, table 3: where the numbers of (extended) records of variable length are, bytes of one's header, since which 1.x;
# where a point's length and their (legacy) number are; LAZ sets a bit of the format
_LAS_HEADER, _LAS_MINOR, _LAS_RECORDS = 375, 25, ((100, 54, 0), (243, 60, 4))
_LAS_FORMAT, _LAS_PACKED, _LAS_POINTS = 104, 0x80, 105
_PLY_HEADER = 2**20  # bytes; one is a few hundred, and plyfile looks for its end byte by byte
# Turk's PLY types and their newer names; a list is at least its length
_PLY_SIZES: Final = {
    **dict.fromkeys((b"char", b"uchar", b"int8", b"uint8"), 1),
    **dict.fromkeys((b"short", b"ushort", b"int16", b"uint16"), 2),
    **dict.fromkeys((b"int", b"uint", b"int32", b"uint32", b"float", b"float32"), 4),
    **dict.fromkeys((b"double", b"float64"), 8),
}
_PLY_CELL = 2  # bytes that a number takes in text: a digit, and what parts it from the next


def check_las(path: Path) -> None:
    """laspy makes as many records as the header claims, of nothing where the file has ended, until memory is full."""
    size = size_of(path)
    with opened(path) as file:
        header = file.read(_LAS_HEADER).ljust(_LAS_HEADER, b"\0")
    least = sum(length * struct.unpack_from("<I", header, at)[0] for at, length, minor in _LAS_RECORDS if header[_LAS_MINOR] >= minor)
    if not header[_LAS_FORMAT] & _LAS_PACKED:
        length, points = struct.unpack_from("<HI", header, _LAS_POINTS)
        least += length * points
    _must_fit(least, size)


def check_ply(path: Path) -> None:
    """plyfile makes an array of as many rows as the header claims; what is broken in another way, it says itself."""
    size = size_of(path)
    with opened(path) as file:
        lines = [line.split() for line in file.read(_PLY_HEADER).splitlines()]
    if [b"end_header"] not in lines:
        raise ValueError(f"its header has no end within {min(size, _PLY_HEADER)} bytes")
    lines = lines[: lines.index([b"end_header"])]
    text = [b"format", b"ascii"] in [words[:2] for words in lines]
    elements: list[list[int]] = []  # how many rows, then the least bytes of each property
    for words in lines:
        if words[:1] == [b"element"] and len(words) == 3 and words[2].isdigit():
            elements.append([int(words[2])])
        elif words[:1] == [b"property"] and elements:
            kind = words[2 if words[1:2] == [b"list"] else 1 :][:1]
            elements[-1].append(_PLY_CELL if text else _PLY_SIZES.get(b"".join(kind), 1))
    # the last number of a text needs nothing behind it; rows of no property count too, since plyfile goes through them all
    _must_fit(sum(rows * max(sum(properties), 1) for rows, *properties in elements) - text, size)


def _must_fit(least: int, size: int) -> None:
    if least > size:
        raise ValueError(f"its header claims records of {least} bytes at least, the file has {size}")
