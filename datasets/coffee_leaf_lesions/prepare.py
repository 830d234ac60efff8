"""Make the annotated coffee leaves into a data set: one row per leaf, with the mask and the boxes of its lesions.

    python datasets/coffee_leaf_lesions/prepare.py --source DIR --out data/coffee_leaf_lesions
    python datasets/coffee_leaf_lesions/prepare.py --source DIR --number share --out data/coffee_leaf_share

The second one labels each leaf with a number in the place of its stress. README.md beside this file says what DIR has to hold.
"""

from __future__ import annotations

import argparse
import shutil
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np

from xkd.data.write import new_dataset, read_table, write_rows
from xkd.modalities import RGB
from xkd.modality import Shot

CLASSES = ("healthy", "miner", "rust", "phoma", "cercospora")
# name of a number -> its column, its table in manifest.toml
NUMBERS = {
    "share": ("lesion_frac_of_leaf", '[numbers.share]\nunit = "of the leaf"\nrange = [0.0, 0.5]\n'),
    "severity": ("severity", '[numbers.severity]\nunit = "grade"\nrange = [0.0, 4.0]\n'),
}
NEEDED = ("images", "masks", "labels.csv", "boxes.csv")

TOML = """name = "{name}"
licence = "MIT (repository esgario/lara2018; the images are not named in it)"
source = "Esgario, Krohling and Ventura, Computers and Electronics in Agriculture, 2020"
labels = "{labels}"
classes = {classes}

[modalities.rgb]
sensor = "rgb"
mean = {mean}
std = {std}

[mask]
values = {{ background = 0, leaf = 1, lesion = 2 }}
positive = ["lesion"]
{numbers}"""


def prepare(source: Path, out: Path, number: str = "") -> dict[str, int]:
    """Write the data set; returns how many leaves were left out, by class. `number` labels the leaves with one of `NUMBERS`."""
    if missing := [name for name in NEEDED if not (source / name).exists()]:
        raise FileNotFoundError(f"{source}: lacks {missing}; README.md beside this script describes the layout {list(NEEDED)}")
    rows, left_out = _rows(source, number)
    with new_dataset(out) as draft:
        for folder, column in (("images", "rgb"), ("masks", "mask")):
            (draft / folder).mkdir()
            for row in rows:
                shutil.copyfile(source / row[column], draft / row[column])
        write_rows(draft, rows)
        (draft / "manifest.toml").write_text(_toml([source / row["rgb"] for row in rows if row["split"] == "train"], number), "utf-8")
    return left_out


def _rows(source: Path, number: str) -> tuple[list[dict[str, str]], dict[str, int]]:
    lesions: dict[str, list[str]] = defaultdict(list)
    for entry in read_table(source / "boxes.csv"):
        x, y, width, height = (int(entry[name]) for name in ("x", "y", "w", "h"))
        lesions[entry["id"]].append(f"{x} {y} {x + width} {y + height}")
    rows: list[dict[str, str]] = []
    left_out: dict[str, int] = defaultdict(int)
    for entry in read_table(source / "labels.csv"):
        leaf, label = entry["id"], entry["label"]
        if not number and label not in CLASSES:
            left_out[label] += 1
            continue
        rows.append(
            {
                "id": leaf,
                "split": entry["split"],
                "group": leaf,
                "rgb": f"images/{leaf}.jpg",
                "label": entry[NUMBERS[number][0]] if number else label,
                "mask": f"masks/{leaf}.png",
                "boxes": ";".join(f"{box} {'*' if number else label}" for box in lesions[leaf]) or "-",
                "severity": entry["severity"],
            }
        )
    return rows, dict(left_out)


def _toml(paths: list[Path], number: str) -> str:
    """With the mean and standard deviation of the train images, all of one size, on 0..255."""
    images = (RGB().read(Shot((path,))) for path in paths)
    pixels = np.array([[cv2.mean(image)[:3], cv2.mean(np.square(image, dtype=np.float32))[:3]] for image in images])
    mean, square = pixels.mean(0)
    return TOML.format(
        name=f"coffee_leaf_{number or 'lesions'}",
        labels="number" if number else "single",
        classes="[" + ", ".join(f'"{name}"' for name in (() if number else CLASSES)) + "]",
        numbers=f"\n{NUMBERS[number][1]}" if number else "",
        mean=[round(float(value), 2) for value in mean],
        std=[round(float(value), 2) for value in np.sqrt(square - mean**2)],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, help="folder with images/ masks/ labels.csv boxes.csv")
    parser.add_argument("--out", type=Path, default=Path("data/coffee_leaf_lesions"), help="folder to make (%(default)s)")
    parser.add_argument("--number", choices=sorted(NUMBERS), default="", help="label leaves with a number in the place of their stress")
    arguments = parser.parse_args()
    try:
        left_out = prepare(arguments.source, arguments.out, arguments.number)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(f"{arguments.out}: written; leaves left out, of no single class: {left_out}")


if __name__ == "__main__":
    main()
