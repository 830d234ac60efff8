"""The converter of KITTI's drive 52: crops, blocks of time, background that touches nothing, and points where the boxes are."""

from __future__ import annotations

import os
import sys
from collections import Counter
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
from xkd.geometry import Box
from xkd.modalities.calibration import Camera, read_calibration
from xkd.modalities.points import Points

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("XKD_SHARED", ROOT.parent / "shared")) / "data/kitti_drive52_lidar_camera"

SIZE, ORIGINAL = (160, 60), (320, 120)  # width and height, stored and original
K = np.array([[200.0, 0.0, 159.5, 0.0], [0.0, 200.0, 59.5, 0.0], [0.0, 0.0, 1.0, 0.0]])
AXES = np.array([[0.0, -1.0, 0.0, 0.0], [0.0, 0.0, -1.0, 0.0], [1.0, 0.0, 0.0, 0.0]])  # a scanner at the camera
SOLID = "1.6 2.0 2.0 {x} 0.8 10.0 0.0"  # height, width, length, floor's centre, turn: 1.6 m about the optical axis, 9 to 11 m ahead


@pytest.fixture(scope="module")
def script(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("kitti_drive52")


def _line(label: str, x: float, box: str, source: str = "gt") -> str:
    return f"{label} 0.00 0 -1.57 {box} {SOLID.format(x=x)} 99 {source}\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Frames 0 to 4, of which 2 is in no list: a wall 30 m ahead and a car 10 m ahead, 1 m left of the middle."""
    folder, rng = tmp_path / "source", np.random.default_rng(0)
    for name in ("image", "lidar", "calib", "label"):
        (folder / name).mkdir(parents=True)
    car = rng.uniform((9.05, 0.05, -0.75), (10.9, 1.95, 0.75), (300, 3))
    wall = np.column_stack([np.full(900, 30.0), rng.uniform(-20, 20, 900), rng.uniform(-8, 8, 900)])
    cloud = np.column_stack([np.concatenate([car, wall]), rng.random(1200)]).astype(np.float32)
    numbers = {"P2_original": K, "R0_rect": np.eye(3), "Tr_velo_to_cam": AXES, "orig_size": np.array(ORIGINAL)}
    # x from -2 to 0 m and y from -0.8 to 0.8 m, 9 m ahead at the nearest, in pixels of the stored image
    box = "57.5 20.6 79.8 38.6"
    for frame in range(5):
        name = f"t_{frame:04d}"
        cv2.imwrite(str(folder / f"image/{name}.jpg"), rng.integers(0, 255, (SIZE[1], SIZE[0], 3), dtype=np.uint8))
        cloud.tofile(folder / f"lidar/{name}.bin")
        text = "".join(f"{key}: {' '.join(map(str, value.ravel()))}\n" for key, value in numbers.items())
        (folder / f"calib/{name}.txt").write_text(text)
        (folder / f"label/{name}.txt").write_text(_line("Car", -1.0, box))
    # a box that is cut to three quarters of its car, one that is too small, one without points
    more = _line("Truck", -1.0, "57.5 20.6 74.0 38.6", "auto") + _line("Van", -1.0, "60 25 70 38") + _line("Van", 6.0, "110 20 140 40")
    (folder / "label/t_0001.txt").write_text(_line("Car", -1.0, box, "interp") + more)
    for split, frames in (("train", (0, 1)), ("val", (3,)), ("test", (4,))):
        (folder / f"{split}.txt").write_text("".join(f"t_{frame:04d}\n" for frame in frames))
    return folder


def test_made_up_frames(script: ModuleType, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    left_out = script.prepare(source, out)
    assert left_out == {
        "frames of no split": 1,
        "vehicles too small or hit by too few points": 2,
        "vehicles whose box misses their points": 1,
    }
    manifest = Manifest.load(out)
    rows = {row.id: row for row in manifest.rows}
    assert list(rows)[:3] == ["t_0000-00", "t_0000-00b", "t_0001-00"]
    assert {row.group: row.split for row in manifest.rows} == {
        "frames-0000-0001": "train",
        "frames-0003-0003": "val",
        "frames-0004-0004": "test",
    }
    first = rows["t_0000-00"]
    assert first.labels == ("car",)
    assert first.meta["source"] == "gt"
    assert rows["t_0001-00"].meta["source"] == "interp"
    # a quarter of a pixel: half a pixel of the original, that is half as large as the stored one
    assert first.boxes == ((Box(57.75, 20.85, 80.05, 38.85), "car"),)
    assert first.crop is not None
    assert first.crop.x2 - first.crop.x1 == pytest.approx(1.15 * 22.3, abs=0.02)
    assert (first.crop.x1 + first.crop.x2) / 2 == pytest.approx(68.9, abs=0.02)
    assert len(rows["t_0001-00"].boxes or ()) == 3


def test_background_is_as_large_inside_touches_no_vehicle_and_depends_on_the_seed(script: ModuleType, source: Path, tmp_path: Path) -> None:
    crops = []
    for number, seed in enumerate((0, 0, 1)):
        script.prepare(source, tmp_path / str(number), seed)
        rows = [row for row in Manifest.load(tmp_path / str(number)).rows if row.labels == ("background",)]
        assert len(rows) == 4
        for row in rows:
            crop = row.crop
            assert crop is not None
            assert min(crop) >= 0
            assert crop.x2 <= SIZE[0]
            assert crop.y2 <= SIZE[1]
            assert crop.x2 - crop.x1 == pytest.approx(1.15 * 22.3, abs=0.02)
            assert crop.x2 <= 57.75 or crop.x1 >= 80.05 or crop.y2 <= 20.85 or crop.y1 >= 38.85
            assert row.boxes == ()
        crops.append([row.crop for row in rows])
    assert crops[0] == crops[1] != crops[2]


def test_background_stays_clear_of_boxes_and_of_what_they_miss(script: ModuleType) -> None:
    left, right = Box(0, 0, 20, 20), Box(20, 0, 40, 20)
    across = np.stack(np.meshgrid(np.arange(40), np.arange(20)), 2).reshape(-1, 2).astype(np.float32) + 0.5
    points = Points(across, np.ones(800, np.float32), np.ones((800, 3), np.float32), (20, 40))
    camera = Camera(K, np.vstack([AXES, [0, 0, 0, 1]]), (), (40, 20))
    for box, hit, free in ((left, left, True), (left, right, False), (right, left, False)):
        frame = script.Frame("t_0000", "train", "t", camera, (script.Vehicle("car", box, "gt", 99, hit, 1.0),))
        place = script.background(Box(0, 0, 10, 10), frame, points, np.random.default_rng(0))
        assert (place is not None) == free
        assert place is None or place.x1 >= 20


def test_a_turned_box_holds_what_lies_along_it(script: ModuleType) -> None:
    """KITTI turns about the axis that points down: a vehicle turned by 30 degrees points to the right and nearer."""
    solid = np.array([1.5, 2.0, 4.0, 3.0, 1.6, 12.0, np.pi / 6])
    along, up = np.array([np.cos(np.pi / 6), 0.0, -np.sin(np.pi / 6)]), np.array([0.0, -0.75, 0.0])
    middle = solid[3:6] + up
    points = np.array(
        [middle, middle + 1.9 * along, middle + 1.9 * along * (1, 1, -1), middle + 2.1 * along, middle + up * 1.1, middle - up * 1.1]
    )
    assert script.in_solid(points, solid).tolist() == [True, True, False, False, False, False]


def test_a_square_of_the_sky_is_no_background(script: ModuleType, source: Path, tmp_path: Path) -> None:
    """Without the wall the scanner hits nothing but the car, and no place for background is left."""
    for path in (source / "lidar").iterdir():
        cloud = np.fromfile(path, np.float32).reshape(-1, 4)
        cloud[cloud[:, 0] < 20].tofile(path)
    left_out = script.prepare(source, tmp_path / "out")
    assert left_out["squares of background that found no place"] == 4


def test_the_reduced_image_has_its_own_camera(script: ModuleType, source: Path, tmp_path: Path) -> None:
    script.prepare(source, tmp_path / "out")
    camera = read_calibration(tmp_path / "out/calibration/t_0000.json", "P2")
    assert camera.size == SIZE
    before, _ = read_calibration(source / "calib/t_0000.txt", "P2_original").project(np.array([[10.0, 1.0, 0.5]]))
    after, _ = camera.project(np.array([[10.0, 1.0, 0.5]]))
    assert np.allclose(after, before / 2)
    views = [View("rgb", sensor(str(tmp_path / "out"), "rgb"), (48, 48)), View("lidar", sensor(str(tmp_path / "out"), "lidar"), (48, 48))]
    scan = PairedDataset(str(tmp_path / "out"), "train", views, Augment(), masks=Masks("boxes"))[0].views["lidar"]
    hit = scan[0, 12:36, 12:36][scan[3, 12:36, 12:36] == 1]
    assert hit.min() > 9
    assert hit.median() < 11.2  # the car, not the wall behind it


def test_command_line(
    script: ModuleType, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["prepare.py", "--source", str(source), "--out", str(tmp_path / "out")])
    script.main()
    assert "'frames of no split': 1" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        script.main()
    assert stopped.value.code == 2
    assert "is there already; remove it" in capsys.readouterr().err


def test_what_is_wrong_is_named_and_nothing_is_half_written(script: ModuleType, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "made" / "out"
    label = source / "label/t_0003.txt"
    text = label.read_text()
    for wrong in (text.replace("Car", "Tram"), text.replace(" gt", ""), text.replace("57.5", "left")):
        label.write_text(wrong)
        with pytest.raises(ValueError, match=r"t_0003\.txt, line 1"):
            script.prepare(source, out)
    label.write_text(text)
    (source / "calib/t_0003.txt").write_text("P2: 1 2 3\n")
    with pytest.raises(ValueError, match=r"t_0003\.txt: no key 'P2_original'"):
        script.prepare(source, out)
    (source / "lidar/t_0000.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"t_0000\.bin"):
        script.prepare(source, out)
    assert not out.parent.exists() or list(out.parent.iterdir()) == []
    (source / "val.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks \['val.txt'\]"):
        script.prepare(source, out)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the KITTI recordings are not on this machine (XKD_SHARED)")
def test_real_points_lie_in_the_boxes(script: ModuleType, tmp_path: Path) -> None:
    """Of the points in a person's 3D boxes nearly all fall into their 2D boxes; turned by a degree or two they would not."""
    out = tmp_path / "out"
    left_out = script.prepare(SHARED, out)
    assert left_out["frames of no split"] == 8
    assert left_out["vehicles whose box misses their points"] == 15
    rows = Manifest.load(out).rows
    assert Counter((row.split, *(row.labels or ())) for row in rows if row.labels != ("background",)) == {
        ("train", "car"): 161,
        ("train", "van"): 138,
        ("train", "truck"): 31,
        ("val", "car"): 16,
        ("val", "van"): 24,
        ("val", "truck"): 8,
        ("test", "car"): 32,
        ("test", "van"): 48,
        ("test", "truck"): 16,
    }
    for name in ("d52_0007", "d52_0031"):
        camera = script.read_camera(SHARED / f"calib/{name}.txt")
        vehicles = script.read_vehicles(SHARED / f"label/{name}.txt", camera, np.full(2, 0.26))
        assert {vehicle.source for vehicle in vehicles} == {"gt"}
        shares = [vehicle.share for vehicle in vehicles if vehicle.num_points]
        assert len(shares) >= 7
        assert min(shares) > 0.99


def test_whole_frames_are_rows_without_a_label(script: ModuleType, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "frames"
    assert script.prepare(source, out, task="frames") == {"frames of no split": 1}
    manifest = Manifest.load(out)
    assert (manifest.name, manifest.classes) == ("kitti_drive52, frames", ("car", "van", "truck"))
    assert [(row.id, row.split, row.labels, row.crop) for row in manifest.rows] == [
        (f"t_000{number}", split, None, None) for number, split in ((0, "train"), (1, "train"), (3, "val"), (4, "test"))
    ]
    assert manifest.rows[0].boxes == ((Box(57.75, 20.85, 80.05, 38.85), "car"),)
    metres = {"outputs": ("range",), "range": (2.0, 80.0), "densify": 0, "mean": (), "std": ()}
    views = [View("rgb", sensor(str(out), "rgb"), (30, 80)), View("depth", sensor(str(out), "lidar", metres), (30, 80))]
    target = PairedDataset(str(out), "train", views, Augment(), target="view:depth")[0].target
    known = target[~target.isnan()]
    assert 50 < len(known) < 0.6 * target.numel(), "a scan is sparse"
    assert ((known > 8.5) & (known < 40)).all(), "the car and the wall"
