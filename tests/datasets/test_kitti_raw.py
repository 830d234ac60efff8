"""The converter of KITTI's raw drives, on made-up ones: times, sweeps that are missing or late, one calibration per day."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from xkd.batch import View
from xkd.data.annotations import Masks
from xkd.data.augment import Augment
from xkd.data.manifest import Manifest, sensor
from xkd.data.paired import PairedDataset
from xkd.modalities.calibration import read_calibration

DATE = "2011_09_26"
FIRST, SECOND = f"{DATE}_drive_0001_sync", f"{DATE}_drive_0002_sync"
SIZE = (60, 24)  # width and height


@pytest.fixture(scope="module")
def script(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("kitti_raw")


def _stamp(seconds: float) -> str:
    return f"2011-09-26 13:02:{25 + seconds:012.9f}\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two drives of three frames, ten a second; sweeps 4 ms after images. The first drive's frame 1 has no sweep."""
    folder, rng = tmp_path / "source", np.random.default_rng(0)
    day = folder / DATE
    for drive in (FIRST, SECOND):
        for name in ("image_02", "velodyne_points"):
            (day / drive / name / "data").mkdir(parents=True)
        for frame in range(3):
            image = rng.integers(0, 255, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
            cv2.imwrite(str(day / drive / f"image_02/data/{frame:010d}.png"), image)
            cloud = rng.uniform((4, -3, -1, 0), (20, 3, 1, 1), (500, 4)).astype(np.float32)
            cloud.tofile(day / drive / f"velodyne_points/data/{frame:010d}.bin")
        (day / drive / "image_02/timestamps.txt").write_text("".join(_stamp(0.1 * frame) for frame in range(3)))
        (day / drive / "velodyne_points/timestamps.txt").write_text("".join(_stamp(0.1 * frame + 0.004) for frame in range(3)))
    (day / FIRST / f"velodyne_points/data/{1:010d}.bin").unlink()
    (day / "calib_cam_to_cam.txt").write_text(
        "calib_time: 09-Jan-2012 13:57:47\n"
        f"S_rect_02: {SIZE[0]} {SIZE[1]}\nR_rect_00: 1 0 0 0 1 0 0 0 1\nP_rect_02: 40 0 29.5 2.4 0 40 11.5 0 0 0 1 0\n"
    )
    (day / "calib_velo_to_cam.txt").write_text("calib_time: 15-Mar-2012 11:37:16\nR: 0 -1 0 0 0 -1 1 0 0\nT: 0 -0.1 -0.3\n")
    return folder


def test_made_up_drives(script: ModuleType, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert script.prepare(source, out, test=[SECOND]) == {"images without a sweep": 1}
    manifest = Manifest.load(out)
    assert [(row.split, row.group, "lidar" in row.files) for row in manifest.rows] == [
        ("train", FIRST, True),
        ("train", FIRST, False),
        ("train", FIRST, True),
        ("test", SECOND, True),
        ("test", SECOND, True),
        ("test", SECOND, True),
    ]
    assert {row.labels for row in manifest.rows} == {None}
    assert manifest.rows[2].values == {"rgb": {"time": 0.2}, "lidar": {"time": 0.204}}
    camera = read_calibration(out / manifest.rows[0].calibration, "P2")
    assert camera.size == SIZE
    # 8 m ahead of the scanner, 7.7 m before the camera, which stands 6 cm to the left of camera 0
    pixels, depth = camera.project(np.array([[8.0, 0.0, 0.0]]))
    assert depth == pytest.approx([7.7])
    assert pixels[0] == pytest.approx([30 + 2.4 / 7.7, 12 - 40 * 0.1 / 7.7])
    views = [View(name, sensor(str(out), name), (24, 60)) for name in ("rgb", "lidar")]
    samples = PairedDataset(str(out), "train", views, Augment(), masks=Masks("none"))
    assert [samples[index].present["lidar"] for index in range(3)] == [True, False, True]


def test_a_sweep_of_another_moment_is_left_out(script: ModuleType, source: Path, tmp_path: Path) -> None:
    times = source / DATE / SECOND / "velodyne_points/timestamps.txt"
    times.write_text(_stamp(0.004) + _stamp(0.151) + "\n")
    assert script.prepare(source, tmp_path / "out") == {"images without a sweep": 2, "sweeps too far in time": 1}


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        (f"{SECOND}/velodyne_points/timestamps.txt", "yesterday\n", r"timestamps\.txt, line 1: 'yesterday' is no time"),
        (f"{SECOND}/velodyne_points/timestamps.txt", _stamp(0), r"has 1 lines, so none for frame 0000000001"),
        (f"{SECOND}/image_02/timestamps.txt", "\n" + _stamp(0.1) + _stamp(0.2), "states no time for image 0000000000"),
        ("calib_velo_to_cam.txt", "R: 1 0 0 0 1 0 0 0 1\n", r"2011_09_26: calib_velo_to_cam\.txt: no key 'T'"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_half_written(
    script: ModuleType, source: Path, tmp_path: Path, file: str, text: str, message: str
) -> None:
    (source / DATE / file).write_text(text)
    out = tmp_path / "made" / "out"
    with pytest.raises(ValueError, match=message):
        script.prepare(source, out)
    assert list(out.parent.iterdir()) == []


def test_drives_that_are_not_there(script: ModuleType, source: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"no drive 'x' in .*\['{FIRST}', '{SECOND}'\]"):
        script.prepare(source, tmp_path / "out", val=["x"])
    with pytest.raises(ValueError, match="belongs to one split"):
        script.prepare(source, tmp_path / "out", val=[FIRST], test=[FIRST])
    shutil.rmtree(source / DATE)
    with pytest.raises(FileNotFoundError, match="holds no drive"):
        script.prepare(source, tmp_path / "out")


def test_command_line(
    script: ModuleType, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["prepare.py", "--source", str(source), "--out", str(tmp_path / "out"), "--val", FIRST])
    script.main()
    assert "{'images without a sweep': 1}" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        script.main()
    assert stopped.value.code == 2
    assert "is there already; remove it" in capsys.readouterr().err
