"""A small paired data set for every test of the project."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from offline import sitecustomize

# importing it keeps this process off the network, the variable those that it starts
OFFLINE = Path(sitecustomize.__file__).parent
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(OFFLINE), os.environ.get("PYTHONPATH"))))
# imports once what processes of the tests need that are forked by a server
multiprocessing.set_forkserver_preload(["xkd.engine.train"])

_TOML = """
name = "tiny"
licence = "Apache-2.0"
source = "made by the tests"
classes = ["blank", "disc", "bar"]

[modalities.rgb]
sensor = "rgb"

[modalities.thermal]
sensor = "thermal"
unit = "K"
scale = 0.01
offset = 0.0
range = [285.0, 310.0]
mean = [295.0]
std = [4.0]

[mask]
values = { background = 0, object = 1 }
positive = ["object"]
"""

_HEADER = "id,split,group,rgb,thermal,label,mask,crop,boxes,frame"
_CLASSES = ("blank", "disc", "bar")
_COUNTS = {"train": 24, "val": 12, "test": 12}
_HEIGHT, _WIDTH = 40, 48


def _write_pair(root: Path, number: int, label: str, rng: np.random.Generator) -> str:
    """One scene: files rgb/, thermal/ (centikelvin) and mask/, the object warmer and greener; returns its box or ''."""
    mask = np.zeros((_HEIGHT, _WIDTH), np.uint8)
    x, y = int(rng.integers(14, 34)), int(rng.integers(14, 26))
    if label == "disc":
        cv2.circle(mask, (x, y), 8, 1, -1)
    elif label == "bar":
        cv2.rectangle(mask, (x - 11, y - 3), (x + 11, y + 3), 1, -1)
    thermal = 29000 + rng.normal(0, 30, mask.shape) + 1200.0 * mask
    rgb = rng.normal(100, 12, (*mask.shape, 3)) + mask[..., None] * np.array([-20, 70, -20])  # BGR as OpenCV writes it
    for folder, image in (("rgb", rgb.astype(np.uint8)), ("thermal", thermal.astype(np.uint16)), ("mask", mask)):
        cv2.imwrite(str(root / folder / f"{number:02d}.png"), image)
    if not mask.any():
        return "-"
    left, top, width, height = cv2.boundingRect(mask)
    return f"{left} {top} {left + width} {top + height} {label}"


@pytest.fixture(autouse=True, scope="session")
def plain_text() -> Iterator[pytest.MonkeyPatch]:
    """Runs write their config down as it is: yapf takes longer to lay it out than these runs take to train."""
    with pytest.MonkeyPatch.context() as patch:
        if "mmengine.config.config" in sys.modules:  # not where no test of this process trains
            patch.setattr("mmengine.config.config.FormatCode", lambda text, **_: (text, True))
        yield patch


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a data set named `tiny`: classes blank, disc, bar (a third each); 24 train, 12 val and 12 test rows of
    48x40 rgb/thermal.

    Sensors are paired and the class is plain in both. Train row 3 lacks thermal, row 4 lacks rgb, row 5 both; rows 9 to
    14 are unlabelled; row 6 has no mask; row 7 is a crop that reaches outside, row 8 one with fractional edges. Two
    rows in a row share a group. Val and test are complete. Read-only: copy it to change it.
    """
    root = tmp_path_factory.mktemp("data") / "tiny"
    for folder in ("rgb", "thermal", "mask"):
        (root / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    lines, number = [_HEADER], 0
    for split, count in _COUNTS.items():
        for place in range(count):
            label = _CLASSES[place % 3]
            boxes = _write_pair(root, number, label, rng)
            train = split == "train"
            crop = {7: "-6 4 42 44", 8: "2.5 3.25 43.5 37.75"}.get(place, "") if train else ""
            cells = [
                f"{split}-{place}",
                split,
                f"{split}-{place // 2}",
                "" if train and place in (4, 5) else f"rgb/{number:02d}.png",
                "" if train and place in (3, 5) else f"thermal/{number:02d}.png",
                "" if train and 9 <= place <= 14 else label,
                "" if train and place == 6 else f"mask/{number:02d}.png",
                crop,
                boxes,
                f"frame-{number // 2}",
            ]
            lines.append(",".join(cells))
            number += 1
    (root / "manifest.csv").write_text("\n".join(lines) + "\n", "utf-8")
    (root / "manifest.toml").write_text(_TOML, "utf-8")
    return root


@pytest.fixture(scope="module")
def data_root(tiny_dataset: Path) -> Iterator[Path]:
    """`root="tiny"` is the session's data set, as the configs of engine_runs.py name it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XKD_DATA_ROOT", str(tiny_dataset.parent))
        yield tiny_dataset
