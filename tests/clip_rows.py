"""Data sets of clips, made by hand: frame number n of the camera is grey 10 n, that of the thermal camera 290 K + n."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from xkd.batch import View
from xkd.data.augment import Augment
from xkd.data.clips import drawn_shot
from xkd.data.draws import Draws
from xkd.data.manifest import sensor
from xkd.data.paired import PairedDataset
from xkd.modalities import Clip

STILL = Augment(flip=0, jitter=0)
SIZE = (6, 8)
TOML = """name = "clips"
labels = "single"
classes = ["left", "right", "still"]

[modalities.rgb]
sensor = "rgb"

[modalities.thermal]
sensor = "thermal"
unit = "K"
scale = 1.0
range = [280.0, 320.0]
"""


def write_clips(root: Path, rows: list[dict[str, str]], count: int = 20, more: str = "") -> Path:
    """`count` frames of each sensor as files, one strip of 12 camera frames, and these rows."""
    for folder in ("rgb", "thermal"):
        (root / folder).mkdir(parents=True)
    frames = [np.full((*SIZE, 3), 10 * number, np.uint8) for number in range(count)]
    for number, frame in enumerate(frames):
        cv2.imwrite(str(root / f"rgb/{number:04d}.png"), frame)
        cv2.imwrite(str(root / f"thermal/{number:04d}.png"), np.full(SIZE, 290 + number, np.uint16))
    cv2.imwrite(str(root / "rgb/strip.png"), np.concatenate(frames[:12], axis=1))
    blank = {"split": "train", "group": "one", "rgb": "", "thermal": "", "label": "", "rgb.fps": "", "rgb.frames": "", "rgb.time": ""}
    blank |= {"thermal.fps": "", "thermal.time": ""}
    (root / "manifest.toml").write_text(TOML + more)
    with (root / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["id", *blank])
        writer.writeheader()
        writer.writerows([blank | row for row in rows])
    return root


LISTED = {"id": "listed", "rgb": "rgb/{0000..0019}.png", "rgb.fps": "10"}


def clips(root: Path, augment: Augment = STILL, frames: int = 4, every: int = 2, **options: Any) -> PairedDataset:
    """Of both sensors."""
    keys = {key: options.pop(key) for key in ("drop", "order") if key in options}
    views = [View(name, Clip(sensor(str(root), name), frames, every, **keys), SIZE) for name in options.pop("names", ("rgb", "thermal"))]
    return PairedDataset(str(root), "train", views, augment, **options)


def numbers(dataset: PairedDataset, draw: int, name: str = "rgb", index: int = 0) -> list[int]:
    """Which frames a view shows, as its pixels say."""
    values = dataset[index, draw].views[name].float()
    values = values[::3, 0, 0] / 10 if name == "rgb" else values[:, 0, 0] - 290
    return [round(value) for value in values.tolist()]


def taken(dataset: PairedDataset, draw: int, name: str = "rgb", index: int = 0) -> list[int]:
    """The same without reading a file."""
    [clip] = [sensor for view in dataset.views for sensor in view.sensors if sensor.name == name]
    row = dataset.rows[index]
    moment = Draws(dataset.seed, dataset.augment).moment(row, draw)
    return list(drawn_shot(dataset.manifest.root, row, clip, moment).frames)
