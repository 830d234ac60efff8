"""Data sets of two fixed cameras whose frames lie apart by a known homography."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

SIZE, SENSOR_SIZE = (192, 144), (160, 120)  # width, height
TOML = """# two cameras on one bar
name = "two"
classes = ["a", "b"]

[pairs]
same_size = true # once they are registered

[modalities.rgb]
sensor = "rgb"

[modalities.thermal]
sensor = "thermal"
unit = "K"
scale = 0.01
range = [280.0, 320.0]
"""
_MARGIN = 60  # of the scene about the reference's frame, so that the other camera has something to see there


def planted(x: float, y: float, degrees: float = 0.0, tilt: float = 0.0) -> np.ndarray:
    """(3, 3): pixels of the reference's frame to the sensor's, which is coarser, shifted, turned and tilted about the middle."""
    middle = np.array([[1, 0, (SIZE[0] - 1) / 2], [0, 1, (SIZE[1] - 1) / 2], [0, 0, 1]])
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    turn = np.array([[cos, -sin, x], [sin, cos, y], [tilt, -tilt, 1]])
    factor = SENSOR_SIZE[0] / SIZE[0]
    coarse = np.array([[factor, 0, (factor - 1) / 2], [0, factor, (factor - 1) / 2], [0, 0, 1]])
    matrix = coarse @ middle @ turn @ np.linalg.inv(middle)
    return np.asarray(matrix / matrix[2, 2])


def at(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(N, 2) points under a homography."""
    placed = np.c_[points, np.ones(len(points))] @ matrix.T
    return np.asarray(placed[:, :2] / placed[:, 2:])


def apart(first: np.ndarray, second: np.ndarray) -> float:
    """The largest distance at the corners of the reference's frame, in its pixels."""
    corners = np.array([(x, y) for x in (0, SIZE[0] - 1) for y in (0, SIZE[1] - 1)], np.float64)
    away = np.hypot(*(at(first, corners) - at(second, corners)).T)
    return float(away.max() * SIZE[0] / SENSOR_SIZE[0])


def scene(seed: int) -> np.ndarray:
    """(H, W) 0..1: shapes of unlike brightness, `_MARGIN` wider than the reference's frame on every side."""
    rng = np.random.default_rng(seed)
    shape = (SIZE[1] + 2 * _MARGIN, SIZE[0] + 2 * _MARGIN)
    image = np.full(shape, 0.5, np.float32)
    for _ in range(90):
        x, y = (int(rng.integers(side)) for side in shape[::-1])
        cv2.rectangle(image, (x, y), (x + int(rng.integers(6, 40)), y + int(rng.integers(6, 40))), float(rng.random()), -1)
    return cv2.GaussianBlur(image, (0, 0), 0.7)


def as_thermal(image: np.ndarray, seed: int) -> np.ndarray:
    """Contrast turned round and bent, with noise; centikelvin."""
    noise = np.random.default_rng(seed).normal(0, 0.01, image.shape)
    return np.asarray(29000 + 3000 * ((1 - image) ** 2 + noise), np.uint16)


def make_set(root: Path, matrix: np.ndarray, train: int = 24, mixed: bool = False) -> Path:
    """Rows of train and two each of val and test; `mixed` gives every row a stranger's thermal image."""
    for folder in ("rgb", "thermal"):
        (root / folder).mkdir(parents=True)
    lines = ["id,split,group,rgb,thermal,label"]
    window = np.array([[1.0, 0, -_MARGIN], [0, 1, -_MARGIN], [0, 0, 1]])
    for number in range(train + 4):
        image = scene(number)
        inner = image[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
        cv2.imwrite(str(root / f"rgb/{number}.png"), np.repeat(np.rint(inner * 255).astype(np.uint8)[..., None], 3, 2))
        seen = cv2.warpPerspective(scene(number + 100) if mixed else image, matrix @ window, SENSOR_SIZE)
        cv2.imwrite(str(root / f"thermal/{number}.png"), as_thermal(seen, number))
        split = "train" if number < train else ("val", "test")[number % 2]
        lines.append(f"r{number},{split},g{number},rgb/{number}.png,thermal/{number}.png,{'ab'[number // 2 % 2]}")
    (root / "manifest.csv").write_text("\n".join(lines) + "\n", "utf-8")
    (root / "manifest.toml").write_text(TOML, "utf-8")
    return root


def block(matrix: np.ndarray, /, **changes: object) -> str:
    """`[registration.thermal]` by hand; `changes` are keys with their TOML."""
    table = {"reference": '"rgb"', "matrix": matrix.tolist(), "size": list(SIZE), "sensor_size": list(SENSOR_SIZE)} | changes
    return "\n[registration.thermal]\n" + "\n".join(f"{key} = {value}" for key, value in table.items() if value is not None) + "\n"
