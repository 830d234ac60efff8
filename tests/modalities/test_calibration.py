"""Projection against OpenCV, the conventions of KITTI and nuScenes, and calibrations that cannot be right."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from xkd.geometry import Box, pixel_matrix, to_output
from xkd.modalities.calibration import Camera, from_kitti_raw, from_nuscenes, read_calibration, read_kitti_numbers, write_calibration

K = np.array([[720.0, 0.0, 610.0], [0.0, 715.0, 172.0], [0.0, 0.0, 1.0]])
AXES = np.array([[0.0, -1.0, 0.0, 0.0], [0.0, 0.0, -1.0, -0.08], [1.0, 0.0, 0.0, -0.27], [0.0, 0.0, 0.0, 1.0]])  # x ahead -> z ahead
KITTI = """P0: 1 0 0 0 0 1 0 0 0 0 1 0
P2: 720 0 610 45 0 715 172 0.2 0 0 1 0.003
R0_rect: 1 0 0 0 1 0 0 0 1
Tr_velo_to_cam: 0 -1 0 0 0 0 -1 -0.08 1 0 0 -0.27
"""


def _points(count: int = 500) -> np.ndarray:
    return np.random.default_rng(0).uniform((2, -8, -2), (60, 8, 2), (count, 3))


def _pinhole(distortion: tuple[float, ...] = ()) -> Camera:
    return Camera(np.hstack([K, np.zeros((3, 1))]), AXES, distortion, (1242, 375))


@pytest.mark.parametrize("distortion", [(), (-0.30, 0.12, 0.001, -0.0005, -0.02)])
def test_projection_is_opencvs_with_pixels_that_begin_at_zero(distortion: tuple[float, ...]) -> None:
    points = _points()
    turn, _ = cv2.Rodrigues(AXES[:3, :3])
    theirs, _ = cv2.projectPoints(points, turn, AXES[:3, 3], K, np.array(distortion) if distortion else None)
    pixels, depth = _pinhole(distortion).project(points)
    kept = depth > 0
    assert kept.mean() > 0.5
    # OpenCV puts a pixel's centre on a whole number, xkd its corner
    assert pixels[kept] == pytest.approx(theirs[kept, 0] + 0.5, abs=1e-6)
    assert depth[kept] == pytest.approx(points[kept, 0] - 0.27)


def test_what_lies_behind_the_camera_or_past_the_lens_is_not_in_the_image() -> None:
    behind = np.array([[-5.0, 0.0, 0.0]])
    assert _pinhole().project(behind)[1][0] < 0
    assert _pinhole((-0.3, 0.1, 0.0, 0.0)).project(behind)[1][0] <= 0
    # strong barrel distortion turns back: this point, 60 degrees off the axis, would land inside the image
    aside = np.array([[1.27, 1.7, 0.0]])
    folded, _ = cv2.projectPoints(aside, cv2.Rodrigues(AXES[:3, :3])[0], AXES[:3, 3], K, np.array([-0.4, 0.0, 0.0, 0.0]))
    assert 0 < folded[0, 0, 0] < 1242
    assert _pinhole((-0.4, 0.0, 0.0, 0.0)).project(aside)[1][0] <= 0


def test_kitti_object_files(tmp_path: Path) -> None:
    (tmp_path / "0.txt").write_text(KITTI)
    camera = read_calibration(tmp_path / "0.txt", "P2")
    pixels, depth = camera.project(np.array([[10.27, 1.0, 0.42]]))
    assert depth[0] == pytest.approx(10.003)
    assert pixels[0] == pytest.approx(((720 * -1 + 610 * 10 + 45) / 10.003 + 0.5, (715 * -0.5 + 172 * 10 + 0.2) / 10.003 + 0.5))


def test_kitti_raw_is_rectified_after_it_is_moved() -> None:
    cameras = (
        "calib_time: 09-Jan-2012 13:57:47\nS_rect_02: 1242 375\n"
        "R_rect_00: 0 1 0 -1 0 0 0 0 1\nP_rect_02: 720 0 610 45 0 715 172 0 0 0 1 0\n"
    )
    lidar = "R: 0 -1 0 0 0 -1 1 0 0\nT: 0 -0.08 -0.27\n"
    camera = from_kitti_raw(read_kitti_numbers(cameras), read_kitti_numbers(lidar), 2)
    rectify = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    assert camera.lidar_to_camera[:3] == pytest.approx(rectify @ AXES[:3])
    assert camera.size == (1242, 375)
    with pytest.raises(ValueError, match=r"calib_velo_to_cam.txt: no key 'T'; it has \['R'\]"):
        from_kitti_raw(read_kitti_numbers(cameras), read_kitti_numbers(lidar.split("T:")[0]), 2)


def test_nuscenes_goes_through_the_world_at_two_times() -> None:
    half = np.sqrt(0.5)
    lidar = {"rotation": [half, 0, 0, half], "translation": [1.0, 0.0, 1.8]}  # a quarter turn about z
    camera = {"rotation": [0.5, -0.5, 0.5, -0.5], "translation": [1.7, 0.0, 1.5], "camera_intrinsic": K.tolist()}  # looks along x
    then = {"rotation": [1, 0, 0, 0], "translation": [100.0, 50.0, 0.0]}
    later = {"rotation": [1, 0, 0, 0], "translation": [100.5, 50.0, 0.0]}  # the car drove half a metre
    calibration = from_nuscenes(lidar, then, later, camera, (1600, 900))
    # 10 m along the scanner's x is 10 m to the car's left: y = 10, x = 1, z = 1.8; the camera is now at x = 2.2, z = 1.5
    seen = calibration.lidar_to_camera @ (10.0, 0.0, 0.0, 1.0)
    assert seen[:3] == pytest.approx((-10.0, -0.3, 1.0 - 2.2))
    assert calibration.size == (1600, 900)


def test_the_camera_of_a_draw_projects_where_the_draw_puts_the_pixel() -> None:
    camera, crop, size = _pinhole(), Box(300, 20, 900, 350), (96, 160)
    turn = np.deg2rad(12)
    matrix = np.eye(3)
    matrix[:2, :2] = 0.7 * np.array([[-np.cos(turn), np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix[:2, 2] = 0.55 - matrix[:2, :2] @ (0.5, 0.5)
    points = _points()
    pixels, depth = camera.project(points)
    expected = to_output(pixels, matrix, crop) * (size[1], size[0])
    drawn, _ = camera.drawn(pixel_matrix(matrix, crop, size), (160, 96)).project(points)
    assert drawn[depth > 0] == pytest.approx(expected[depth > 0], abs=1e-6)
    with pytest.raises(ValueError, match="a distorted camera has no matrix"):
        _pinhole((0.1, 0.0, 0.0, 0.0)).drawn(np.eye(3), (1, 1))


def test_json_keeps_a_camera(tmp_path: Path) -> None:
    camera = _pinhole((-0.3, 0.1, 0.0, 0.0))
    write_calibration(tmp_path / "c.json", camera)
    again = read_calibration(tmp_path / "c.json", "")
    assert np.array_equal(again.projection, camera.projection)
    assert np.array_equal(again.lidar_to_camera, camera.lidar_to_camera)
    assert (again.distortion, again.size) == (camera.distortion, camera.size)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (KITTI.replace("P2", "P9"), r"no key 'P2'; it has \['P0', 'P9', 'R0_rect', 'Tr_velo_to_cam'\]"),
        (KITTI.replace("Tr_velo_to_cam", "Tr"), "no key 'Tr_velo_to_cam'"),
        (KITTI.replace(" 0.003", ""), "key 'P2' has 11 numbers, needed are 12"),
        (KITTI.replace("R0_rect: 1", "R0_rect: 0"), "lidar_to_camera is singular"),
        (KITTI.replace("P2: 720", "P2: 0"), "projection is singular"),
        (KITTI.replace("P2: 720", "P2: nan"), "projection, lidar_to_camera and distortion must be finite numbers"),
    ],
)
def test_a_kitti_file_that_cannot_be_right_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "0.txt").write_text(text)
    with pytest.raises(ValueError, match=rf"0\.txt: {message}"):
        read_calibration(tmp_path / "0.txt", "P2")


def test_a_json_file_that_cannot_be_right_is_named(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    whole = {"projection": _pinhole().projection.tolist(), "lidar_to_camera": AXES.tolist()}
    for table, message in (
        ({**whole, "K": 1}, r"unknown key 'K'; legal are \['projection', 'lidar_to_camera', 'distortion', 'size'\]"),
        ({"projection": whole["projection"]}, "no key 'lidar_to_camera'"),
        ({**whole, "projection": K.tolist()}, r"projection is 3x4 and lidar_to_camera 4x4; got \(3, 3\)"),
        ({**whole, "lidar_to_camera": np.zeros((4, 4)).tolist()}, "lidar_to_camera is singular"),
        ({**whole, "lidar_to_camera": np.diag([2.0, 3.0, 1.0, 1.0]).tolist()}, "lidar_to_camera does not keep lengths and angles"),
        ({**whole, "lidar_to_camera": (np.where(np.eye(4, k=3) > 0, np.nan, AXES)).tolist()}, ".* must be finite numbers"),
    ):
        path.write_text(json.dumps(table))
        with pytest.raises(ValueError, match=rf"c\.json: {message}"):
            read_calibration(path, "")
