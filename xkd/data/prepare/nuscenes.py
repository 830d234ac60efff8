"""nuScenes' layout: JSON tables that refer to each other, and the key frames of a camera with their sweeps and annotations."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from xkd.data.prepare.records import File
from xkd.data.text import read_text
from xkd.geometry import Box
from xkd.modalities.calibration import Camera, from_nuscenes

Record = dict[str, Any]
Tables = Mapping[str, Mapping[str, Record]]  # name -> token -> record

_KEYS: Final[Mapping[str, str]] = {  # table -> what is read of its records, beside the token
    "scene": "name log_token",
    "log": "logfile",
    "sample": "scene_token timestamp",
    "sensor": "channel modality",
    "calibrated_sensor": "sensor_token translation rotation camera_intrinsic",
    "sample_data": "sample_token ego_pose_token calibrated_sensor_token filename timestamp is_key_frame width height",
    "ego_pose": "translation rotation",
    "category": "name",
    "instance": "category_token",
    "visibility": "level",
    "sample_annotation": "sample_token instance_token visibility_token translation size rotation num_lidar_pts",
}
_SCANNER: Final = "LIDAR_TOP"
_NEAREST: Final = 0.1  # metres before the camera, where a box is cut
_STILL: Final = {"rotation": (1.0, 0.0, 0.0, 0.0), "translation": (0.0, 0.0, 0.0)}


@dataclass(frozen=True)
class KeyFrame:
    """A key frame of one camera with the sweep of its moment.

    `ego` and `sensor` are the records of the car's pose when the image was taken and of the camera on the car, `annotations` those
    of the sample; `times` are seconds since the scene's first sample.
    """

    name: str
    scene: str
    log: str
    channel: str
    files: Mapping[str, tuple[File, ...]]
    times: Mapping[str, float]
    camera: Camera
    ego: Record
    sensor: Record
    annotations: Sequence[Record]


def read_tables(folder: Path) -> Tables:
    """All tables, of sample_data and ego_pose what key frames need; `FileNotFoundError` or `ValueError` names the table."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; nuScenes' tables lie in folders like v1.0-mini and v1.0-trainval")
    if missing := [f"{name}.json" for name in _KEYS if not (folder / f"{name}.json").is_file()]:
        raise FileNotFoundError(f"{folder}: lacks {missing}; nuScenes has the tables {[f'{name}.json' for name in _KEYS]}")
    tables = {name: _read_table(folder, name) for name in _KEYS if name not in ("sample_data", "ego_pose")}
    tables["sample_data"] = _read_table(folder, "sample_data", lambda record: record["is_key_frame"] is True)
    posed = {record["ego_pose_token"] for record in tables["sample_data"].values()}
    tables["ego_pose"] = _read_table(folder, "ego_pose", lambda record: record["token"] in posed)
    return tables


def follow(tables: Tables, name: str, record: Record, table: str) -> Record:
    """The record of `table` that a record of the table `name` refers to; `ValueError` names the tables and the token."""
    token = record[f"{table}_token"]
    if token not in tables[table]:
        raise ValueError(f"{name}.json, '{record['token']}': {table}_token '{token}' is not in {table}.json")
    return tables[table][token]


def find_frames(tables: Tables, source: Path, cameras: Sequence[str], farthest: float, left_out: Counter[str]) -> list[KeyFrame]:
    """The key frames of the cameras, in the order of time; those without a sweep within `farthest` seconds are left out."""
    known = sorted(sensor["channel"] for sensor in tables["sensor"].values() if sensor["modality"] == "camera")
    if unknown := [name for name in cameras if name not in known]:
        raise ValueError(f"no camera '{unknown[0]}'; sensor.json has {known}")
    taken: dict[tuple[str, str], Record] = {}  # sample and channel -> what was taken
    for record in tables["sample_data"].values():
        sensor = follow(tables, "calibrated_sensor", follow(tables, "sample_data", record, "calibrated_sensor"), "sensor")
        taken[follow(tables, "sample_data", record, "sample")["token"], sensor["channel"]] = record
    annotations: dict[str, list[Record]] = {token: [] for token in tables["sample"]}
    for record in tables["sample_annotation"].values():
        annotations[follow(tables, "sample_annotation", record, "sample")["token"]].append(record)
    starts: dict[str, int] = {}  # of scenes
    frames = []
    for sample, channel in product(sorted(tables["sample"].values(), key=lambda sample: sample["timestamp"]), cameras):
        image, sweep = (taken.get((sample["token"], name)) for name in (channel, _SCANNER))
        start = starts.setdefault(sample["scene_token"], sample["timestamp"])
        if image is None or sweep is None or abs(image["timestamp"] - sweep["timestamp"]) >= farthest * 1e6:
            left_out["frames without an image or a sweep of their moment"] += 1
            continue
        scene = follow(tables, "sample", sample, "scene")
        paths = {"rgb": source / image["filename"], "lidar": source / sweep["filename"]}
        frames.append(
            KeyFrame(
                name=paths["rgb"].stem,
                scene=scene["name"],
                log=follow(tables, "scene", scene, "log")["logfile"],
                channel=channel,
                files={name: (File(path, f"{path.parent.name}/{path.name}"),) for name, path in paths.items()},
                times={name: (record["timestamp"] - start) / 1e6 for name, record in (("rgb", image), ("lidar", sweep))},
                camera=_camera(tables, paths["rgb"], image, sweep),
                ego=follow(tables, "sample_data", image, "ego_pose"),
                sensor=follow(tables, "sample_data", image, "calibrated_sensor"),
                annotations=annotations[sample["token"]],
            )
        )
    return frames


def outline(annotation: Record, ego: Record, sensor: Record, size: tuple[int, int]) -> Box | None:
    """The rectangle about what of an annotation's 3D box lies before a camera, in pixels; None where nothing does.

    The box is w, l, h along its own y, x and z. `ego` is the car's pose when the image was taken, `sensor` the camera's on the car.
    """
    try:
        width, length, height = annotation["size"]
        # the box in place of a scanner, in a car that stands at the world's origin: from the box's own axes to the camera's
        camera = from_nuscenes(annotation, _STILL, ego, sensor, size)
    except ValueError as error:
        raise ValueError(f"sample_annotation.json, '{annotation['token']}': {error}") from error
    corners = np.array(list(product((-0.5, 0.5), repeat=3))) * (length, width, height)
    placed = corners @ camera.lidar_to_camera[:3, :3].T + camera.lidar_to_camera[:3, 3]
    one, other = (placed[list(ends)] for ends in zip(*combinations(range(len(corners)), 2), strict=True))
    cut = (one[:, 2] < _NEAREST) != (other[:, 2] < _NEAREST)
    one, other = one[cut], other[cut]
    share = (_NEAREST - one[:, 2:]) / (other[:, 2:] - one[:, 2:])
    before = np.concatenate([placed[placed[:, 2] >= _NEAREST], one + share * (other - one)])
    if not len(before):
        return None
    image = before @ camera.projection[:, :3].T
    pixels = image[:, :2] / image[:, 2:] + 0.5
    return Box(*map(float, (*pixels.min(0), *pixels.max(0))))


def _read_table(folder: Path, name: str, keep: Callable[[Record], bool] = bool) -> dict[str, Record]:
    path, keys = folder / f"{name}.json", ("token", *_KEYS[name].split())

    def trimmed(record: Record) -> Record | None:
        # while it is parsed: sample_data and ego_pose of the whole set would fill the memory
        if missing := [key for key in keys if key not in record]:
            raise ValueError(f"{path}: a record lacks '{missing[0]}'; it has {sorted(record)}")
        return {key: record[key] for key in keys} if keep(record) else None

    try:
        records = json.loads(read_text(path), object_hook=trimmed)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: {error}") from error
    if not isinstance(records, list):
        raise ValueError(f"{path}: is no list of records")
    return {record["token"]: record for record in records if record is not None}


def _camera(tables: Tables, path: Path, image: Record, sweep: Record) -> Camera:
    with Image.open(path) as picture:
        size = picture.size
    if size != (image["width"], image["height"]):
        raise ValueError(f"{path}: is {size[0]}x{size[1]}, sample_data.json says {image['width']}x{image['height']}")
    order = ((sweep, "calibrated_sensor"), (sweep, "ego_pose"), (image, "ego_pose"), (image, "calibrated_sensor"))
    lidar, lidar_ego, camera_ego, camera = (follow(tables, "sample_data", record, table) for record, table in order)
    try:
        return from_nuscenes(lidar, lidar_ego, camera_ego, camera, size)
    except ValueError as error:
        raise ValueError(f"{path}: its records of calibrated_sensor.json and ego_pose.json make no camera: {error}") from error
