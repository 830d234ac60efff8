"""A sensor that nobody named is known by what its column or folder is called and by its files, or asked for."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from prepare_calls import Prepare, write_image

from xkd.data.prepare.guess import guess

RNG = np.random.default_rng(0)
GREY, COLOUR = RNG.integers(0, 256, (20, 30), dtype=np.uint8), RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
DEEP, BANDS = RNG.integers(0, 60000, (20, 30), dtype=np.uint16), RNG.integers(0, 60000, (6, 20, 30), dtype=np.uint16)


def write(path: Path, what: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, what)
    elif path.suffix == ".tif":
        tifffile.imwrite(path, what, photometric="minisblack")
    elif path.suffix.lower() in (".bin", ".las"):
        path.write_bytes(bytes(160))
    else:
        cv2.imwrite(str(path), what)


@pytest.mark.parametrize(
    ("column", "file", "what", "kind", "why"),
    [
        ("rgb", "a.jpg", COLOUR, "rgb", "called 'rgb', it holds 8-bit colour images (.jpg)"),
        ("left", "a.jpg", COLOUR, "rgb", "it holds 8-bit colour images (.jpg)"),
        ("rgb", "a.png", GREY, "rgb", "called 'rgb', it holds 8-bit grey images (.png)"),
        ("thermal", "a.png", DEEP, "thermal", "called 'thermal', it holds 16-bit grey images (.png)"),
        ("flir_2", "a.jpg", np.dstack([GREY] * 3), "thermal", "called 'flir_2', it holds 8-bit grey images (.jpg)"),
        ("lwir", "a.tif", DEEP.astype(np.float32), "thermal", "called 'lwir', it holds float32 grey images (.tif)"),
        ("depth", "a.png", DEEP, "depth", "called 'depth', it holds 16-bit grey images (.png)"),
        ("ndvi", "a.png", COLOUR, "multispectral", "called 'ndvi', it holds 8-bit colour images (.png)"),
        ("field", "a.tif", BANDS, "multispectral", "it holds 16-bit 6-channel images (.tif)"),
        ("top", "a.bin", None, "lidar", "it holds .bin files"),
        ("top", "a.LAS", None, "lidar", "it holds .las files"),
        ("lidar", "a.npy", np.zeros((50, 4), np.float32), "lidar", "called 'lidar', it holds .npy files of float32 (50, 4)"),
    ],
)
def test_what_is_known(column: str, file: str, what: object, kind: str, why: str, tmp_path: Path) -> None:
    write(tmp_path / "recorded" / file, what)
    assert guess(column, [tmp_path / "recorded"]) == (kind, why)


@pytest.mark.parametrize(
    ("column", "file", "what", "message"),
    [
        (
            "left",
            "a.png",
            DEEP,
            r"holds 16-bit grey images \(.png\); which sensor made them\? write left=\S+recorded:SENSOR, SENSOR one of"
            r" \['depth', 'multispectral', 'rgb', 'thermal'\]",
        ),
        ("depth", "a.png", GREY, r"'depth' is a name for sensor 'depth', which does not make 8-bit grey images \(.png\); write depth="),
        (
            "thermal",
            "a.npy",
            np.zeros((9, 24, 32), np.float16),
            r"no sensor reads .npy files of float16 \(9, 24, 32\); files that are read: rgb, thermal, multispectral, depth: .png",
        ),
        ("rgb_depth", "a.png", DEEP, r"'rgb_depth' may be each of \['rgb', 'depth'\]; write rgb_depth="),
        ("left", "a.npy", np.zeros((9, 4), np.float32), r"holds .npy files of float32 \(9, 4\); which .* one of \['lidar'\]"),
        ("left", "a.txt", None, r"recorded: no file that ends in \['.bin'"),
    ],
)
def test_what_is_not_known_is_asked_for(column: str, file: str, what: object, message: str, tmp_path: Path) -> None:
    if file == "a.txt":
        (tmp_path / "recorded").mkdir()
        (tmp_path / "recorded" / file).write_text("notes", "utf-8")
    else:
        write(tmp_path / "recorded" / file, what)
    with pytest.raises(ValueError, match=message):
        guess(column, [tmp_path / "recorded"])


def test_a_folder_names_what_its_column_does_not(tmp_path: Path) -> None:
    write(tmp_path / "Thermal_frames/a.png", DEEP)
    assert guess("left", [tmp_path / "Thermal_frames"])[0] == "thermal"
    assert guess("depth", [tmp_path / "Thermal_frames"])[0] == "depth", "the column is what somebody wrote just now"


def test_files_that_are_unlike_the_most_or_broken_do_not_count(tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path / f"r/{number}.bin", None)
    write(tmp_path / "r/preview.jpg", COLOUR)
    write(tmp_path / "r/.hidden/preview.jpg", COLOUR)
    assert guess("top", [tmp_path / "r"])[0] == "lidar"
    write(tmp_path / "p/0.jpg", COLOUR)
    (tmp_path / "p/1.jpg").write_bytes(b"broken")
    assert guess("left", [tmp_path / "p"])[0] == "rgb"
    write(tmp_path / "p/2.jpg", GREY)
    with pytest.raises(ValueError, match="which sensor made them"):
        guess("left", [tmp_path / "p"])
    (tmp_path / "q").mkdir()
    (tmp_path / "q/1.jpg").write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"1\.jpg"):
        guess("left", [tmp_path / "q"])


def test_a_guess_is_told_and_an_order_is_not_guessed(tmp_path: Path, prepare: Prepare) -> None:
    for number in range(8):
        write_image(tmp_path / f"seen/{number}.png", number)
        write(tmp_path / f"seen:8/{number}.jpg", GREY)
    words = ("--classes", "leaf", "--sensor", f"thermal={tmp_path / 'seen:8'}", "--sensor")
    answer = prepare("folders", *words, f"a={tmp_path / 'seen'}", "--out", tmp_path / "one")
    assert answer.code == 0, answer.error
    assert "a is read as sensor 'rgb': it holds 8-bit colour images (.png). If it is another, write a=DIR:SENSOR" in answer.out
    assert "thermal is read as sensor 'thermal': called 'thermal', it holds 8-bit grey images (.jpg)" in answer.out
    assert 'note: thermal: found in its files: unit = "8-bit counts", scale = 1.0, range = [0.0, 255.0]; --set' in answer.out
    answer = prepare("folders", *words, f"a={tmp_path / 'seen'}:rgb", "--out", tmp_path / "two")
    assert "a is read" not in answer.out
    assert "thermal is read" in answer.out
    answer = prepare("folders", *words, f"b={tmp_path / 'nowhere'}", "--out", tmp_path / "three")
    assert re.search("nowhere: no such folder", answer.error)
