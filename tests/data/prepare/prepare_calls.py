"""Made-up pictures, the command's words, and what was made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from xkd.batch import View
from xkd.data.annotations import Masks
from xkd.data.augment import Augment
from xkd.data.manifest import Manifest, sensor
from xkd.data.paired import PairedDataset
from xkd.data.sample import Sample

THERMAL = ("--set", "thermal.unit=K", "thermal.scale=0.01", "thermal.range=[280, 320]")


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    error: str


Prepare = Callable[..., Answer]


def write_image(path: Path, seed: int, kind: str = "rgb", size: tuple[int, int] = (24, 32)) -> None:
    """A picture of (height, width) `size` with noise in it: 8-bit colours, or 16-bit counts about 300 K in hundredths."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 255, (*size, 3), dtype=np.uint8)
    cv2.imwrite(str(path), image if kind == "rgb" else rng.normal(30000, 300, size).astype(np.uint16))


def two_sensors(root: Path) -> tuple[str, ...]:
    return ("--sensor", f"rgb={root / 'rgb'}:rgb", "--sensor", f"thermal={root / 'thermal'}:thermal", *THERMAL)


def first_sample(root: Path, split: str = "train", mask: Literal["boxes", "mask", "none"] = "none") -> tuple[Manifest, Sample]:
    """The manifest, and the first sample of a split with all of its sensors."""
    manifest = Manifest.load(root)
    views = [View(name, sensor(str(root), name), (16, 16)) for name in manifest.modalities]
    return manifest, PairedDataset(str(root), split, views, Augment(), masks=Masks(mask))[0, 1]
