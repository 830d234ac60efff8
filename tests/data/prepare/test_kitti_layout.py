"""KITTI's layout, made up and on the real frames."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from prepare_calls import Prepare, first_sample, write_image

from xkd.data.manifest import Manifest
from xkd.geometry import Box, square
from xkd.modalities.calibration import read_calibration

ROOT = Path(__file__).parents[3]
SHARED = Path(os.environ.get("XKD_SHARED", ROOT.parent / "shared")) / "data/kitti_drive52_lidar_camera"

CALIBRATION = """P2: 20 0 16 0 0 20 12 0 0 0 1 0
R0_rect: 1 0 0 0 1 0 0 0 1
Tr_velo_to_cam: 0 -1 0 0 0 0 -1 0 1 0 0 0
"""
OBJECT = "{} 0.00 0 -1.57 {} 1.5 1.6 3.8 0.2 1.6 9.3 -1.57\n"


@pytest.fixture(params=[("image_2", "velodyne", "label_2"), ("image", "lidar", "label")], ids=["kitti", "flat"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Six frames of 32x24; frame 4 has no scan, frame 5 no calibration, frame 3 no label file, and frame 2 an area not looked at."""
    images, scans, labels = request.param
    root = tmp_path / "kitti"
    for folder in (scans, labels, "calib"):
        (root / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(6):
        name = f"{number:06d}"
        write_image(root / images / f"{name}.png", number, size=(24 + 2 * number, 32))
        points = np.column_stack([rng.uniform(5, 30, 400), rng.uniform(-3, 3, (400, 2)), rng.random(400)])
        if number != 4:
            points.astype(np.float32).tofile(root / scans / f"{name}.bin")
        if number != 5:
            (root / f"calib/{name}.txt").write_text(CALIBRATION)
        if number != 3:
            lines = OBJECT.format("Car", "4 5 12.5 11") + OBJECT.format("Tram", "1 1 9 9") + OBJECT.format("Van", "20 2 30 8")
            (root / labels / f"{name}.txt").write_text(OBJECT.format("DontCare", "1 1 5 5") if number == 2 else lines)
    return root


def test_frames(source: Path, prepare: Prepare, tmp_path: Path) -> None:
    answer = prepare("kitti", source, "--classes", "Car", "Van", "--out", tmp_path / "out", "--split", "train=1")
    assert answer.code == 0, answer.error
    assert "left out: 4 x box of 'Tram'" in answer.out
    assert "left out: 1 x area that nobody looked at (DontCare)" in answer.out
    assert "left out: 1 x scan without a calibration" in answer.out
    assert "no lidar: 2 of 6 rows" in answer.out
    manifest, sample = first_sample(tmp_path / "out", mask="boxes")
    rows = {row.id: row for row in manifest.rows}
    assert rows["000000"].boxes == ((Box(4.5, 5.5, 13, 11.5), "Car"), (Box(20.5, 2.5, 30.5, 8.5), "Van"))
    assert (rows["000002"].boxes, rows["000003"].boxes) == ((), None)
    assert (rows["000002"].ignored, rows["000000"].ignored) == ((Box(1.5, 1.5, 5.5, 5.5),), ())
    assert rows["000000"].labels is None
    assert sample.present == {"rgb": True, "lidar": True}
    # images of unlike sizes: each calibration states its own
    assert read_calibration(tmp_path / "out" / rows["000001"].calibration, "P2").size == (32, 26)
    # the mean distance of what falls into the image; what did not return does not count
    assert 10 < manifest.modalities["lidar"].mean[0] < 25
    assert manifest.modalities["lidar"].mean[2] == 0.5


def test_crops(source: Path, prepare: Prepare, tmp_path: Path) -> None:
    words = ("kitti", source, "--crops", "--out", tmp_path / "out", "--split", "train=0.5", "test=0.5")
    answer = prepare(*words, "--set", 'lidar.outputs=["range"]', "lidar.range=[0, 40]", "lidar.occlusion=1")
    assert answer.code == 0, answer.error
    assert "left out: 2 x frame without a box to crop" in answer.out
    manifest, sample = first_sample(tmp_path / "out")
    assert manifest.classes == ("Car", "Tram", "Van")
    assert len(manifest.rows) == 12
    row = manifest.rows[0]
    assert (row.id, row.group, row.labels, row.meta["frame"]) == ("000000-00", "000000", ("Car",), "000000")
    assert row.crop == pytest.approx((3.8625, 3.6125, 13.6375, 13.3875), abs=1e-3)
    assert row.boxes is not None
    assert [name for _, name in row.boxes] == ["Car", "Tram"]
    assert sample.views["lidar"].shape[0] == 1
    assert Counter(row.group for row in manifest.rows).most_common(1)[0][1] == 3


def test_a_crop_is_a_square_about_its_box() -> None:
    assert square(Box(10, 20, 30, 24), 1.15) == pytest.approx((8.5, 10.5, 31.5, 33.5))


def test_given_lists(source: Path, prepare: Prepare, tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("000000\n000001\n000002\n")
    (tmp_path / "test.txt").write_text("000003\n")
    words = ("kitti", source, "--split-lists", tmp_path, "--out", tmp_path / "out")
    answer = prepare(*words)
    assert "left out: 2 x row without a split" in answer.out
    assert {row.id: row.split for row in Manifest.load(tmp_path / "out").rows}["000003"] == "test"
    (tmp_path / "val.txt").write_text("000003\n")
    answer = prepare(*words[:-1], tmp_path / "again")
    assert (answer.code, "test.txt: '000003' is in val.txt too" in answer.error) == (2, True)
    answer = prepare(*words[:-3], source, "--out", tmp_path / "again")
    assert (answer.code, "no ['train.txt', 'val.txt', 'test.txt'] with ids" in answer.error) == (2, True)


def test_planted_faults_are_named(source: Path, prepare: Prepare, tmp_path: Path) -> None:
    labels = next(source.glob("label*"))
    (labels / "000000.txt").write_text("Car 0 0 0 1 2 3\n")
    answer = prepare("kitti", source, "--out", tmp_path / "out")
    assert (answer.code, "000000.txt, line 1: 'Car 0 0 0 1 2 3' is no KITTI object" in answer.error) == (2, True)
    (labels / "000000.txt").write_text(OBJECT.format("Car", "12 5 4 11"))
    (source / "calib/000001.txt").write_text("P2: 1 2 3\n")
    answer = prepare("kitti", source, "--out", tmp_path / "out")
    assert (answer.code, "000001.txt: key 'P2' has 3 numbers" in answer.error) == (2, True)
    (source / "calib/000001.txt").write_text(CALIBRATION)
    answer = prepare("kitti", source, "--out", tmp_path / "out", "--crops", "--classes", "Bus")
    assert (answer.code, "no box of ['Bus']; the labels hold ['Car', 'Tram', 'Van']" in answer.error) == (2, True)
    answer = prepare("kitti", source, "--out", tmp_path / "out", "--classes", "DontCare")
    assert (answer.code, "DontCare is no object" in answer.error) == (2, True)
    assert "left out: 1 x box without an area" in prepare("kitti", source, "--out", tmp_path / "out").out
    shutil.rmtree(source / "calib")
    answer = prepare("kitti", source, "--out", tmp_path / "other")
    assert (answer.code, "has no folder 'calib'" in answer.error) == (2, True)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the KITTI recordings are not on this machine (XKD_SHARED)")
def test_real_frames(prepare: Prepare, tmp_path: Path) -> None:
    answer = prepare("kitti", SHARED, "--out", tmp_path / "out", "--link", "symlink")
    assert answer.code == 0, answer.error
    manifest, sample = first_sample(tmp_path / "out", mask="boxes")
    assert len(manifest.rows) == 78
    assert Counter(name for row in manifest.rows for _, name in row.boxes or ()) == {"Van": 234, "Car": 229, "Truck": 78}
    assert sample.present == {"rgb": True, "lidar": True}
    assert 8 < manifest.modalities["lidar"].mean[0] < 15
