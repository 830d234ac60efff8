"""Patterns tell the files of several sensors in one folder apart: the layouts of common cameras, and what is refused."""

from __future__ import annotations

from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from prepare_calls import Prepare, write_image

from xkd.data.manifest import Manifest
from xkd.data.prepare.pattern import base, files_of, places

COUNTS = ("thermal.unit=counts", "thermal.scale=1", "thermal.range=[0, 255]")


def grey(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(60, 200, (24, 32), dtype=np.uint8))


def band(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, np.random.default_rng(seed).integers(100, 30000, (24, 32), dtype=np.uint16))


@pytest.fixture
def flights(tmp_path: Path) -> Path:
    """Six shots each as cameras write them."""
    for n in range(6):
        sub = "100MEDIA" if n < 3 else "101MEDIA"
        write_image(tmp_path / f"dji/{sub}/DJI_2024050112000{n}_{n + 1:04d}_W.JPG", n)
        grey(tmp_path / f"dji/{sub}/DJI_2024050112000{n}_{n + 1:04d}_T.JPG", n)
        write_image(tmp_path / f"flir/FLIR_{n:05d}_RGB.jpg", n)
        grey(tmp_path / f"flir/FLIR_{n:05d}_PreviewData.jpeg", n)
        for number, name in enumerate(("G", "R", "RE", "NIR"), 1):
            band(tmp_path / f"m3m/DJI_20240501_{n:04d}_MS_{name}.TIF", 10 * n + number)
        write_image(tmp_path / f"m3m/DJI_20240501_{n:04d}_D.JPG", n)
        for number, name in enumerate(("B02", "B03", "B04", "B08")):  # Sentinel-2's, which are JPEG 2000
            path = tmp_path / f"safe/L2A_{n}.SAFE/GRANULE/IMG_DATA/R10m/T32UQD_2020010{n}T101031_{name}_10m.jp2"
            path.parent.mkdir(parents=True, exist_ok=True)
            counts = np.random.default_rng(number).integers(0, 5000, (24, 24)).astype(np.uint16)
            path.write_bytes(imagecodecs.jpeg2k_encode(counts, level=0))
        for number in range(1, 6):
            band(tmp_path / f"micasense/{'000' if n < 3 else '001'}/IMG_{n:04d}_{number}.tif", 10 * n + number)
        for split in ("train", "val", "test"):
            write_image(tmp_path / f"split/{split}/rgb/{n}.png", n)
            grey(tmp_path / f"split/{split}/thermal/{n}.png", n)
    return tmp_path


@pytest.mark.parametrize(
    ("sensors", "first", "files"),
    [
        (
            ("rgb=dji/**/*_W.JPG:rgb", "thermal=dji/**/*_T.JPG:thermal"),
            "100MEDIA/DJI_20240501120000_0001",
            ("rgb/100MEDIA/DJI_20240501120000_0001_W.JPG", "thermal/100MEDIA/DJI_20240501120000_0001_T.JPG"),
        ),
        (("rgb=dji/*/DJI_*_{id}_W.jpg:rgb", "thermal=dji/*/DJI_*_{id}_T.jpg:thermal"), "100MEDIA/0001", ()),
        (("rgb=flir/{id}_RGB.jpg:rgb", "thermal=flir/{id}_PreviewData.jpeg:thermal"), "FLIR_00000", ()),
        (("rgb=flir/*_RGB.jpg", "thermal=flir/*_PreviewData.jpeg"), "FLIR_00000", ()),
        (("rgb=split/*/rgb", "thermal=split/*/thermal"), "test/0", ("rgb/test/rgb/0.png", "thermal/test/thermal/0.png")),
    ],
)
def test_two_sensors_in_one_folder(
    sensors: tuple[str, ...], first: str, files: tuple[str, ...], flights: Path, prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(flights)
    words = [word for sensor in sensors for word in ("--sensor", sensor)]
    answer = prepare("folders", *words, "--set", *COUNTS, "--classes", "a", "--out", "out")
    assert answer.code == 0, answer.error
    rows = sorted(Manifest.load(flights / "out").rows, key=lambda row: row.id)
    assert len(rows) == (18 if "split" in sensors[0] else 6)
    assert rows[0].id == first
    assert all(set(row.files) == {"rgb", "thermal"} for row in rows)
    assert not files or tuple(path for paths in rows[0].files.values() for path in paths) == files
    if "split" in sensors[0]:
        assert all(row.id.startswith(row.split) for row in rows)
        assert "splits are those of the folders (train 6, val 6, test 6)" in answer.out


@pytest.mark.parametrize(
    ("place", "names"),
    [
        ("micasense/**/IMG_{id}_{1..5}.tif", [f"IMG_0000_{number}.tif" for number in range(1, 6)]),
        (
            "safe/**/{id}_{B02,B03,B04,B08}_10m.jp2",
            [f"T32UQD_20200100T101031_{name}_10m.jp2" for name in ("B02", "B03", "B04", "B08")],
        ),
        ("m3m/{id}_MS_{R,NIR}.TIF", ["DJI_20240501_0000_MS_R.TIF", "DJI_20240501_0000_MS_NIR.TIF"]),
        ("m3m/*_MS_R.TIF,m3m/*_MS_NIR.TIF", ["DJI_20240501_0000_MS_R.TIF", "DJI_20240501_0000_MS_NIR.TIF"]),
    ],
)
def test_bands_of_one_sensor(place: str, names: list[str], flights: Path, prepare: Prepare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(flights)
    bands = str([f"b{number}" for number in range(len(names))]).replace("'", '"')
    words = ("--sensor", f"ms={place}:multispectral", "--set", f"ms.bands={bands}", f"ms.outputs={bands}", "--classes", "a")
    answer = prepare("folders", *words, "--out", "out")
    assert answer.code == 0, answer.error
    rows = Manifest.load(flights / "out").rows
    assert len(rows) == 6
    assert [path.split("/")[-1] for path in rows[0].files["ms"]] == names


@pytest.mark.parametrize(
    ("sensors", "message"),
    [
        (
            ("rgb=dji:rgb", "thermal=dji:thermal"),
            "'rgb' and 'thermal' take the same 12 files, such as dji/100MEDIA/DJI_20240501120000_0001_T.JPG; names end in *_T.JPG (6), "
            "*_W.JPG (6): a pattern for each tells them apart, such as --sensor 'rgb=dji/**/*_W.JPG:rgb' --sensor "
            "'thermal=dji/**/*_T.JPG:thermal'",
        ),
        (
            ("rgb=dji/*_W.JPG:rgb", "thermal=dji/**/*_T.JPG:thermal"),
            "no file of dji matches, it holds 100MEDIA/DJI_20240501120000_0001_T.JPG",
        ),
        (("rgb=dji/{100,101}MEDIA/*_W.JPG:rgb",), "in place of what differs takes them all: rgb=dji/*/*_W.JPG:rgb"),
        (("rgb=split/train/rgb,split/val/rgb:rgb",), "in place of what differs takes them all: rgb=split/*/rgb:rgb"),
        (("ms=micasense/**/IMG_{id}_{1}.tif:multispectral",), "braces hold several, {1..5} or {red,nir}, or are {id}; got '{1}'"),
        (("ms=micasense,micasense:multispectral",), "'ms': micasense and micasense take the same file, micasense/000/IMG_0000_1.tif"),
        (("rgb=dji/*/*.JPG:rgb", "rgb2=dji:rgb"), "take the same 12 files"),
        (("rgb=dji/**/DJI_{id}_*.JPG:rgb",), "have one stem, '100MEDIA/20240501120000"),
    ],
)
def test_what_is_not_told_apart_is_refused(
    sensors: tuple[str, ...], message: str, flights: Path, prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(flights)
    words = [word for sensor in sensors for word in ("--sensor", sensor)]
    answer = prepare("folders", *words, "--classes", "a", "--out", "out")
    assert answer.code == 2
    assert message in answer.error


def test_one_file_may_serve_two_sensors(tmp_path: Path, prepare: Prepare) -> None:
    for number in range(6):
        grey(tmp_path / f"shots/plant{number // 2}_{number % 2}.png", number)
    sensors = ("--sensor", f"rgb={tmp_path / 'shots'}:rgb", "--sensor", f"thermal={tmp_path / 'shots'}:thermal", "--set", *COUNTS)
    assert prepare("folders", *sensors, "--classes", "a", "--out", tmp_path / "out").code == 0


def test_places_of_patterns(flights: Path) -> None:
    assert [str(place) for place in places("a/{1..3},b")] == ["a/1", "a/2", "a/3", "b"]
    assert [str(place) for place in places("IMG_{08..10}_{a,b}")] == [f"IMG_{n}_{k}" for n in ("08", "09", "10") for k in ("a", "b")]
    assert base(Path("a/b/*/c")) == Path("a/b")
    (flights / "odd[1]*").mkdir()
    write_image(flights / "odd[1]*/x.png", 1)
    assert [place.stem for place in files_of(flights / "odd[1]*")] == ["x"], "a folder of such a name is a folder"
    with pytest.raises(ValueError, match="joined by ','"):
        places("a,")
