"""Damaged files: whatever bytes they hold, a reader gives an image or points, or an error that names the file."""

from __future__ import annotations

import io
import resource
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import laspy
import numpy as np
import pytest
import tifffile
from flir_file import flir_jpeg
from hypothesis import HealthCheck, given, settings, strategies as st
from PIL import Image
from plyfile import PlyData, PlyElement
from pypcd4.pypcd4 import PointCloud

from xkd.data.manifest import Manifest
from xkd.modalities import RGB, SENSORS, Depth, Multispectral, Thermal, modality
from xkd.modalities.calibration import Camera, read_calibration, write_calibration
from xkd.modalities.scans import read_scan
from xkd.modality import Shot

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (20, 24, 3), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (20, 24), dtype=np.uint16)
AHEAD = np.array([[0.0, -1.0, 0.0, 0.0], [0.0, 0.0, -1.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])  # a scanner at the camera
POINTS = RNG.normal(size=(30, 4)).astype(np.float32)


def encoded(suffix: str, image: Any) -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()


def tiff(image: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, image, **options)
    return file.getvalue()


def pages() -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(COLOUR, photometric="rgb", extratags=[(42112, "s", 0, "<GDALMetadata></GDALMetadata>", True)])
        writer.write(DEEP)
        writer.write(DEEP > 9, photometric="mask", subfiletype=4)
    return file.getvalue()


def npy() -> bytes:
    file = io.BytesIO()
    np.save(file, POINTS)
    return file.getvalue()


def ply() -> bytes:
    file = io.BytesIO()
    vertex = np.array([tuple(point) for point in POINTS], [(name, "f4") for name in ("x", "y", "z", "intensity")])
    PlyData([PlyElement.describe(vertex, "vertex")]).write(file)
    return file.getvalue()


def las() -> bytes:
    cloud = laspy.create(point_format=3)
    cloud.x, cloud.y, cloud.z = POINTS[:, :3].astype(np.float64).T
    file = io.BytesIO()
    cloud.write(file)
    return file.getvalue()


def pcd(folder: Path) -> bytes:
    path = folder / "whole.pcd"
    PointCloud.from_xyzi_points(POINTS).save(path)
    return path.read_bytes()


def manifest(path: Path) -> None:
    Manifest.load(str(path.parent))


HEADER = b"""name = "m"
licence = "x"
source = "y"
classes = ["a", "b"]
[modalities.rgb]
sensor = "rgb"
"""


def calibration(folder: Path) -> bytes:
    path = folder / "whole.json"
    write_calibration(path, Camera(np.array([[20.0, 0, 12, 0], [0, 20, 10, 0], [0, 0, 1, 0]]), AHEAD, (0.1, 0.01, 0.0, 0.0, 0.0), (24, 20)))
    return path.read_bytes()


PLANE: dict[str, Any] = {"photometric": "minisblack"}

# what is read beside the sensors' own examples, by a file's name: how, and a file that is whole
READERS: dict[str, tuple[Callable[[Path], Any], Callable[[Path], bytes]]] = {
    "rgb.jpg": (lambda path: RGB().read(Shot((path,))), lambda _: encoded(".jpg", COLOUR)),
    "rgb.webp": (lambda path: RGB().read(Shot((path,))), lambda _: encoded(".webp", COLOUR)),
    "rgb.bmp": (lambda path: RGB().read(Shot((path,))), lambda _: encoded(".bmp", COLOUR)),
    "bands.tif": (
        lambda path: Multispectral(bands=("red", "nir")).read(Shot((path,))),
        lambda _: tiff(np.dstack([DEEP, DEEP]), **PLANE, planarconfig="contig"),
    ),
    "packed.tif": (
        lambda path: Multispectral(bands=("red", "nir")).read(Shot((path,))),
        lambda _: tiff(np.stack([DEEP, DEEP]), **PLANE, planarconfig="separate", compression="zlib"),
    ),
    **{
        f"{compression}.tif": (
            lambda path: Thermal(unit="counts", scale=1.0, range=(0.0, 65535.0)).read(Shot((path,))),
            lambda _, compression=compression: tiff(DEEP, compression=compression, tile=(16, 16), extratags=[(42113, "s", 0, "7", True)]),
        )
        for compression in ("lzw", "zstd", "lerc", "jpeg2000", "jpegxl", "packbits")
    },
    "jpeg.tif": (lambda path: RGB().read(Shot((path,))), lambda _: tiff(COLOUR, compression="jpeg", photometric="ycbcr")),
    "palette.tif": (
        lambda path: RGB().read(Shot((path,))),
        lambda _: tiff(COLOUR[..., 0], photometric="palette", colormap=np.zeros((3, 256), np.uint16)),
    ),
    "pages.tif": (lambda path: Depth(limits=(0.001, 99.0), band=4).read(Shot((path,))), lambda _: pages()),
    "alpha.png": (lambda path: RGB().read(Shot((path,))), lambda _: encoded(".png", np.dstack([COLOUR, COLOUR[..., :1]]))),
    "flir.jpg": (
        lambda path: Thermal(unit="degC", scale=1.0, range=(0.0, 60.0)).read(Shot((path,))),
        lambda _: flir_jpeg(np.linspace(10, 40, 480, dtype=np.float32).reshape(20, 24)),
    ),
    "scan.bin": (lambda path: read_scan(path, 4), lambda _: POINTS.tobytes()),
    "scan.npy": (lambda path: read_scan(path, 4), lambda _: npy()),
    "scan.ply": (lambda path: read_scan(path, 4), lambda _: ply()),
    "scan.las": (lambda path: read_scan(path, 4), lambda _: las()),
    "scan.pcd": (lambda path: read_scan(path, 4), pcd),
    "calibration.json": (lambda path: read_calibration(path, "rgb"), calibration),
    "manifest.toml": (manifest, lambda _: HEADER),
    "manifest.csv": (manifest, lambda _: b"id,split,group,rgb,label\n1,train,g,rgb/1.png,a\n2,val,h,rgb/2.png,b\n"),
}

NAMES = (*SENSORS, *READERS)


def whole_file(name: str, folder: Path) -> tuple[Callable[[Path], Any], Path]:
    """How a file is read, and one that is whole, with what belongs to it beside it."""
    if name in SENSORS:
        table, shot = SENSORS[name].example(folder, (20, 24), np.random.default_rng(0))
        sensor = modality("eye", {"sensor": name, **table})
        return lambda _: sensor.read(shot), shot.paths[0]
    read, make = READERS[name]
    (folder / name).write_bytes(make(folder))
    return read, folder / name


# one change: where, as a share of the file, what is done there, and with which bytes
Change = tuple[float, str, bytes]
KINDS = ("flip", "replace", "insert", "delete", "cut", "repeat")
CHANGES = st.lists(st.tuples(st.floats(0, 1), st.sampled_from(KINDS), st.binary(min_size=1, max_size=8)), min_size=1, max_size=6)


def changed(whole: bytes, changes: list[Change]) -> bytes:
    data = bytearray(whole)
    for share, kind, patch in changes:
        at = int(share * len(data))
        if kind == "flip" and data:
            data[min(at, len(data) - 1)] ^= patch[0]
        elif kind == "replace":
            data[at : at + len(patch)] = patch
        elif kind == "insert":
            data[at:at] = patch
        elif kind == "delete":
            del data[at : at + len(patch)]
        elif kind == "cut":
            del data[at:]
        elif kind == "repeat":
            data[at:at] = data[max(at - 40, 0) : at]
    return bytes(data)


def message_of(read: Callable[[Path], Any], path: Path) -> str:
    """What a reader says of a file that it cannot read."""
    try:
        read(path)
    except (ValueError, KeyError) as error:
        return str(error) or repr(error)
    return ""


def fuzz(name: str, folder: Path, times: int) -> int:
    """Reads `times` changed files; how many of them gave something."""
    for part in ("manifest.toml", "manifest.csv"):
        whole_file(part, folder)
    read, path = whole_file(name, folder)
    whole, given_back = path.read_bytes(), [0]
    read(path)

    @settings(max_examples=times, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(CHANGES)
    def one(changes: list[Change]) -> None:
        path.write_bytes(changed(whole, changes))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a library says of a broken file
            message = message_of(read, path)
        assert not message or path.name in message or folder.name in message, f"the file is not named: {message}"
        given_back[0] += not message

    one()
    return given_back[0]


@pytest.mark.parametrize("name", NAMES)
def test_a_broken_file_is_an_error_that_names_it(name: str, tmp_path: Path) -> None:
    assert fuzz(name, tmp_path, 40) < 40


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_hundred_thousand_broken_files_leave_nothing_behind(tmp_path: Path) -> None:
    for name in NAMES:
        (tmp_path / name).mkdir()
        fuzz(name, tmp_path / name, 200)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name in NAMES:
        fuzz(name, tmp_path / name, 100_000 // len(NAMES) + 1)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 300, f"{grown:.0f} MiB more than before"


def png_of(width: int, height: int) -> bytes:
    """A header that promises much, and nothing behind it."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(10))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(60_000, 60_000), (20_000, 20_000), (2**31 - 1, 2**31 - 1)])
def test_an_image_bomb_is_refused_before_it_is_decoded(size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_of(*size))
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was decoded"))
    for sensor in (RGB(), Thermal(), Depth()):
        with pytest.raises(ValueError, match=r"bomb\.png: .*; cut it into tiles"):
            sensor.read(Shot((path,)))


def test_more_pixels_than_a_file_can_hold_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was decoded"))
    (tmp_path / "bomb.png").write_bytes(png_of(9_000, 9_000))  # few enough for any limit
    jpeg = bytearray(encoded(".jpg", COLOUR))
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = struct.pack(">HH", 9_000, 9_000)
    (tmp_path / "bomb.jpg").write_bytes(jpeg)
    for name in ("bomb.png", "bomb.jpg"):
        with pytest.raises(ValueError, match=rf"{name}: its header promises 9000x9000 pixels, which \d+ bytes cannot hold"):
            RGB().read(Shot((tmp_path / name,)))


def test_a_chunk_that_is_longer_than_the_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = bytearray(encoded(".png", DEEP))
    at = whole.index(b"IDAT") - 4
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was decoded"))
    for length in (2**31 - 1, 3_700_000_000, len(whole)):
        whole[at : at + 4] = struct.pack(">I", length)
        (tmp_path / "chunk.png").write_bytes(whole)
        with pytest.raises(ValueError, match=r"chunk\.png: the file is cut off after \d+ bytes"):
            Thermal().read(Shot((tmp_path / "chunk.png",)))


def test_what_compresses_best_is_read(tmp_path: Path) -> None:
    black = np.zeros((2000, 2000, 3), np.uint8)
    for suffix in (".png", ".jpg", ".webp"):
        path = tmp_path / f"black{suffix}"
        path.write_bytes(encoded(suffix, black))
        assert RGB().read(Shot((path,))).shape == black.shape
    path = tmp_path / "bits.png"
    Image.fromarray(np.zeros((2000, 2000), bool)).save(path, optimize=True)
    assert RGB().read(Shot((path,))).shape == black.shape
    Image.fromarray(black).save(tmp_path / "steps.jpg", quality=1, progressive=True, optimize=True)
    assert RGB().read(Shot((tmp_path / "steps.jpg",))).shape == black.shape
