"""A registered sensor is read into its reference's frame, or the message says what is wrong with its table."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import pytest
import two_cameras as two

from xkd.batch import View
from xkd.data.augment import Augment
from xkd.data.check import check_pairs
from xkd.data.manifest import Manifest, sensor
from xkd.data.paired import PairedDataset
from xkd.data.registration import Registration, read_registered
from xkd.modalities import RGB, Depth
from xkd.modalities.raster import warp_plane
from xkd.modality import Shot

TURNED = two.planted(6.0, -4.0, degrees=3.0, tilt=1e-4)
WILD = Augment(flip=0.5, vertical_flip=0.5, rotate=40.0, scale=(0.7, 1.3), shift=0.1, jitter=0.0)


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read-only: a few pairs, two pixels apart."""
    return two.make_set(tmp_path_factory.mktemp("apart") / "two", two.planted(2.0, 0.0), train=6)


@pytest.fixture
def copy(apart: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(apart, tmp_path / "two"))


def register(root: Path, text: str) -> Path:
    with (root / "manifest.toml").open("a", encoding="utf-8") as file:
        file.write(text)
    return root


def registered(matrix: np.ndarray) -> Registration:
    rows = tuple((float(row[0]), float(row[1]), float(row[2])) for row in matrix)
    return Registration("rgb", rows, two.SIZE, two.SENSOR_SIZE)


def dataset(root: Path, size: tuple[int, int] = two.SIZE[::-1], augment: Augment = WILD) -> PairedDataset:
    views = [View(name, sensor(str(root), name), size) for name in ("rgb", "thermal")]
    return PairedDataset(str(root), "train", views, augment, seed=3, cache=True)


@dataclass(frozen=True)
class Dark(RGB):
    """Beside its frame it is black."""

    outside: ClassVar[tuple[float, ...]] = (0.0, 0.0, 0.0)


def test_what_a_registered_sensor_does_not_see_is_what_it_says(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((*two.SENSOR_SIZE[::-1], 3), 200, np.uint8))
    beside = np.array([[1.0, 0.0, two.SENSOR_SIZE[0] / 2], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    for eye in (RGB(), Dark()):
        reading = read_registered(eye, Shot((tmp_path / "a.png",)), registered(beside))
        assert reading[10, -1].tolist() == np.rint(eye.outside).tolist()
        assert reading[10, 10].tolist() == [200, 200, 200]


def marker_set(root: Path) -> Path:
    """A disc at ten places of both cameras' images, the thermal one's placed by `TURNED`."""
    two.make_set(root, TURNED, train=10)
    rng = np.random.default_rng(0)
    for number in range(10):
        x, y = rng.integers((60, 45), (130, 100)).tolist()
        disc = cv2.circle(np.zeros(two.SIZE[::-1], np.uint8), (x, y), 12, 255, -1)
        cv2.imwrite(str(root / f"rgb/{number}.png"), np.dstack([disc] * 3))
        placed = cv2.warpPerspective(disc.astype(np.float32), TURNED, two.SENSOR_SIZE) / 255
        cv2.imwrite(str(root / f"thermal/{number}.png"), (29000 + 2000 * placed).astype(np.uint16))
    return root


def centre(share: np.ndarray) -> np.ndarray:
    rows, columns = np.indices(share.shape)
    return np.array([(share * columns).sum(), (share * rows).sum()]) / share.sum()


def farthest(root: Path) -> float:
    """Of the marker in thermal from the marker in RGB over 200 draws, in pixels of a view as large as the frame."""
    samples, away = dataset(root), []
    for row in range(10):
        for draw in range(20):
            views = {name: view.numpy() for name, view in samples[row, draw].views.items()}
            # outside their images both show their mean, which lies below these thresholds
            shares = np.clip((views["rgb"][0] / 255.0 - 0.55) / 0.4, 0, 1), np.clip((views["thermal"][0] - 301) / 8, 0, 1)
            if all(share.sum() > 150 and not share[[0, -1]].any() and not share[:, [0, -1]].any() for share in shares):
                away.append(np.abs(centre(shares[0]) - centre(shares[1])).max())
    assert len(away) > 100
    return float(max(away))


def test_a_marker_is_on_one_spot_in_both_views_under_every_draw(tmp_path: Path) -> None:
    assert farthest(register(marker_set(tmp_path / "two"), two.block(TURNED))) < 0.5


def test_a_registration_that_is_two_pixels_off_is_seen(tmp_path: Path) -> None:
    off = TURNED @ np.array([[1.0, 0, 2], [0, 1, 0], [0, 0, 1]])
    assert farthest(register(marker_set(tmp_path / "two"), two.block(off))) > 1.2


def test_the_pair_check_sees_two_pixels_before_and_none_after(copy: Path) -> None:
    text = (copy / "manifest.toml").read_text("utf-8")
    (copy / "manifest.toml").write_text(text.replace("same_size = true", "same_size = false"), "utf-8")
    before = check_pairs(Manifest.load(copy), 0, 0, 1.5, lambda *_: None)
    assert before.residuals[0].paired.median == pytest.approx(2.0 * 160 / 192, abs=0.3)  # of the coarser frame
    (copy / "manifest.toml").write_text(text, "utf-8")  # same_size = true holds, although the files differ
    after = check_pairs(Manifest.load(register(copy, two.block(two.planted(2.0, 0.0)))), 0, 0, 1.5, lambda *_: None)
    assert after.errors == 0
    assert after.residuals[0].paired.median < 0.4
    notes = [finding.text for finding in after.findings if "[registration.thermal]" in finding.text]
    assert notes == [
        "thermal is read into rgb's frame by [registration.thermal] (homography), and shown and measured there; it sees 97 % of that frame"
    ]


def test_without_a_registration_unlike_files_are_refused(apart: Path) -> None:
    with pytest.raises(ValueError, match=r"row 'r0': sizes differ within the pair: rgb 192x144, thermal 160x120; make them equal"):
        dataset(apart)[0]


def test_files_of_another_size_than_was_registered_are_refused(copy: Path) -> None:
    register(copy, two.block(two.planted(2.0, 0.0)))
    cv2.imwrite(str(copy / "thermal/0.png"), np.full((100, 100), 29500, np.uint16))
    with pytest.raises(
        ValueError, match=r"row 'r0': .*thermal/0.png: is 100x100, \[registration.thermal\] in manifest.toml is for 160x120"
    ):
        dataset(copy)[0]
    cv2.imwrite(str(copy / "rgb/1.png"), np.full((100, 100, 3), 9, np.uint8))
    texts = [finding.text for finding in check_pairs(Manifest.load(copy), 2, 0, 1.5, lambda *_: None).findings]
    wrong = "2 files have another size than was registered: thermal/0.png (100x100 for 160x120), rgb/1.png (100x100 for 192x144)"
    assert any(wrong in text for text in texts), texts


def test_a_reference_of_another_size_is_refused_even_where_sizes_may_differ(copy: Path) -> None:
    toml = (copy / "manifest.toml").read_text("utf-8")
    toml = toml.replace("same_size = true", "same_size = false\nsize = [192, 144]")
    (copy / "manifest.toml").write_text(toml + two.block(two.planted(2.0, 0.0)), "utf-8")
    cv2.imwrite(str(copy / "rgb/1.png"), np.full((100, 100, 3), 9, np.uint8))
    assert dataset(copy)[0].present == {"rgb": True, "thermal": True}
    with pytest.raises(ValueError, match="row 'r1': sizes differ within the pair: thermal 192x144, rgb 100x100; register the sensor again"):
        dataset(copy)[1]


def test_what_the_sensor_does_not_see_is_not_a_number_and_then_its_mean(copy: Path) -> None:
    register(copy, two.block(two.planted(40.0, 0.0)))
    manifest = Manifest.load(copy)
    thermal = manifest.modalities["thermal"]
    reading = read_registered(thermal, Shot((copy / "thermal/0.png",)), manifest.registrations["thermal"])
    assert reading.shape == (144, 192, 1)
    # 40 pixels to the right begins what lies beyond the sensor's last column
    assert np.isnan(reading[:, 192 - 40 :]).all()
    assert np.isfinite(reading[:, : 192 - 41]).all()
    view = dataset(copy, augment=Augment(jitter=0.0))[0].views["thermal"].numpy()[0]
    assert (view[:, 192 - 40 :] == 300).all()
    assert abs(float(view[:, : 192 - 41].mean()) - 300) > 1


def test_counts_have_the_mean_where_nothing_was_seen(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((120, 160, 3), 200, np.uint8))
    rgb = RGB(name="thermal", mean=(10.4, 20.6, 30.0))
    reading = read_registered(rgb, Shot((tmp_path / "a.png",)), registered(two.planted(40.0, 0.0)))
    assert reading.dtype == np.uint8
    assert (reading[:, 152:] == (10, 21, 30)).all()
    assert (reading[:, :151] == 200).all()


def test_holes_do_not_bleed(tmp_path: Path) -> None:
    depth = np.full((120, 160), 2000, np.uint16)
    depth[40:80, 40:80] = 0
    cv2.imwrite(str(tmp_path / "a.png"), depth)
    reading = read_registered(Depth(name="thermal"), Shot((tmp_path / "a.png",)), registered(TURNED))
    seen = np.isfinite(reading)
    assert np.allclose(reading[seen], 2.0, atol=1e-5)
    hole = (~seen[30:110, 40:110]).sum() / (192 * 144) * (160 * 120)
    assert hole == pytest.approx(1600, rel=0.05)


def test_warp_plane_is_the_bilinear_value_at_the_mapped_pixel() -> None:
    rows, columns = np.mgrid[:120, :160].astype(np.float32)
    channels = np.stack([columns, rows, 2 * columns - rows, columns + rows, columns * 0 + 7], axis=2)  # more than OpenCV warps at once
    warped = warp_plane(channels, TURNED, (144, 192))
    x, y = two.at(TURNED, np.array([(column, row) for row in range(144) for column in range(192)])).T.reshape(2, 144, 192)
    inside = (x > 0) & (x < 159) & (y > 0) & (y < 119)
    assert 0.8 < inside.mean() < 0.99
    expected = np.stack([x, y, 2 * x - y, x + y, x * 0 + 7], axis=2)
    assert np.abs(warped - expected)[inside].max() < 0.1  # OpenCV's steps of 1/32 pixel
    beyond = (x < -0.6) | (x > 159.6) | (y < -0.6) | (y > 119.6)
    assert np.isnan(warped[beyond]).all()


def test_warp_plane_averages_where_it_shrinks() -> None:
    stripes = np.zeros((120, 160, 1), np.float32)
    stripes[:, ::2] = 100
    quarter = np.array([[4.0, 0, 1.5], [0, 4.0, 1.5], [0, 0, 1]])
    assert np.allclose(warp_plane(stripes, quarter, (30, 40)), 50)
    rows, columns = np.mgrid[:120, :160].astype(np.float32)
    shrunk = warp_plane(np.stack([columns, rows], 2), quarter, (30, 40))
    assert np.abs(shrunk[..., 0] - (4 * np.arange(40) + 1.5)).max() < 0.01
    assert np.abs(shrunk[..., 1] - (4 * np.arange(30)[:, None] + 1.5)).max() < 0.01


LIDAR = '[modalities.lidar]\nsensor = "lidar"\noutputs = ["range"]\nrange = [0.5, 80.0]\nproject = "above"\n'
FOLDED = np.array([[1.0, 0, 0], [0, 1, 0], [-0.01, 0, 1]])
BAD = {
    "a key": ({"colour": 1}, r"\[registration.thermal\]: unknown key 'colour'; legal are \['reference', 'matrix'"),
    "no matrix": ({"matrix": None}, "missing key 'matrix'; needed are"),
    "another reference": ({"reference": '"nir"'}, r"no sensor 'nir'; there are \['rgb', 'thermal'\]"),
    "itself": ({"reference": '"thermal"'}, "'thermal' cannot be registered to itself"),
    "a model": ({"model": '"spline"'}, r"model must be one of \['translation', 'affine', 'homography'\], got 'spline'"),
    "two rows": ({"matrix": "[[1, 0, 0], [0, 1, 0]]"}, "matrix must be three rows of three finite numbers"),
    "short rows": ({"matrix": "[[1, 0], [0, 1], [0, 0]]"}, "matrix must be three rows of three finite numbers"),
    "not finite": ({"matrix": "[[1, 0, nan], [0, 1, 0], [0, 0, 1]]"}, "matrix must be three rows of three finite numbers"),
    "singular": ({"matrix": "[[1, 1, 0], [1, 1, 0], [0, 0, 1]]"}, "matrix is singular or folds the frame of 192x144"),
    "folded": ({"matrix": FOLDED.tolist()}, "matrix is singular or folds the frame"),
    "nowhere": ({"matrix": "[[1, 0, 500], [0, 1, 0], [0, 0, 1]]"}, "matrix leads nowhere into the sensor's 160x120 pixels"),
    "a size": ({"size": "[192.5, 144]"}, r"size and sensor_size are \[width, height\] in pixels"),
    "no size": ({"sensor_size": '"160x120"'}, "sensor_size must be a list, got '160x120'"),
    "a residual": ({"residual_after": '"small"'}, "residual_after must be a finite number, got 'small'"),
}


@pytest.mark.parametrize(("changes", "message"), BAD.values(), ids=list(BAD))
def test_a_wrong_table_is_refused_by_its_name(changes: dict[str, object], message: str, copy: Path) -> None:
    register(copy, two.block(two.planted(2.0, 0.0), **changes))
    with pytest.raises(ValueError, match=message) as raised:
        Manifest.load(copy)
    assert f"{copy / 'manifest.toml'}: [registration.thermal]: " in str(raised.value)


def test_a_lidar_and_a_chain_are_refused(copy: Path) -> None:
    text = (copy / "manifest.toml").read_text("utf-8")
    lidar = two.block(two.planted(2.0, 0.0)).replace("registration.thermal", "registration.lidar")
    (copy / "manifest.toml").write_text(text + LIDAR + lidar, "utf-8")
    with pytest.raises(ValueError, match="'lidar' is a scanner: its points are projected by the row's calibration"):
        Manifest.load(copy)
    back = two.block(two.planted(2.0, 0.0), reference='"thermal"').replace("registration.thermal", "registration.rgb")
    (copy / "manifest.toml").write_text(text + two.block(two.planted(2.0, 0.0)) + back, "utf-8")
    with pytest.raises(ValueError, match="reference 'rgb' is registered itself; register both to one sensor"):
        Manifest.load(copy)
    (copy / "manifest.toml").write_text(text.replace("[pairs]", "registration = 3\n[pairs]"), "utf-8")
    with pytest.raises(ValueError, match=r"write \[registration.SENSOR\] as a table, SENSOR one of \['rgb', 'thermal'\]"):
        Manifest.load(copy)
