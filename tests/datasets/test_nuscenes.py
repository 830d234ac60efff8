"""The converter of nuScenes, on a made-up set in its layout, whose geometry is computed here a second time, by OpenCV."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from xkd.batch import View
from xkd.data.augment import Augment
from xkd.data.manifest import Manifest, sensor
from xkd.data.paired import PairedDataset
from xkd.modality import Shot

SIZE = (320, 180)  # width and height
K = np.array([[220.0, 0.0, 159.5], [0.0, 220.0, 89.5], [0.0, 0.0, 1.0]])
SCENES = {"scene-0061": 2, "scene-0553": 1, "scene-0655": 1, "scene-0757": 1, "scene-0103": 1}  # samples; the last is the authors' val
MADE_AT = 1_532_402_927_647_951  # microseconds
LAG = 35_491  # of the sweep's time stamp behind the image's
UP = np.array([0.0, 0.0, 1.0])
NUM_PLANTED = 208  # points on and in the car, 8 of them just inside its corners


class Pose(NamedTuple):
    """A turn about an axis, in degrees, then a shift: as a record of nuScenes, and as a matrix that knows no quaternion."""

    axis: NDArray[np.float64]
    degrees: float
    place: tuple[float, ...]

    def record(self) -> dict[str, Any]:
        half = np.deg2rad(self.degrees) / 2
        return {"rotation": [float(np.cos(half)), *(np.sin(half) * self.axis).tolist()], "translation": list(self.place)}

    def __call__(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        return points @ cv2.Rodrigues(np.deg2rad(self.degrees) * self.axis)[0].T + self.place

    def back(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        return (points - self.place) @ cv2.Rodrigues(np.deg2rad(self.degrees) * self.axis)[0]


CAMERA = Pose(np.array([-1.0, 1.0, -1.0]) / 3**0.5, 120.0, (1.7, 0.1, 1.5))  # z forward, x right; on the car: x forward, y left
SCANNER = Pose(UP, -90.0, (0.94, 0.0, 1.84))
EGO = Pose(UP, 68.5, (600.0, 1600.0, 0.0))  # when the image was taken
EGO_LATER = Pose(UP, 70.0, (600.12, 1600.33, 0.0))  # at the end of the sweep
WALL = np.column_stack([np.full(2000, 30.0), *np.random.default_rng(0).uniform((-22, -3), (22, 4), (2000, 2)).T])  # on the car, below a sky
# behind the camera, where a division that forgets the sign would put them into the sky
SKY = np.random.default_rng(2).uniform((0, 0), SIZE * np.array([1.0, 0.3]), (500, 2))
BEHIND = CAMERA(np.column_stack([(SKY + 10 * K[:2, 2]) / 220, np.full(500, -10.0)]))

# kind, place on the car, turn against the car, width, length, height, points, visibility
OBJECTS: list[tuple[str, tuple[float, float, float], float, tuple[float, float, float], int, str]] = [
    ("vehicle.car", (14.0, 2.0, 0.9), 35.0, (1.9, 4.6, 1.6), 208, "4"),
    ("human.pedestrian.adult", (10.0, -3.0, 0.9), 10.0, (0.8, 0.9, 1.8), 30, "2"),
    ("vehicle.bus.rigid", (20.0, 15.0, 1.5), 0.0, (2.5, 10.0, 3.0), 90, "4"),  # most of it left of the image
    ("vehicle.truck", (1.7, 3.0, 1.5), 5.0, (2.5, 8.0, 3.0), 90, "4"),  # beside the camera, in part behind it
    ("vehicle.truck", (-12.0, 0.0, 1.5), 0.0, (2.5, 8.0, 3.0), 90, "4"),  # behind
    ("vehicle.car", (25.0, -3.0, 0.9), 0.0, (1.9, 4.6, 1.6), 4, "4"),  # too few points
    ("vehicle.car", (25.0, 1.0, 0.9), 0.0, (1.9, 4.6, 1.6), 40, "1"),  # hidden
    ("vehicle.motorcycle", (22.0, -8.0, 0.9), 0.0, (0.8, 2.0, 1.4), 40, ""),  # nobody said whether it is hidden
    ("human.pedestrian.child", (35.0, 6.0, 0.6), 0.0, (0.6, 0.6, 1.2), 10, "4"),  # too small
    ("movable_object.barrier", (18.0, 5.0, 0.5), 90.0, (0.5, 2.5, 1.0), 20, "4"),
]


def _corners(number: int) -> NDArray[np.float64]:
    """(8, 3) in the world: the length along the object's heading."""
    _, place, turn, (width, length, height), _, _ = OBJECTS[number]
    centre = EGO(np.array(place))
    return Pose(UP, EGO.degrees + turn, tuple(centre))(np.array(list(product((-0.5, 0.5), repeat=3))) * (length, width, height))


def _planted() -> NDArray[np.float64]:
    """Points in the world, of the car: just inside its corners, and all over it."""
    corners = _corners(0)
    weights = np.random.default_rng(1).dirichlet(np.ones(8), NUM_PLANTED - 8)
    return np.concatenate([corners.mean(0) + 0.999 * (corners - corners.mean(0)), weights @ corners])


def _seen(world: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 2) pixels, where pixel (0, 0) covers 0..1, by OpenCV."""
    placed, _ = cv2.projectPoints(CAMERA.back(EGO.back(world)), np.zeros(3), np.zeros(3), K, np.zeros(5))
    pixels: NDArray[np.float64] = placed[:, 0] + 0.5
    return pixels


def _tables() -> dict[str, list[dict[str, Any]]]:
    tables: dict[str, list[dict[str, Any]]] = {name: [] for name in ("scene", "log", "sample", "sample_data", "ego_pose", "instance")}
    channels = {"CAM_FRONT": "camera", "CAM_BACK": "camera", "LIDAR_TOP": "lidar", "RADAR_FRONT": "radar"}
    tables["sensor"] = [{"token": f"s-{name}", "channel": name, "modality": kind} for name, kind in channels.items()]
    tables["calibrated_sensor"] = [
        {"token": f"c-{name}", "sensor_token": f"s-{name}", "camera_intrinsic": K.tolist() if kind == "camera" else []}
        | (CAMERA if kind == "camera" else SCANNER).record()
        for name, kind in channels.items()
    ]
    tables["category"] = [{"token": f"k-{kind}", "name": kind} for kind in dict.fromkeys(thing[0] for thing in OBJECTS)]
    tables["visibility"] = [{"token": str(n), "level": level} for n, level in enumerate(("v0-40", "v40-60", "v60-80", "v80-100"), 1)]
    tables["sample_annotation"] = []
    for index, (scene, samples) in enumerate(SCENES.items()):
        tables["log"].append({"token": f"l-{scene}", "logfile": f"log-{scene[-4:]}"})
        tables["scene"].append({"token": f"t-{scene}", "name": scene, "log_token": f"l-{scene}"})
        for number in range(samples):
            sample, time = f"{scene}-{number}", MADE_AT + index * 100_000_000 + number * 500_000
            tables["sample"].append({"token": sample, "scene_token": f"t-{scene}", "timestamp": time})
            for channel in ("CAM_FRONT", "LIDAR_TOP", "RADAR_FRONT", *["CAM_BACK"] * (sample == "scene-0061-0")):
                shot = f"{sample}-{channel}"
                image = channel.startswith("CAM")
                stamp, ending = (time - LAG, "jpg") if image else (time, "pcd.bin")
                tables["ego_pose"].append({"token": f"e-{shot}"} | (EGO if image else EGO_LATER).record())
                tables["sample_data"].append(
                    {
                        **{"token": f"d-{shot}", "sample_token": sample, "timestamp": stamp, "is_key_frame": True},
                        **{"ego_pose_token": f"e-{shot}", "calibrated_sensor_token": f"c-{channel}"},
                        **{"filename": f"samples/{channel}/n015+0800__{channel}__{stamp}.{ending}"},
                        **{"width": SIZE[0] * image, "height": SIZE[1] * image},
                    }
                )
            between = {"token": f"d-{sample}-between", "is_key_frame": False, "ego_pose_token": "not there"}
            tables["sample_data"].append(tables["sample_data"][-1] | between)
            for place, (kind, at, turn, size, points, visible) in enumerate(OBJECTS):
                box = Pose(UP, EGO.degrees + turn, tuple(EGO(np.array(at)))).record()
                tables["instance"].append({"token": f"i-{sample}-{place}", "category_token": f"k-{kind}"})
                tables["sample_annotation"].append(
                    {"token": f"a-{sample}-{place}", "sample_token": sample, "instance_token": f"i-{sample}-{place}"}
                    | {"visibility_token": visible, "size": list(size), "num_lidar_pts": points}
                    | box
                )
    return tables


@pytest.fixture(scope="module")
def script(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("nuscenes")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Five scenes of one street: what is annotated stands before a car that turns while the scanner does."""
    folder, rng = tmp_path / "source", np.random.default_rng(0)
    (folder / "v1.0-mini").mkdir(parents=True)
    xyz = SCANNER.back(EGO_LATER.back(np.concatenate([_planted(), EGO(WALL), EGO(BEHIND)])))
    sweep = np.column_stack([xyz, rng.uniform(0, 255, len(xyz)), rng.integers(0, 32, len(xyz))]).astype(np.float32)
    for name, records in (tables := _tables()).items():
        (folder / f"v1.0-mini/{name}.json").write_text(json.dumps(records))
    for record in tables["sample_data"]:
        path = folder / record["filename"]
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".jpg":
            cv2.imwrite(str(path), rng.integers(0, 255, (SIZE[1], SIZE[0], 3), dtype=np.uint8))
        else:
            sweep.tofile(path)
    return folder


def _change(source: Path, table: str, change: Callable[[list[dict[str, Any]]], object]) -> None:
    path = source / f"v1.0-mini/{table}.json"
    records = json.loads(path.read_text())
    change(records)
    path.write_text(json.dumps(records))


def test_made_up_scenes(script: ModuleType, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert script.prepare(source, out, val=["scene-0553"]) == {
        "objects of other kinds": 6,
        "objects that are hidden or hit by too few points": 18,
        "objects too small or cut off by the image's edge": 18,
    }
    manifest = Manifest.load(out)
    assert {row.group: row.split for row in manifest.rows} == {
        "scene-0061": "train",
        "scene-0553": "val",
        "scene-0655": "train",
        "scene-0757": "train",
        "scene-0103": "test",
    }
    assert Counter(row.labels for row in manifest.rows) == {("car",): 6, ("pedestrian",): 6, ("background",): 12}
    first, third = manifest.rows[0], manifest.rows[4]
    assert first.id == f"n015+0800__CAM_FRONT__{MADE_AT - LAG}-00"
    assert {key: first.meta[key] for key in ("group", "camera", "log")} == {"group": "scene-0061", "camera": "CAM_FRONT", "log": "log-0061"}
    assert first.values == {"rgb": {"time": -0.035491}, "lidar": {"time": 0.0}}
    assert third.values == {"rgb": {"time": 0.464509}, "lidar": {"time": 0.5}}
    assert manifest.pairs.max_time_offset == 0.06
    assert len(list((out / "lidar").rglob("*.bin"))) == 6
    views = [View(name, sensor(str(out), name), (32, 32)) for name in ("rgb", "lidar")]
    sample = PairedDataset(str(out), "train", views, Augment(), mask="boxes")[0, 1]
    assert sample.present == {"rgb": True, "lidar": True}


def test_boxes_and_points_are_where_opencv_puts_them(script: ModuleType, source: Path, tmp_path: Path) -> None:
    """Width and length, the order of the quaternion, both poses of the car and the half pixel: each of them moves these by pixels."""
    out = tmp_path / "out"
    script.prepare(source, out, val=["scene-0553"])
    manifest = Manifest.load(out)
    for row, number in ((manifest.rows[0], 0), (manifest.rows[2], 1)):
        outline = _seen(_corners(number))
        boxes = [np.array(box) for box, label in row.boxes or () if label == OBJECTS[number][0].split(".")[1]]
        assert len(boxes) == 1
        np.testing.assert_allclose(boxes[0], [*outline.min(0), *outline.max(0)], atol=1e-3)
        assert row.crop is not None
        assert row.crop.x2 - row.crop.x1 == pytest.approx(1.15 * np.ptp(outline, 0).max(), abs=0.01)
        assert [(row.crop.x1 + row.crop.x2) / 2, (row.crop.y1 + row.crop.y2) / 2] == pytest.approx(
            (outline.min(0) + outline.max(0)) / 2, abs=1e-2
        )
    first = manifest.rows[0]
    planted = _seen(_planted())
    assert first.crop is not None
    assert ((planted > first.crop[:2]) & (planted < first.crop[2:])).all()
    read = manifest.modalities["lidar"].read(Shot((out / first.files["lidar"][0],), out / first.calibration))
    np.testing.assert_allclose(read.pixels[:NUM_PLANTED], planted, atol=0.01)
    assert read.values[:, 2].max() <= 1.0


def test_a_box_that_reaches_behind_the_camera_is_cut_and_not_mirrored(script: ModuleType) -> None:
    annotation = {"token": "a", "size": [2.0, 8.0, 2.0]} | Pose(UP, EGO.degrees, tuple(EGO(np.array([1.7, 1.6, 1.5])))).record()
    camera = CAMERA.record() | {"camera_intrinsic": K.tolist()}
    box = script.outline(annotation, EGO.record(), camera, SIZE)
    # of its four metres before the camera the right side is half a metre to the left; 4 m ahead, 220 * 0.5 / 4 pixels
    assert box.x2 == pytest.approx(160 - 220 * 0.5 / 4, abs=1e-6)
    assert box.x1 == pytest.approx(160 - 220 * 2.5 / 0.1, abs=1e-6)
    assert (box.y1, box.y2) == pytest.approx((90 - 2200, 90 + 2200), abs=1e-6)
    behind = annotation | {"translation": list(map(float, EGO(np.array([-8.0, 0.0, 1.0]))))}
    assert script.outline(behind, EGO.record(), camera, SIZE) is None


def test_background_is_as_large_touches_nothing_annotated_and_depends_on_the_seed(script: ModuleType, source: Path, tmp_path: Path) -> None:
    annotated = [_seen(_corners(number)) for number in (0, 1, 2, 5, 6, 7, 8, 9)]  # the others reach behind the camera
    points = _seen(np.concatenate([_planted(), EGO(WALL)]))
    places = []
    for name, seed in enumerate((0, 0, 1)):
        script.prepare(source, tmp_path / str(name), val=["scene-0553"], seed=seed)
        rows = {row.id: row for row in Manifest.load(tmp_path / str(name)).rows}
        drawn = {name: row.crop for name, row in rows.items() if row.labels == ("background",)}
        for name, place in drawn.items():
            crop = rows[name[:-1]].crop
            assert place is not None
            assert crop is not None
            assert place.x2 - place.x1 == pytest.approx(crop.x2 - crop.x1, abs=0.01)
            assert min(place) >= 0
            assert (np.array(place[2:]) <= SIZE).all()
            assert ((points >= place[:2]) & (points < place[2:])).all(1).sum() >= 5
            for outline in annotated:
                x1, y1, x2, y2 = *outline.min(0), *outline.max(0)
                assert place.x2 <= x1 + 0.01 or place.x1 >= x2 - 0.01 or place.y2 <= y1 + 0.01 or place.y1 >= y2 - 0.01
        places.append(drawn)
    assert places[0] == places[1] != places[2]


def test_a_sweep_of_another_moment_is_left_out(script: ModuleType, source: Path, tmp_path: Path) -> None:
    def later(records: list[dict[str, Any]]) -> None:
        next(record for record in records if record["token"] == "d-scene-0061-1-CAM_FRONT")["timestamp"] -= 60_000 - LAG

    _change(source, "sample_data", later)
    left_out = script.prepare(source, tmp_path / "out", cameras=["CAM_FRONT", "CAM_BACK"], val=["scene-0553"])
    assert left_out["frames without an image or a sweep of their moment"] == 1 + 5  # CAM_BACK has one image
    rows = Manifest.load(tmp_path / "out").rows
    assert Counter(row.meta["camera"] for row in rows if row.labels == ("car",)) == {"CAM_FRONT": 5, "CAM_BACK": 1}


def test_splits(script: ModuleType, source: Path, tmp_path: Path) -> None:
    assert len(script.authors_val("v1.0-trainval")) == 150
    assert script.authors_val("v1.0-mini") == {"scene-0103", "scene-0916"}
    tables = script.read_tables(source / "v1.0-mini")
    drawn = [script.split_of_scenes(tables, "v1.0-mini", (), (), seed) for seed in (0, 0, 1, 2, 3, 4)]
    assert drawn[0] == drawn[1]
    assert len({tuple(sorted(splits.items())) for splits in drawn}) > 1
    assert {Counter(splits.values())["val"] for splits in drawn} == {1}
    assert {splits["scene-0103"] for splits in drawn} == {"test"}
    named = script.split_of_scenes(tables, "v1.0-mini", ["scene-0103"], ["scene-0061", "scene-0553"], 0)
    assert Counter(named.values()) == {"test": 2, "train": 2, "val": 1}
    with pytest.raises(ValueError, match=r"no scene 'scene-1'; there are \['scene-0061', 'scene-0103'"):
        script.prepare(source, tmp_path / "out", val=["scene-1"])
    with pytest.raises(ValueError, match="a scene belongs to one split"):
        script.prepare(source, tmp_path / "out", val=["scene-0061"], test=["scene-0061"])
    with pytest.raises(ValueError, match=r"no scene for \['val'\]"):
        script.prepare(source, tmp_path / "out", test=["scene-0061", "scene-0553", "scene-0655"])
    (source / "v1.0-mini").rename(source / "v1.0-other")
    with pytest.raises(ValueError, match=r"no scene for \['test'\]"):
        script.prepare(source, tmp_path / "out", version="v1.0-other", val=["scene-0061"])


def test_scenes_of_one_log_are_drawn_together(script: ModuleType, source: Path) -> None:
    def same_log(records: list[dict[str, Any]]) -> None:
        records[1]["log_token"] = records[0]["log_token"]

    _change(source, "scene", same_log)
    tables = script.read_tables(source / "v1.0-mini")
    for seed in range(8):
        splits = script.split_of_scenes(tables, "v1.0-mini", (), (), seed)
        assert splits["scene-0061"] == splits["scene-0553"]


@pytest.mark.parametrize(
    ("table", "key", "value", "message"),
    [
        ("scene", "log_token", "x", r"scene\.json, 't-scene-0061': log_token 'x' is not in log\.json"),
        ("sample", "scene_token", "x", r"sample\.json, 'scene-0061-0': scene_token 'x' is not in scene\.json"),
        (
            "sample_data",
            "ego_pose_token",
            "x",
            r"sample_data\.json, 'd-scene-0061-0-CAM_FRONT': ego_pose_token 'x' is not in ego_pose\.json",
        ),
        ("sample_data", "calibrated_sensor_token", "x", r"calibrated_sensor_token 'x' is not in calibrated_sensor\.json"),
        ("sample_annotation", "instance_token", "x", r"'a-scene-0061-0-0': instance_token 'x' is not in instance\.json"),
        ("sample_annotation", "visibility_token", "9", r"visibility_token '9' is not in visibility\.json"),
        ("sample_annotation", "size", [1.0, 2.0], r"sample_annotation\.json, 'a-scene-0061-0-0': not enough values"),
        ("visibility", "level", "some", r"visibility\.json: level 'some' is not like v40-60"),
        ("sample_data", "width", 1600, r"CAM_FRONT__\d+\.jpg: is 320x180, sample_data\.json says 1600x180"),
        ("calibrated_sensor", "camera_intrinsic", [], r"calibrated_sensor\.json and ego_pose\.json make no camera"),
        ("sample", "timestamp", None, r"sample\.json: a record lacks 'timestamp'; it has \['scene_token', 'token'\]"),
    ],
)
def test_a_wrong_record_is_named_and_nothing_is_half_written(
    script: ModuleType, source: Path, tmp_path: Path, table: str, key: str, value: Any, message: str
) -> None:
    def spoil(records: list[dict[str, Any]]) -> None:
        for record in records if table == "visibility" else records[:1]:
            if value is None:
                del record[key]
            else:
                record[key] = value

    _change(source, table, spoil)
    with pytest.raises(ValueError, match=message):
        script.prepare(source, tmp_path / "made/out", val=["scene-0553"])
    assert not (tmp_path / "made").exists()


def test_what_is_missing_or_broken_is_named(script: ModuleType, source: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no camera 'CAM'; sensor\.json has \['CAM_BACK', 'CAM_FRONT'\]"):
        script.prepare(source, tmp_path / "out", cameras=["CAM"])
    with pytest.raises(FileNotFoundError, match=r"v1\.0-trainval: no such folder; nuScenes' tables lie"):
        script.prepare(source, tmp_path / "out", version="v1.0-trainval")
    sweep = next((source / "samples/LIDAR_TOP").iterdir())
    sweep.write_bytes(sweep.read_bytes()[:-4])
    with pytest.raises(ValueError, match=r"LIDAR_TOP__\d+\.pcd\.bin: \d+ numbers are not rows of 5"):
        script.prepare(source, tmp_path / "out", val=["scene-0553"])
    sweep.unlink()
    with pytest.raises(FileNotFoundError, match=r"LIDAR_TOP__\d+\.pcd\.bin: no such file"):
        script.prepare(source, tmp_path / "out", val=["scene-0553"])
    for image in (source / "samples/CAM_FRONT").iterdir():
        image.unlink()
    with pytest.raises(FileNotFoundError, match=r"CAM_FRONT__\d+\.jpg"):
        script.prepare(source, tmp_path / "out", val=["scene-0553"])
    (source / "v1.0-mini/log.json").write_text("{}")
    with pytest.raises(ValueError, match=r"log\.json: a record lacks 'token'"):
        script.prepare(source, tmp_path / "out")
    (source / "v1.0-mini/log.json").write_text("1")
    with pytest.raises(ValueError, match=r"log\.json: is no list of records"):
        script.prepare(source, tmp_path / "out")
    (source / "v1.0-mini/log.json").write_text("[{")
    with pytest.raises(ValueError, match=r"log\.json: Expecting"):
        script.prepare(source, tmp_path / "out")
    (source / "v1.0-mini/log.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks \['log\.json'\]; nuScenes has the tables"):
        script.prepare(source, tmp_path / "out")


def test_command_line(
    script: ModuleType, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--source", str(source), "--out", str(tmp_path / "out"), "--val", "scene-0553", "--link", "symlink"]
    monkeypatch.setattr(sys, "argv", ["prepare.py", *arguments])
    script.main()
    assert "'objects of other kinds': 6" in capsys.readouterr().out
    assert all(path.is_symlink() for path in (tmp_path / "out/rgb").rglob("*.jpg"))
    with pytest.raises(SystemExit) as stopped:
        script.main()
    assert stopped.value.code == 2
    assert "is there already; remove it" in capsys.readouterr().err
