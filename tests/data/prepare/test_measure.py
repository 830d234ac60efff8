"""Mean, standard deviation and ordinary values are those of what a sensor saw, and of nothing else."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from xkd.data.prepare.measure import check_complete, measure
from xkd.modality import Shot


@pytest.fixture
def depth(tmp_path: Path) -> Shot:
    """Counts of 1000 and 3000 in equal parts, and as many holes."""
    counts = np.zeros((30, 20), np.uint16)
    counts[:10], counts[10:20] = 1000, 3000
    cv2.imwrite(str(tmp_path / "depth.png"), counts)
    return Shot((tmp_path / "depth.png",))


def test_holes_do_not_count(depth: Shot) -> None:
    found, sizes = measure("depth", {"sensor": "depth", "scale": 0.001, "limits": [0.1, 9.0]}, [depth, depth])
    assert found is not None
    assert (found.mean, found.std, found.num_rows, sizes) == ((2.0,), (1.0,), 2, [(20, 30), (20, 30)])


def test_a_table_with_a_mean_is_not_measured(depth: Shot) -> None:
    assert measure("depth", {"sensor": "depth", "scale": 0.001, "limits": [0.1, 9.0], "mean": [5.0]}, [depth])[0] is None


def test_limits_are_asked_for_with_what_was_measured(depth: Shot) -> None:
    with pytest.raises(ValueError, match=r"needs \['limits'\].*1 % lie below 1 and 99 % below 3 \(unit 'm'\).*'depth.limits=\[1, 3\]'"):
        check_complete("depth", {"sensor": "depth", "scale": 0.001}, [depth])


def test_millimetres_are_known_by_their_size(depth: Shot) -> None:
    with pytest.raises(ValueError, match=r"of millimetres --set depth.scale=0.001 'depth.limits=\[1, 3\]'"):
        check_complete("depth", {"sensor": "depth"}, [depth])


def test_the_range_of_a_scanner_is_its_distances(tmp_path: Path) -> None:
    distance = np.linspace(5, 25, 500)
    angle = np.linspace(-0.7, 0.7, 500)
    points = np.column_stack([distance * np.cos(angle), distance * np.sin(angle), np.full(500, 70.0), np.ones(500)])
    points[:, 2] = 0
    points.astype(np.float32).tofile(tmp_path / "scan.bin")
    table = {"sensor": "lidar", "project": "above", "outputs": ["intensity", "range", "valid"], "mean": [1.0, 1.0, 1.0]}
    with pytest.raises(ValueError, match=r"needs \['range'\].*1 % lie below 5\..*99 % below 24\."):
        check_complete("lidar", table, [Shot((tmp_path / "scan.bin",))])


def test_a_sensor_that_saw_nothing_but_one_value_is_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((8, 8, 3), 90, np.uint8))
    with pytest.raises(ValueError, match="are the same"):
        measure("rgb", {"sensor": "rgb"}, [Shot((tmp_path / "grey.png",))])


def test_colours_against_numpy(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (9, 7, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image[..., ::-1])
    found, _ = measure("rgb", {"sensor": "rgb"}, [Shot((tmp_path / "a.png",))])
    assert found is not None
    assert np.allclose(found.mean, image.mean((0, 1)), rtol=1e-4)
    assert np.allclose(found.std, image.std((0, 1)), rtol=1e-4)


def test_images_of_unlike_sizes_count_alike(tmp_path: Path) -> None:
    shots = []
    for name, size, level in (("small", 4, 10), ("large", 40, 30)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((size, size, 3), level, np.uint8))
        shots.append(Shot((tmp_path / f"{name}.png",)))
    found, _ = measure("rgb", {"sensor": "rgb"}, shots)
    assert found is not None
    assert (found.mean, found.std) == ((20.0,) * 3, (10.0,) * 3)
