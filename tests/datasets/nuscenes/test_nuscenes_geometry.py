"""The geometry of nuScenes, computed here a second time, by OpenCV."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import nuscenes_street as street
import pytest

from xkd.data.manifest import Manifest
from xkd.modality import Shot


def test_boxes_and_points_are_where_opencv_puts_them(script: ModuleType, source: Path, tmp_path: Path) -> None:
    """Width and length, the order of the quaternion, both poses of the car and the half pixel: each of them moves these by pixels."""
    out = tmp_path / "out"
    script.prepare(source, out, val=["scene-0553"])
    manifest = Manifest.load(out)
    for row, number in ((manifest.rows[0], 0), (manifest.rows[2], 1)):
        outline = street.seen(street.corners(number))
        boxes = [np.array(box) for box, label in row.boxes or () if label == street.OBJECTS[number][0].split(".")[1]]
        assert len(boxes) == 1
        np.testing.assert_allclose(boxes[0], [*outline.min(0), *outline.max(0)], atol=1e-3)
        assert row.crop is not None
        assert row.crop.x2 - row.crop.x1 == pytest.approx(1.15 * np.ptp(outline, 0).max(), abs=0.01)
        assert [(row.crop.x1 + row.crop.x2) / 2, (row.crop.y1 + row.crop.y2) / 2] == pytest.approx(
            (outline.min(0) + outline.max(0)) / 2, abs=1e-2
        )
    first = manifest.rows[0]
    planted = street.seen(street.planted())
    assert first.crop is not None
    assert ((planted > first.crop[:2]) & (planted < first.crop[2:])).all()
    read = manifest.modalities["lidar"].read(Shot((out / first.files["lidar"][0],), out / first.calibration))
    np.testing.assert_allclose(read.pixels[: street.NUM_PLANTED], planted, atol=0.01)
    assert read.values[:, 2].max() <= 1.0


def test_a_box_that_reaches_behind_the_camera_is_cut_and_not_mirrored(script: ModuleType) -> None:
    pose = street.Pose(street.UP, street.EGO.degrees, tuple(street.EGO(np.array([1.7, 1.6, 1.5]))))
    annotation = {"token": "a", "size": [2.0, 8.0, 2.0]} | pose.record()
    camera = street.CAMERA.record() | {"camera_intrinsic": street.K.tolist()}
    box = script.outline(annotation, street.EGO.record(), camera, street.SIZE)
    # of its four metres before the camera the right side is half a metre to the left; 4 m ahead, 220 * 0.5 / 4 pixels
    assert box.x2 == pytest.approx(160 - 220 * 0.5 / 4, abs=1e-6)
    assert box.x1 == pytest.approx(160 - 220 * 2.5 / 0.1, abs=1e-6)
    assert (box.y1, box.y2) == pytest.approx((90 - 2200, 90 + 2200), abs=1e-6)
    behind = annotation | {"translation": list(map(float, street.EGO(np.array([-8.0, 0.0, 1.0]))))}
    assert script.outline(behind, street.EGO.record(), camera, street.SIZE) is None
