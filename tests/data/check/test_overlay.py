"""Pictures of a pair: both sensors, one on the other, and a scan on its image."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from shape_pairs import check

from xkd.data.check import draw_overlays
from xkd.data.check.overlay import checkerboard, edges_on
from xkd.data.manifest import Manifest
from xkd.modalities.calibration import Camera, write_calibration


def test_overlays_show_both_sensors_and_one_on_the_other(sound: Path) -> None:
    result = check(sound, sample=3)
    (overlay,) = draw_overlays(Manifest.load(sound), result.rows[:1], ["a note"])
    titles = [title for title, _ in overlay.pictures]
    assert titles == ["rgb", "thermal", "checkerboard of rgb and thermal", "edges of thermal on rgb", "mask"]
    assert len({picture.shape for _, picture in overlay.pictures}) == 1


def test_a_checkerboard_takes_squares_in_turn_and_edges_lie_where_they_are() -> None:
    black, white = np.zeros((40, 80, 3), np.uint8), np.full((40, 80, 3), 255, np.uint8)
    board = checkerboard(black, white)
    assert board[5, 5, 0] == 0
    assert board[5, 15, 0] == 255
    assert board[15, 5, 0] == 255
    image = np.zeros((40, 80), np.float32)
    image[:, 40:] = 1
    rows, columns = np.nonzero((edges_on(black, image) == (0, 255, 255)).all(2))
    assert len(rows) > 30
    assert np.abs(columns - 39.5).max() <= 1.5


def test_the_scan_of_a_laser_is_measured_and_drawn_on_the_image(tmp_path: Path) -> None:
    """Blocks before a wall; the camera sees each in its own shade, the scanner at its own range."""
    height, width, focal = 90, 160, 120.0
    intrinsic = np.array([[focal, 0, width / 2 - 0.5, 0], [0, focal, height / 2 - 0.5, 0], [0, 0, 1.0, 0]])
    axes = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    write_calibration(tmp_path / "c.json", Camera(intrinsic, axes, (), (width, height)))
    lines = ["id,split,group,rgb,lidar,calibration,label"]
    for number, split in enumerate(("train", "train", "val", "test")):
        rng = np.random.default_rng(number)
        depth, shade = np.full((height, width), 40.0, np.float32), np.full((height, width), 90, np.uint8)
        for _ in range(12):
            x, y, wide, high = (int(rng.integers(low, up)) for low, up in ((0, 140), (0, 70), (10, 30), (10, 30)))
            depth[y : y + high, x : x + wide] = rng.uniform(5, 30)
            shade[y : y + high, x : x + wide] = rng.integers(0, 255)
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.repeat(shade[..., None], 3, 2))
        rows, columns = (part.ravel() for part in np.mgrid[0:height:2, 0:width])
        z = depth[rows, columns]
        scan = np.stack([z, -(columns - width / 2 + 0.5) / focal * z, -(rows - height / 2 + 0.5) / focal * z, 0 * z], 1)
        scan.astype(np.float32).tofile(tmp_path / f"{number}.bin")
        lines.append(f"{number},{split},{number},{number}.png,{number}.bin,c.json,a")
    (tmp_path / "manifest.csv").write_text("\n".join(lines) + "\n", "utf-8")
    (tmp_path / "manifest.toml").write_text(
        'name = "scans"\nclasses = ["a"]\n[modalities.rgb]\nsensor = "rgb"\n'
        '[modalities.lidar]\nsensor = "lidar"\noutputs = ["range", "valid"]\nrange = [0.0, 80.0]\n',
        "utf-8",
    )
    result = check(tmp_path)
    (residual,) = result.residuals
    assert residual.paired.measurable == 4
    assert residual.paired.median < 1.5
    (overlay,) = draw_overlays(Manifest.load(tmp_path), result.rows[:1], [""])
    pictures = dict(overlay.pictures)
    assert list(pictures) == ["rgb", "lidar", "lidar on rgb", "edges of lidar on rgb"]
    coloured = np.ptp(pictures["lidar on rgb"].astype(int), axis=2) > 30
    assert 0.2 < coloured.mean() < 1.0
