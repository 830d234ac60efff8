"""Make the paired RGB/thermal frames of RoadScene into a data set: one row per crop of a frame, or per frame with its boxes.

    python datasets/roadscene_rgbt/prepare.py --source DIR --out data/roadscene_rgbt
    python datasets/roadscene_rgbt/prepare.py --source DIR --out data/wide/roadscene_rgbt --margin 2.5  # with surroundings
    python datasets/roadscene_rgbt/prepare.py --source DIR --out data/roadscene_frames --rows frames    # for detectors

README.md beside this file says what DIR has to hold.
"""

from __future__ import annotations

import argparse
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xkd.data.write import new_dataset, read_table, write_rows
from xkd.geometry import Box, overlap, square

CLASSES = ("background", "person", "car")
FRAME_CLASSES = ("person", "car")  # of boxes in whole frames
MARGIN = 1.15  # side of a crop over the longest side of its box: how crops64.npz was cut
NEEDED = ("rgb", "thermal", "images.csv", "boxes.csv", "crops64.npz")

TOML = """name = "{name}"
licence = "FLIR ADAS starter set: non-commercial research and education, no redistribution"
source = "RoadScene (Xu et al., AAAI 2020), boxes of FLIR ADAS v1"
labels = "single"
classes = {classes}

[modalities.rgb]
sensor = "rgb"
mean = {rgb_mean}
std = {rgb_std}

[modalities.thermal]
sensor = "thermal"
unit = "8-bit counts"
scale = 1.0
range = [0.0, 255.0]
mean = {thermal_mean}
std = {thermal_std}
"""


def prepare(source: Path, out: Path, margin: float = MARGIN, frames: bool = False) -> dict[str, int]:
    """Write the data set, each crop `margin` times its box's longest side; returns how many crops, or boxes, were left out, by class.

    With `frames` a row is a frame with all its persons and cars; a frame that nobody has annotated has an empty cell.
    """
    if margin < 1:
        raise ValueError(f"a crop holds its box: margin must be 1 or more, got {margin:g}")
    if missing := [name for name in NEEDED if not (source / name).exists()]:
        raise FileNotFoundError(f"{source}: lacks {missing}; README.md beside this script describes the layout {list(NEEDED)}")
    with np.load(source / "crops64.npz", allow_pickle=False) as archive:
        crops = {name: archive[name] for name in archive.files}
    labels = [str(crops["classes"][label]) for label in crops["label"]]
    rows, left_out = _frames(source) if frames else _rows(source, crops, labels, margin)
    with new_dataset(out) as draft:
        for sensor in ("rgb", "thermal"):
            (draft / sensor).mkdir()
            for name in sorted({row[sensor] for row in rows}):
                shutil.copyfile(source / name, draft / name)
        write_rows(draft, rows)
        (draft / "manifest.toml").write_text(_toml(crops, frames), "utf-8")
    return left_out


def _rows(source: Path, crops: dict[str, NDArray[Any]], labels: list[str], margin: float) -> tuple[list[dict[str, str]], dict[str, int]]:
    frames = {row["id"]: row for row in read_table(source / "images.csv")}
    objects: dict[str, list[tuple[Box, str]]] = defaultdict(list)
    for entry in read_table(source / "boxes.csv"):
        if entry["label"] in CLASSES:
            objects[entry["id"]].append((Box(*(float(entry[edge]) for edge in ("x1", "y1", "x2", "y2"))), entry["label"]))
    rows: list[dict[str, str]] = []
    left_out: dict[str, int] = defaultdict(int)
    for number, (label, frame, box) in enumerate(zip(labels, crops["image_id"].tolist(), crops["box"], strict=True)):
        if label not in CLASSES:
            left_out[label] += 1
            continue
        crop = Box(*(round(edge, 3) for edge in square(Box(*map(float, box)), margin)))
        inside = [(other, name) for other, name in objects[frame] if overlap(other, crop)]
        rows.append(
            {
                "id": f"{frame}-{number:04d}",
                "split": frames[frame]["split"],
                "group": frames[frame]["group"],
                "rgb": f"rgb/{frame}.jpg",
                "thermal": f"thermal/{frame}.jpg",
                "label": label,
                "crop": " ".join(f"{edge:g}" for edge in crop),
                "boxes": ";".join(f"{_text(other)} {name}" for other, name in inside) or "-",
                "frame": frame,
                "day_night": frames[frame]["day_night"],
            }
        )
    return rows, dict(left_out)


def _frames(source: Path) -> tuple[list[dict[str, str]], dict[str, int]]:
    boxes: dict[str, list[str]] = defaultdict(list)
    left_out: dict[str, int] = defaultdict(int)
    for entry in read_table(source / "boxes.csv"):
        if entry["label"] in FRAME_CLASSES:
            box = Box(*(float(entry[edge]) for edge in ("x1", "y1", "x2", "y2")))
            boxes[entry["id"]].append(f"{_text(box)} {entry['label']}")
        else:
            left_out[entry["label"]] += 1
    rows = [
        {
            "id": frame["id"],
            "split": frame["split"],
            "group": frame["group"],
            "rgb": f"rgb/{frame['id']}.jpg",
            "thermal": f"thermal/{frame['id']}.jpg",
            "boxes": (";".join(boxes[frame["id"]]) or "-") if frame["annotated"] == "1" else "",
            "day_night": frame["day_night"],
        }
        for frame in read_table(source / "images.csv")
    ]
    return rows, dict(left_out)


def _text(box: Box) -> str:
    return " ".join(f"{edge:g}" for edge in box)


def _toml(crops: dict[str, NDArray[Any]], frames: bool) -> str:
    """The statistics are of the train crops: what a network is to tell apart."""
    train = crops["split"] == "train"
    statistics: dict[str, list[float]] = {}
    for sensor in ("rgb", "thermal"):
        pixels = crops[sensor][train].astype(np.float64)
        pixels = pixels.reshape(-1, pixels.shape[-1] if pixels.ndim == 4 else 1)
        statistics[f"{sensor}_mean"] = [round(float(value), 2) for value in pixels.mean(0)]
        statistics[f"{sensor}_std"] = [round(float(value), 2) for value in pixels.std(0)]
    quoted = "[" + ", ".join(f'"{name}"' for name in (FRAME_CLASSES if frames else CLASSES)) + "]"
    return TOML.format(name="roadscene_frames" if frames else "roadscene_rgbt", classes=quoted, **statistics)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, help="folder with rgb/ thermal/ images.csv boxes.csv crops64.npz")
    parser.add_argument("--out", type=Path, default=Path("data/roadscene_rgbt"), help="folder to make (%(default)s)")
    parser.add_argument(
        "--margin", type=float, default=MARGIN, help="side of a crop over its box's longest side (%(default)s); above 2 with surroundings"
    )
    parser.add_argument(
        "--rows", choices=["crops", "frames"], default="crops", help="a row per crop, or per frame, with boxes (%(default)s)"
    )
    arguments = parser.parse_args()
    try:
        left_out = prepare(arguments.source, arguments.out, arguments.margin, arguments.rows == "frames")
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(f"{arguments.out}: written; {'crops' if arguments.rows == 'crops' else 'boxes'} left out, too few of their class: {left_out}")


if __name__ == "__main__":
    main()
