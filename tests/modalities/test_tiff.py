"""A TIFF that promises more than it holds, or than is safe to decode, is refused before room is made for it."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from xkd.modalities import Multispectral
from xkd.modalities.files import read_raster
from xkd.modality import Shot

DEEP = np.random.default_rng(0).integers(0, 65536, (20, 24), dtype=np.uint16)
DEFLATE, NONE = 8, 1


@pytest.fixture(autouse=True)
def bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room that is made all the same fails the test, and not the machine."""
    make = tifffile.tifffile.create_output

    def watched(out: Any, shape: tuple[int, ...], dtype: Any, **options: Any) -> Any:
        assert math.prod(shape) * np.dtype(dtype).itemsize < 2**27, f"room was made for {shape}"
        return make(out, shape, dtype, **options)

    monkeypatch.setattr(tifffile.tifffile, "create_output", watched)


def header(height: int, width: int, bands: int, bits: int, compression: int = NONE, held: bytes = b"") -> bytes:
    """A little-endian TIFF of floats in one strip, whose pixels are `held`; none at all is an offset and a length of 0."""
    fields = {256: ("I", [width]), 257: ("I", [height]), 258: ("H", [bits] * bands), 259: ("H", [compression]), 262: ("H", [1])}
    fields |= {273: ("I", [8 if held else 0]), 277: ("H", [bands]), 278: ("I", [height]), 279: ("I", [len(held)])}
    fields |= {284: ("H", [1]), 338: ("H", [0] * (bands - 1)), 339: ("H", [3] * bands)}
    start = 8 + len(held)
    entries, behind = struct.pack("<H", len(fields)), b""
    for tag, (kind, values) in fields.items():
        packed = struct.pack(f"<{len(values)}{kind}", *values)
        if len(packed) > 4:
            behind += packed
            packed = struct.pack("<I", start + 6 + 12 * len(fields) + len(behind) - len(packed))
        entries += struct.pack("<HHI", tag, {"H": 3, "I": 4}[kind], len(values)) + packed.ljust(4, b"\0")
    return b"II*\0" + struct.pack("<I", start) + held + entries + bytes(4) + behind


def test_the_header_made_by_hand_is_one_that_is_read(tmp_path: Path) -> None:
    values = np.arange(24, dtype=np.float64).reshape(3, 4, 2)
    (tmp_path / "small.tif").write_bytes(header(3, 4, 2, 64, held=values.tobytes()))
    assert np.array_equal(read_raster(tmp_path / "small.tif").values, values)


@pytest.mark.parametrize("compression", [NONE, DEFLATE])
def test_more_bytes_than_are_safe_are_refused(compression: int, tmp_path: Path) -> None:
    path = tmp_path / "bomb.tif"
    path.write_bytes(header(13_000, 13_000, 200, 64, compression))
    assert path.stat().st_size < 2000
    with pytest.raises(ValueError, match=r"bomb\.tif: 270400000000 bytes of values, at most 1431655760 are decoded at once; cut it into"):
        read_raster(path)


def test_more_pixels_than_are_safe_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.tif"
    tifffile.imwrite(path, np.dstack([DEEP, DEEP]), photometric="minisblack", planarconfig="contig")
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ValueError, match=r"bomb\.tif: 480 pixels, at most 200 are decoded at once; cut it into tiles"):
        Multispectral(bands=("red", "nir")).read(Shot((path,)))


@pytest.mark.parametrize("compression", [NONE, DEFLATE])
def test_an_image_without_a_pixel_is_refused(compression: int, tmp_path: Path) -> None:
    path = tmp_path / "empty.tif"
    path.write_bytes(header(5_000, 5_000, 4, 64, compression))
    with pytest.raises(ValueError, match=r"empty\.tif: its header promises \(5000, 5000, 4\) of float64, and none of its strips or tiles"):
        read_raster(path)


@pytest.mark.parametrize(("compression", "height"), [(NONE, 110), (DEFLATE, 110_000)])
def test_more_values_than_its_bytes_can_hold_are_refused(compression: int, height: int, tmp_path: Path) -> None:
    path = tmp_path / "short.tif"
    path.write_bytes(header(height, 10, 1, 64, compression, held=bytes(8000)))
    with pytest.raises(ValueError, match=rf"short\.tif: its header promises \({height}, 10\) of float64, which 8\d+ bytes cannot hold"):
        read_raster(path)


@pytest.mark.parametrize("compression", ["zlib", "lzw", "packbits", "lzma", "zstd", "lerc", "jpegxl"])
@pytest.mark.parametrize("tile", [None, (512, 512)])
def test_what_compresses_best_is_read(compression: str, tile: tuple[int, int] | None, tmp_path: Path) -> None:
    path = tmp_path / "black.tif"
    options = {"planarconfig": "separate", "photometric": "minisblack", "predictor": 2 if compression in ("zlib", "lzw") else None}
    tifffile.imwrite(path, np.zeros((2, 1500, 1500), np.uint16), compression=compression, tile=tile, **options)
    assert read_raster(path).values.shape == (1500, 1500, 2)


def test_values_smaller_than_a_byte_and_pages_beside_each_other_are_read(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "bits.tif", np.ones((400, 801), bool), photometric="minisblack")
    assert read_raster(tmp_path / "bits.tif").values.all()
    tifffile.imwrite(tmp_path / "stack.tif", np.stack([DEEP] * 5), imagej=True)  # one page's length is told, five lie there
    assert np.array_equal(read_raster(tmp_path / "stack.tif").values[..., 4], DEEP)
