"""A planted marker lands on the same spot in every view, in the mask, in the boxes and among projected points, at whatever size."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from xkd.batch import View
from xkd.data.augment import Augment
from xkd.data.manifest import sensor
from xkd.data.paired import PairedDataset
from xkd.modalities.calibration import Camera, write_calibration

SIZE = (120, 160)  # height, width of the frame
ROWS, DRAWS = 10, 100
RADIUS = 9
DEPTH, NEAR = 4.0, 2.0
FOCAL = 150.0
SIZES = {"rgb": (120, 160), "rgb_low": (40, 56), "thermal": (96, 96), "ndvi": (80, 120), "depth": (100, 140), "lidar": (60, 80)}
WILD = Augment(flip=0.5, vertical_flip=0.5, rotate=40.0, scale=(0.6, 1.3), shift=0.15, jitter=0.0)
TOML = """name = "marker"
classes = ["marker", "none"]
[modalities.rgb]
sensor = "rgb"
[modalities.thermal]
sensor = "thermal"
unit = "K"
scale = 0.01
range = [280.0, 320.0]
[modalities.ndvi]
sensor = "multispectral"
bands = ["red", "nir"]
outputs = ["ndvi"]
[modalities.depth]
sensor = "depth"
scale = 0.001
limits = [0.5, 8.0]
[modalities.lidar]
sensor = "lidar"
outputs = ["intensity", "valid"]
range = [0.5, 10.0]
mean = [0.0, 0.5]
[mask]
values = { background = 0, marker = 1 }
positive = ["marker"]
"""


def _scan(disc: np.ndarray) -> np.ndarray:
    """A point in the middle of each quarter of each pixel of the disc, as a scanner at the camera's place sees it."""
    row, column = np.nonzero(disc)
    quarters = [(dx, dy) for dx in (-0.25, 0.25) for dy in (-0.25, 0.25)]
    pixels = np.concatenate([np.stack([column + dx, row + dy], 1) for dx, dy in quarters])
    right, down = ((pixels - (SIZE[1] / 2 - 0.5, SIZE[0] / 2 - 0.5)) / FOCAL * NEAR).T
    return np.stack([np.full(len(pixels), NEAR), -right, -down, np.ones(len(pixels))], 1).astype(np.float32)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("marker")
    for name in ("rgb", "thermal", "red", "nir", "depth", "lidar", "mask"):
        (folder / name).mkdir()
    intrinsic = np.array([[FOCAL, 0, SIZE[1] / 2 - 0.5, 0], [0, FOCAL, SIZE[0] / 2 - 0.5, 0], [0, 0, 1.0, 0]])
    axes = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    write_calibration(folder / "camera.json", Camera(intrinsic, axes, (), SIZE[::-1]))
    rng = np.random.default_rng(0)
    lines = ["id,split,group,rgb,thermal,ndvi,depth,lidar,label,mask,boxes,calibration"]
    for number in range(ROWS):
        x, y = rng.integers((50, 40), (110, 80)).tolist()
        disc = cv2.circle(np.zeros(SIZE, np.uint8), (x, y), RADIUS, 1, -1)
        image = np.where(disc, 255, 0).astype(np.uint8)
        name = f"{number}.png"
        cv2.imwrite(str(folder / "rgb" / name), np.dstack([image] * 3))
        cv2.imwrite(str(folder / "thermal" / name), np.where(disc, 31000, 29000).astype(np.uint16))
        cv2.imwrite(str(folder / "red" / name), np.where(disc, 20, 100).astype(np.uint8))
        cv2.imwrite(str(folder / "nir" / name), np.full(SIZE, 100, np.uint8))
        cv2.imwrite(str(folder / "depth" / name), np.where(disc, 1000 * NEAR, 1000 * DEPTH).astype(np.uint16))
        cv2.imwrite(str(folder / "mask" / name), disc)
        np.save(folder / f"lidar/{number}.npy", _scan(disc))
        rows, columns = np.nonzero(disc)
        box = f"{columns.min()} {rows.min()} {columns.max() + 1} {rows.max() + 1} marker"
        cells = [f"rgb/{name}", f"thermal/{name}", f"red/{name};nir/{name}", f"depth/{name}", f"lidar/{number}.npy"]
        lines.append(",".join([str(number), "train", str(number), *cells, "marker", f"mask/{name}", box, "camera.json"]))
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n", "utf-8")
    (folder / "manifest.toml").write_text(TOML, "utf-8")
    return folder


def _dataset(root: Path) -> PairedDataset:
    views = [View(name, sensor(str(root), name.removesuffix("_low")), size) for name, size in SIZES.items()]
    return PairedDataset(str(root), "train", views, WILD, seed=1, cache=True)


def _middle(shares: np.ndarray) -> np.ndarray:
    """(x, y) centre of mass in 0..1."""
    height, width = shares.shape
    weight = shares / shares.sum()
    return np.array([(weight.sum(0) * (np.arange(width) + 0.5)).sum() / width, (weight.sum(1) * (np.arange(height) + 0.5)).sum() / height])


def _spots(dataset: PairedDataset, row: int, draw: int) -> dict[str, np.ndarray] | None:
    """Where the marker is, in 0..1, by everything that shows it; None where it is cut by the border."""
    sample = dataset[row, draw]
    if len(sample.boxes) == 0 or sample.boxes.min() < 0.03 or sample.boxes.max() > 0.97:
        return None
    views = {name: view.numpy() for name, view in sample.views.items()}
    # outside the frame thermal, NDVI and depth show their mean: only what lies beyond it towards the marker counts
    shares = {
        "rgb": (views["rgb"][0] > 200) * 1.0,
        "rgb_low": (views["rgb_low"][0] > 127) * 1.0,
        "thermal": np.clip((views["thermal"][0] - 302) / 8, 0, 1),
        "ndvi": np.clip((views["ndvi"][0] - 0.1) / 0.5, 0, 1),
        "depth": (views["depth"][0] < 3) * 1.0,
        "lidar": views["lidar"][1],
        "mask": sample.mask[0].numpy(),
    }
    box = sample.boxes[0].numpy()
    return {name: _middle(share) for name, share in shares.items()} | {"boxes": (box[:2] + box[2:]) / 2}


def _farthest(root: Path, draws: int) -> tuple[dict[str, float], int]:
    """Largest distance from the mask's marker, in pixels of each view (of the frame for boxes), and how many draws were compared."""
    dataset, farthest, seen = _dataset(root), dict.fromkeys([*SIZES, "boxes"], 0.0), 0
    for row in range(ROWS):
        for draw in range(draws):
            spots = _spots(dataset, row, draw)
            if spots is None:
                continue
            seen += 1
            for name in farthest:
                height, width = SIZES.get(name, SIZE)
                away = np.abs(spots[name] - spots["mask"]) * (width, height)
                farthest[name] = max(farthest[name], float(away.max()))
    return farthest, seen


def test_the_marker_is_on_one_spot_within_half_a_pixel_over_a_thousand_draws(root: Path) -> None:
    farthest, seen = _farthest(root, DRAWS)
    assert seen > 0.6 * ROWS * DRAWS
    assert max(farthest.values()) < 0.5, farthest


@pytest.mark.parametrize("column", ["rgb", "thermal", "nir", "depth", "mask", "lidar"])
def test_two_pixels_of_misalignment_are_caught(root: Path, tmp_path: Path, column: str) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(root, moved)
    for path in (moved / column).iterdir():
        if column == "lidar":
            scan = np.load(path)
            scan[:, 1] += 2 / FOCAL * NEAR
            np.save(path, scan)
        else:
            image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            cv2.imwrite(str(path), np.roll(image, 2, axis=1))
    if column == "nir":  # the bands of one camera moved apart change the index, so move both
        for path in (moved / "red").iterdir():
            cv2.imwrite(str(path), np.roll(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), 2, axis=1))
    farthest, _ = _farthest(moved, 3)
    assert max(farthest.values()) > 0.9, "2 pixels of the frame are 0.9 of the coarsest view at least"
