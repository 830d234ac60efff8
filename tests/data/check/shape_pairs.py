"""Made-up pairs of shapes for one fault to be planted in, the check of them, and what it found that is no note."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from xkd.data.check import Finding, PairCheck, check_pairs
from xkd.data.manifest import Manifest

HEIGHT, WIDTH = 96, 128
SPLITS = ("train",) * 10 + ("val",) * 4 + ("test",) * 4
TOML = """
name = "shapes"
classes = ["a", "b"]

[modalities.rgb]
sensor = "rgb"
mean = [128.0, 128.0, 128.0]
std = [60.0, 60.0, 60.0]

[modalities.thermal]
sensor = "thermal"
unit = "K"
scale = 0.01
range = [280.0, 320.0]
mean = [295.2]
std = [3.8]

[mask]
values = { background = 0, thing = 1 }
positive = ["thing"]
"""


def scene(seed: int, size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    """(H, W) 0..1: a few dozen shapes of unlike brightness."""
    rng = np.random.default_rng(seed)
    image = np.full(size, 0.5, np.float32)
    for _ in range(40):
        x, y = (int(rng.integers(side)) for side in size[::-1])
        shade = float(rng.random())
        if rng.random() < 0.5:
            cv2.circle(image, (x, y), int(rng.integers(4, 16)), shade, -1)
        else:
            cv2.rectangle(image, (x, y), (x + int(rng.integers(5, 30)), y + int(rng.integers(5, 30))), shade, -1)
    return image


def moved(image: np.ndarray, x: float, y: float) -> np.ndarray:
    matrix = np.array([[1.0, 0.0, x], [0.0, 1.0, y]])
    return cv2.warpAffine(image, matrix, image.shape[1::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def as_thermal(image: np.ndarray, seed: int) -> np.ndarray:
    """Another sensor of the same scene: contrast turned round, bent, blurred, with noise of its own; centikelvin."""
    noise = np.random.default_rng(seed + 1000).normal(0, 0.01, image.shape)
    other = cv2.GaussianBlur((1 - image) ** 2 * np.float32(0.6), (0, 0), 1.0) + noise
    return (29000 + 3000 * other).astype(np.uint16)


def make_set(root: Path, shift: tuple[float, float] = (0.0, 0.0)) -> Path:
    """18 pairs in `root`, the thermal image moved by `shift`; rows r0, r1, ..., each its own group, classes in turn."""
    for folder in ("rgb", "thermal", "mask"):
        (root / folder).mkdir(parents=True)
    lines = ["id,split,group,rgb,thermal,label,mask"]
    for number, split in enumerate(SPLITS):
        image = scene(number)
        colour = np.stack([image * 255, image * 230, 20 + image * 200], 2).astype(np.uint8)
        cv2.imwrite(str(root / f"rgb/{number}.png"), colour)
        cv2.imwrite(str(root / f"thermal/{number}.png"), as_thermal(moved(image, *shift), number))
        cv2.imwrite(str(root / f"mask/{number}.png"), (image > 0.8).astype(np.uint8))
        lines.append(f"r{number},{split},g{number},rgb/{number}.png,thermal/{number}.png,{'ab'[number % 2]},mask/{number}.png")
    (root / "manifest.csv").write_text("\n".join(lines) + "\n", "utf-8")
    (root / "manifest.toml").write_text(TOML, "utf-8")
    return root


def check(root: Path, sample: int = 0, max_residual: float = 2.0) -> PairCheck:
    return check_pairs(Manifest.load(root.absolute()), sample, 0, max_residual, lambda what, done, total: None)


def graver(result: PairCheck) -> list[Finding]:
    return [finding for finding in result.findings if finding.severity != "note"]


def only(result: PairCheck, severity: str, subject: str) -> str:
    """The text of the one finding that is no note."""
    assert [(finding.severity, finding.subject) for finding in graver(result)] == [(severity, subject)], graver(result)
    return graver(result)[0].text


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")
