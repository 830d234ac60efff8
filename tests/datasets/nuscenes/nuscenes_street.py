"""A made-up street in nuScenes' layout: what stands before a car that turns while the scanner does, and where OpenCV sees it."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

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


def corners(number: int) -> NDArray[np.float64]:
    """(8, 3) in the world: the length along the object's heading."""
    _, place, turn, (width, length, height), _, _ = OBJECTS[number]
    centre = EGO(np.array(place))
    return Pose(UP, EGO.degrees + turn, tuple(centre))(np.array(list(product((-0.5, 0.5), repeat=3))) * (length, width, height))


def planted() -> NDArray[np.float64]:
    """Points in the world, of the car: just inside its corners, and all over it."""
    box = corners(0)
    weights = np.random.default_rng(1).dirichlet(np.ones(8), NUM_PLANTED - 8)
    return np.concatenate([box.mean(0) + 0.999 * (box - box.mean(0)), weights @ box])


def seen(world: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 2) pixels, where pixel (0, 0) covers 0..1, by OpenCV."""
    placed, _ = cv2.projectPoints(CAMERA.back(EGO.back(world)), np.zeros(3), np.zeros(3), K, np.zeros(5))
    pixels: NDArray[np.float64] = placed[:, 0] + 0.5
    return pixels


def all_tables() -> dict[str, list[dict[str, Any]]]:
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


def rewrite(source: Path, table: str, change: Callable[[list[dict[str, Any]]], object]) -> None:
    path = source / f"v1.0-mini/{table}.json"
    records = json.loads(path.read_text())
    change(records)
    path.write_text(json.dumps(records))
