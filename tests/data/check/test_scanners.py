"""A scanner is no camera: it is not shrunk, its empty pixels are usual, and a view from above has no place in the camera's frame."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from shape_pairs import check

from xkd.data.check import draw_overlays
from xkd.data.manifest import Manifest
from xkd.data.prepare.toml import to_toml
from xkd.geometry import IDENTITY, Box
from xkd.modalities import LiDAR
from xkd.modality import Shot

SIZE = (700, 900)  # more than images are shrunk to


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Four rows with a picture, a scan in its frame and the same scan from above; the first channel has a value in every pixel."""
    cells = ["id,split,group,rgb,lidar,top,calibration,label"]
    table: dict[str, object] = {}
    for number, split in enumerate(("train", "train", "val", "test")):
        folder = tmp_path / str(number)
        folder.mkdir()
        rng = np.random.default_rng(number)
        table, shot = LiDAR.example(folder, SIZE, rng)
        cv2.imwrite(str(folder / "a.png"), rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8))
        scan, calibration = (path.relative_to(tmp_path).as_posix() for path in (*shot.paths, folder / "calibration.json"))
        cells.append(f"{number},{split},{number},{number}/a.png,{scan},{scan},{calibration},a")
    lidar = {"sensor": "lidar", **table, "outputs": ["valid", "range"]}
    sensors = {"rgb": {"sensor": "rgb"}, "lidar": lidar, "top": {**lidar, "project": "above"}}
    header = {"name": "scans", "classes": ["a"], "pairs": {"same_size": False}, "modalities": sensors}
    (tmp_path / "manifest.toml").write_text(to_toml(header, {}), "utf-8")
    (tmp_path / "manifest.csv").write_text("\n".join(cells) + "\n", "utf-8")
    return tmp_path


def test_its_pixels_are_counted_at_their_size_and_may_be_empty(scans: Path) -> None:
    result = check(scans)
    lidar = Manifest.load(scans).modalities["lidar"]
    assert len(result.exposures["lidar"]) == 4
    for exposure in result.exposures["lidar"]:
        shot = Shot((scans / exposure.row / "points.bin",), scans / exposure.row / "calibration.json")
        placed = lidar.place(lidar.read(shot), IDENTITY, SIZE, Box(0, 0, SIZE[1], SIZE[0]))
        assert exposure.unseen == pytest.approx(1 - placed[..., 0].mean(), abs=1e-9)
        assert exposure.unseen > 0.99
    assert not [finding for finding in result.findings if "see nothing" in finding.text]


def test_from_above_it_is_compared_with_no_camera(scans: Path) -> None:
    result = check(scans)
    assert [(one.first, one.second) for one in result.residuals] == [("rgb", "lidar")]
    (overlay,) = draw_overlays(Manifest.load(scans), result.rows[:1], [""])
    assert [title for title, _ in overlay.pictures] == ["rgb", "lidar", "top", "lidar on rgb", "edges of lidar on rgb"]
