"""Calibration: how a scanner's points reach a camera's pixels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from xkd.packed import content

Numbers = Mapping[str, NDArray[np.float64]]  # of a calibration file, by key

_KITTI: Final = ("R0_rect", "Tr_velo_to_cam")
_JSON: Final = ("projection", "lidar_to_camera", "distortion", "size")
_WIDEST_TANGENT: Final = 5.0  # 79 degrees off the axis: a pinhole model with polynomial distortion serves no lens beyond
_LEAST_RIGID: Final = 0.01  # KITTI's matrices have rounding errors of 1e-5
_SINGULAR: Final = 1e-9  # determinant of a rotation, or of intrinsics over their scale, below which nothing can be projected


@dataclass(frozen=True)
class Camera:
    """A pinhole camera, and where the scanner stands to it.

    `projection` (3, 4) takes points of the rectified camera (x right, y down, z forward, metres) to pixels whose centres lie
    on whole numbers, as KITTI, nuScenes and OpenCV have it; `lidar_to_camera` (4, 4) brings the scanner's points there;
    `distortion` are OpenCV's k1 k2 p1 p2 k3 ..., empty for a rectified image; `size` is (width, height) of the image,
    (0, 0) where it is not stated.
    """

    projection: NDArray[np.float64]
    lidar_to_camera: NDArray[np.float64]
    distortion: tuple[float, ...] = ()
    size: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        if self.projection.shape != (3, 4) or self.lidar_to_camera.shape != (4, 4):
            raise ValueError(f"projection is 3x4 and lidar_to_camera 4x4; got {self.projection.shape} and {self.lidar_to_camera.shape}")
        if not (np.isfinite(self.projection).all() and np.isfinite(self.lidar_to_camera).all() and np.isfinite(self.distortion).all()):
            raise ValueError("projection, lidar_to_camera and distortion must be finite numbers")
        turn = self.lidar_to_camera[:3, :3]
        for name, matrix, scale in (
            ("projection", self.projection[:, :3], max(abs(self.projection[0, 0] * self.projection[1, 1]), 1.0)),
            ("lidar_to_camera", self.lidar_to_camera[:3, :3], 1.0),
        ):
            if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < _SINGULAR * scale:
                raise ValueError(f"{name} is singular or not finite, nothing can be projected with it: {matrix.tolist()}")
        if np.abs(turn @ turn.T - np.eye(3)).max() > _LEAST_RIGID:
            raise ValueError(f"lidar_to_camera does not keep lengths and angles, so it is no rotation: {turn.tolist()}")

    def drawn(self, pixels: NDArray[np.float64], size: tuple[int, int]) -> Camera:
        """The camera of a crop, flip, rotation or resize of the image; `pixels` is its (3, 3) `pixel_matrix`, `size` (width, height).

        Only for a rectified camera: a lens's distortion is not a matrix.
        """
        if self.distortion:
            raise ValueError("a distorted camera has no matrix after a draw; rectify the image first, or project before the draw")
        half = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
        return Camera(np.linalg.inv(half) @ pixels @ half @ self.projection, self.lidar_to_camera, (), size)

    def project(self, points: NDArray[np.floating[Any]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(N, 3) points of the scanner to (N, 2) pixels, where pixel (0, 0) covers 0..1, and (N,) depth in metres.

        Points that are not before the camera have a depth of 0 or less, and their pixels mean nothing.
        """
        if self.distortion:
            return self._project_distorted(points)
        whole = self.projection @ self.lidar_to_camera
        image = points @ whole[:, :3].T + whole[:, 3]
        depth = image[:, 2]
        return image[:, :2] / np.where(depth > 0, depth, 1.0)[:, None] + 0.5, depth

    def _project_distorted(self, points: NDArray[np.floating[Any]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        intrinsic = self.projection[:, :3]
        offset = np.linalg.solve(intrinsic, self.projection[:, 3])
        camera = points @ self.lidar_to_camera[:3, :3].T + self.lidar_to_camera[:3, 3] + offset
        front = camera[:, 2] > 0
        # past some angle the lens's polynomial turns back, and points far outside would land in the image
        front[front] = np.linalg.norm(camera[front, :2] / camera[front, 2:], axis=1) < _widest(self.distortion)
        depth = np.where(front, camera[:, 2], 0.0)
        pixels = np.zeros((len(points), 2))
        if front.any():
            placed, _ = cv2.projectPoints(camera[front], np.zeros(3), np.zeros(3), intrinsic / intrinsic[2, 2], np.array(self.distortion))
            pixels[front] = placed[:, 0] + 0.5
        return pixels, depth


def read_calibration(path: Path, camera: str) -> Camera:
    """A KITTI object `.txt` (`P0`..`P3`, `R0_rect`, `Tr_velo_to_cam`; `camera` names one of the `P`), or a `.json`.

    The `.json` has the keys `projection`, `lidar_to_camera` and, if there are any, `distortion` and `size`.

    Raises `FileNotFoundError`, or `ValueError` that names the file, the key and the legal ones.
    """
    data = content(path)
    try:
        text = data.decode("utf-8")
        return _from_json(text) if path.suffix.lower() == ".json" else _from_kitti(text, camera)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text in UTF-8: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: {error.args[0] if error.args else error}") from error


def write_calibration(path: Path, camera: Camera) -> None:
    """The `.json` that `read_calibration` reads."""
    table = {"projection": camera.projection.tolist(), "lidar_to_camera": camera.lidar_to_camera.tolist()}
    table |= {"distortion": list(camera.distortion), "size": list(camera.size)}
    path.write_text(json.dumps(table, indent=1) + "\n", "utf-8")


def from_nuscenes(
    lidar: Mapping[str, Any], lidar_ego: Mapping[str, Any], camera_ego: Mapping[str, Any], camera: Mapping[str, Any], size: tuple[int, int]
) -> Camera:
    """The camera of a nuScenes sample: LiDAR -> ego at the sweep's time -> world -> ego at the image's time -> camera.

    The four mappings are records with `rotation` (w, x, y, z) and `translation`: the LiDAR's `calibrated_sensor`, its `ego_pose`, the
    camera's `ego_pose`, its `calibrated_sensor` with `camera_intrinsic`. `size` is (width, height).
    """
    chain = np.linalg.inv(_pose(camera)) @ np.linalg.inv(_pose(camera_ego)) @ _pose(lidar_ego) @ _pose(lidar)
    return Camera(np.hstack([np.array(camera["camera_intrinsic"], np.float64), np.zeros((3, 1))]), chain, (), size)


def from_kitti_raw(camera_to_camera: Numbers, lidar_to_camera: Numbers, number: int) -> Camera:
    """The rectified camera `number` of a KITTI raw drive, from the numbers in `calib_cam_to_cam.txt` and `calib_velo_to_cam.txt`."""
    for name, table, keys in (
        ("calib_cam_to_cam.txt", camera_to_camera, (f"P_rect_{number:02d}", "R_rect_00", f"S_rect_{number:02d}")),
        ("calib_velo_to_cam.txt", lidar_to_camera, ("R", "T")),
    ):
        if missing := [key for key in keys if key not in table]:
            raise ValueError(f"{name}: no key '{missing[0]}'; it has {sorted(table)}")
    move, rectify = np.eye(4), np.eye(4)
    move[:3, :3], move[:3, 3] = lidar_to_camera["R"].reshape(3, 3), lidar_to_camera["T"]
    rectify[:3, :3] = camera_to_camera["R_rect_00"].reshape(3, 3)
    width, height = (int(side) for side in camera_to_camera[f"S_rect_{number:02d}"])
    return Camera(camera_to_camera[f"P_rect_{number:02d}"].reshape(3, 4), rectify @ move, (), (width, height))


def read_kitti_numbers(text: str) -> dict[str, NDArray[np.float64]]:
    """The lines `key: numbers` of a KITTI calibration file; lines that hold other things (a date) are left out."""
    table: dict[str, NDArray[np.float64]] = {}
    for line in text.splitlines():
        key, colon, numbers = line.partition(":")
        if not colon:
            continue
        try:
            table[key.strip()] = np.array([float(word) for word in numbers.split()], np.float64)
        except ValueError:
            continue
    return table


def _widest(distortion: tuple[float, ...]) -> float:
    """Tangent of the angle up to which the radial distortion still grows."""
    radial = np.array(distortion)
    radial[2:4] = 0.0
    rays = np.linspace(0.0, _WIDEST_TANGENT, 1000)
    placed, _ = cv2.projectPoints(np.stack([rays, 0 * rays, 0 * rays + 1], 1), np.zeros(3), np.zeros(3), np.eye(3), radial)
    turns = np.flatnonzero(np.diff(placed[:, 0, 0]) <= 0)
    return float(rays[turns[0]]) if len(turns) else np.inf


def _from_kitti(text: str, camera: str) -> Camera:
    table = read_kitti_numbers(text)
    for key in (camera, *_KITTI):
        if key not in table:
            raise ValueError(f"no key '{key}'; it has {sorted(table)}, and a KITTI calibration needs {[camera, *_KITTI]}")
        if table[key].size != (9 if key == "R0_rect" else 12):
            raise ValueError(f"key '{key}' has {table[key].size} numbers, needed are {9 if key == 'R0_rect' else 12}")
    rectify, move = np.eye(4), np.eye(4)
    rectify[:3, :3] = table["R0_rect"].reshape(3, 3)
    move[:3] = table["Tr_velo_to_cam"].reshape(3, 4)
    return Camera(table[camera].reshape(3, 4), rectify @ move)


def _from_json(text: str) -> Camera:
    table = json.loads(text)
    if unknown := [key for key in table if key not in _JSON]:
        raise ValueError(f"unknown key '{unknown[0]}'; legal are {list(_JSON)}")
    for key in _JSON[:2]:
        if key not in table:
            raise ValueError(f"no key '{key}'; it has {sorted(table)}, needed are {list(_JSON[:2])}")
    width, height = table.get("size", (0, 0))
    projection, lidar_to_camera = (np.array(table[key], np.float64) for key in _JSON[:2])
    distortion = tuple(float(number) for number in table.get("distortion", ()))
    return Camera(projection, lidar_to_camera, distortion, (int(width), int(height)))


def _pose(record: Mapping[str, Any]) -> NDArray[np.float64]:
    """(4, 4) from a unit quaternion (w, x, y, z) and a translation."""
    w, x, y, z = np.array(record["rotation"], np.float64) / np.linalg.norm(record["rotation"])
    pose = np.eye(4)
    pose[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    pose[:3, 3] = record["translation"]
    return pose
