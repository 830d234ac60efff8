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
from xkd.modalities.files import read_bands
from xkd.modality import Shot

DEEP = np.random.default_rng(0).integers(0, 65536, (20, 24), dtype=np.uint16)
DEFLATE, NONE = 8, 1
NORTH = (2.0, 0.0, 5.0, 0.0, -2.0, 5.0)  # a place on the map; rasterio warns where there is none


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
    assert np.array_equal(read_bands(tmp_path / "small.tif")[0], values)


@pytest.mark.parametrize("compression", [NONE, DEFLATE])
def test_more_bytes_than_are_safe_are_refused(compression: int, tmp_path: Path) -> None:
    path = tmp_path / "bomb.tif"
    path.write_bytes(header(13_000, 13_000, 200, 64, compression))
    assert path.stat().st_size < 2000
    with pytest.raises(ValueError, match=r"bomb\.tif: 270400000000 bytes of values, at most 1431655760 are decoded at once; cut it into"):
        read_bands(path)


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
        read_bands(path)


@pytest.mark.parametrize(("compression", "height"), [(NONE, 110), (DEFLATE, 110_000)])
def test_more_values_than_its_bytes_can_hold_are_refused(compression: int, height: int, tmp_path: Path) -> None:
    path = tmp_path / "short.tif"
    path.write_bytes(header(height, 10, 1, 64, compression, held=bytes(8000)))
    with pytest.raises(ValueError, match=rf"short\.tif: its header promises \({height}, 10\) of float64, which 8\d+ bytes cannot hold"):
        read_bands(path)


def test_rasterio_is_held_to_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rasterio = pytest.importorskip("rasterio", reason="the extra 'geotiff' is not installed")
    path = tmp_path / "packed.tif"
    options = {"driver": "GTiff", "height": 40, "width": 50, "count": 30, "dtype": "uint16", "compress": "lzw", "transform": NORTH}
    with rasterio.open(path, "w", **options) as file:
        file.write(np.full((30, 40, 50), 7, np.uint16))
    monkeypatch.setattr(tifffile, "TiffFile", lambda _: (_ for _ in ()).throw(ValueError("unknown compression")))
    assert (read_bands(path)[0] == 7).all()
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 2000)  # 4000 pixels, 32 kB; the bands alone come to 120 kB
    with pytest.raises(ValueError, match=r"packed\.tif: 120000 bytes of values, at most 32000 are decoded at once"):
        read_bands(path)
    calls = tmp_path / "calls.tif"
    source = f"<SimpleSource><SourceFilename>{path}</SourceFilename></SimpleSource>"
    band = f"<VRTRasterBand dataType='UInt16' band='1'>{source}</VRTRasterBand>"
    calls.write_text(f"<VRTDataset rasterXSize='50' rasterYSize='40'><GeoTransform>5,2,0,5,0,-2</GeoTransform>{band}</VRTDataset>", "utf-8")
    with pytest.raises(ValueError, match=r"calls\.tif: cannot be read"):
        read_bands(calls)


@pytest.mark.parametrize("compress", ["none", "deflate", "lzw", "packbits", "lzma", "zstd"])
def test_what_compresses_best_is_read(compress: str, tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio", reason="the extra 'geotiff' is not installed")
    path = tmp_path / "black.tif"
    options = {"driver": "GTiff", "height": 1500, "width": 1500, "count": 2, "dtype": "uint16", "blockysize": 1500, "transform": NORTH}
    with rasterio.open(path, "w", **options, compress=compress, predictor=2 if compress in ("deflate", "lzw") else 1) as file:
        file.write(np.zeros((2, 1500, 1500), np.uint16))
    assert read_bands(path)[0].shape == (1500, 1500, 2)


def test_values_smaller_than_a_byte_and_pages_beside_each_other_are_read(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "bits.tif", np.ones((400, 801), bool))
    assert read_bands(tmp_path / "bits.tif")[0].all()
    tifffile.imwrite(tmp_path / "stack.tif", np.stack([DEEP] * 5), imagej=True)  # one page's length is told, five lie there
    assert np.array_equal(read_bands(tmp_path / "stack.tif")[0][..., 4], DEEP)
