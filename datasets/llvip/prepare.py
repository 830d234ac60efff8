"""Make LLVIP's aligned pairs of street scenes at night into a data set: one row per person and as much background, or one per frame.

    python datasets/llvip/prepare.py --source DIR --out data/llvip
    python datasets/llvip/prepare.py --source DIR --out data/llvip_frames --rows frames

README.md beside this file says what DIR has to hold.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from xkd.data.prepare.make import Link, Order, make
from xkd.data.prepare.records import Contents, File, Record, Table
from xkd.data.prepare.split import split_by_group
from xkd.geometry import Box, overlap, square

ROWS: Final = {"crops": ("background", "person"), "frames": ("person",)}  # their classes
FOLDERS: Final = {"rgb": "visible", "thermal": "infrared"}
SPLITS: Final = ("train", "test")  # the authors'
NEEDED: Final = (*(f"{folder}/{split}" for folder in FOLDERS.values() for split in SPLITS), "Annotations")
PERSON: Final = "person"
NAME: Final = re.compile(r"[0-9]{6}")
LOCATION: Final = 2  # digits of a name that say where
MARGIN: Final = 1.15  # side of a crop over the longest side of its box
LEAST_SIDE: Final = 16.0  # pixels, of the shorter side of a box
TRIES: Final = 200  # places that are tried for a square of background
VAL_SHARE: Final = 0.15  # of the frames of train, in whole locations

SENSORS: Final[Mapping[str, Table]] = {
    "rgb": {"sensor": "rgb"},
    "thermal": {"sensor": "thermal", "unit": "8-bit counts", "scale": 1.0, "range": [0.0, 255.0]},
}
LICENCE: Final = "LLVIP: non-commercial, to be cited; see the authors' Term of Use and License"
SOURCE: Final = "LLVIP (Jia et al., ICCV workshops 2021), github.com/bupt-ai-cz/LLVIP"


@dataclass(frozen=True)
class Frame:
    """One pair of images: its name, the authors' split, its files, their width and height, and the persons in them."""

    name: str
    folder: str
    files: Mapping[str, tuple[File, ...]]
    size: tuple[int, int]
    persons: tuple[Box, ...]

    @property
    def location(self) -> str:
        return self.name[:LOCATION]


def prepare(source: Path, out: Path, rows: str = "crops", val: Sequence[str] = (), seed: int = 0, link: Link = "copy") -> dict[str, int]:
    """Write the data set; returns how many frames, boxes, persons and squares of background were left out."""
    made = make(find_in_llvip(source, rows, val, seed), Order(out, out.name, LICENCE, SOURCE, link))
    return dict(made.left_out)


def find_in_llvip(source: Path, rows: str, val: Sequence[str], seed: int) -> Contents:
    """`rows` is "crops" or "frames"; `val` names locations of train, a share of them is drawn by `seed` where it names none."""
    if rows not in ROWS:
        raise ValueError(f"rows are one of {list(ROWS)}, got '{rows}'")
    if missing := [name for name in NEEDED if not (source / name).is_dir()]:
        raise FileNotFoundError(f"{source}: lacks {missing}; README.md beside this script describes the layout {list(NEEDED)}")
    left_out: Counter[str] = Counter()
    frames = read_frames(source, left_out)
    splits = split_of_locations(frames, val, seed)
    records: list[Record] = []
    for frame in frames:
        split = splits[frame.location]
        if frame.folder == "train" and split == "test":
            left_out["frames of train at a location of test"] += 1
        elif rows == "frames":
            records.append(_record(frame, split))
        else:
            records += _crops(frame, split, np.random.default_rng([seed, int(frame.name)]), left_out)
    return Contents(SENSORS, tuple(records), ROWS[rows], left_out=left_out)


def read_frames(source: Path, left_out: Counter[str]) -> list[Frame]:
    """All pairs with their boxes, by name; `FileNotFoundError` or `ValueError` names the file that has no partner or is wrong."""
    annotated = {path.stem for path in (source / "Annotations").glob("*.xml")}
    frames = []
    for split in SPLITS:
        visible, infrared = ({path.stem for path in (source / folder / split).glob("*.jpg")} for folder in FOLDERS.values())
        if alone := sorted(visible ^ infrared):
            lacking = FOLDERS["thermal" if alone[0] in visible else "rgb"]
            raise FileNotFoundError(
                f"{source / lacking / split / alone[0]}.jpg: no such file; {len(alone)} images of {split} have no partner"
            )
        if blank := sorted(visible - annotated):
            raise FileNotFoundError(
                f"{source / 'Annotations' / blank[0]}.xml: no such file; {len(blank)} images of {split} have no annotation"
            )
        frames += [_frame(source, split, name, left_out) for name in sorted(visible)]
    if orphans := sorted(annotated - {frame.name for frame in frames}):
        raise FileNotFoundError(f"{source / 'Annotations' / orphans[0]}.xml: has no image; {len(orphans)} annotations have none")
    return frames


def read_persons(path: Path, size: tuple[int, int], left_out: Counter[str]) -> tuple[Box, ...]:
    """The boxes of an annotation within the image of `size`; `ValueError` names the file and what is wrong with it.

    The edges are taken as they are, as the authors' own scripts do.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise ValueError(f"{path}: {error}") from error
    if (stated := (_number(path, root, "size/width"), _number(path, root, "size/height"))) != size:
        raise ValueError(f"{path}: is for an image of {stated[0]:g}x{stated[1]:g}, the images are {size[0]}x{size[1]}")
    persons = []
    for entry in root.findall("object"):
        if (label := entry.findtext("name", "").strip()) != PERSON:
            raise ValueError(f"{path}: unknown object '{label}'; LLVIP has '{PERSON}' alone")
        x1, y1, x2, y2 = (_number(path, entry, f"bndbox/{edge}") for edge in ("xmin", "ymin", "xmax", "ymax"))
        box = Box(max(x1, 0.0), max(y1, 0.0), min(x2, size[0]), min(y2, size[1]))
        if box.x1 < box.x2 and box.y1 < box.y2:
            persons.append(box)
        else:
            left_out["boxes without an area in the image"] += 1
    return tuple(persons)


def split_of_locations(frames: Sequence[Frame], val: Sequence[str], seed: int) -> dict[str, str]:
    """Location -> split: those of the authors' test are test, those named are val (or a share, drawn), the others train."""
    test = {frame.location for frame in frames if frame.folder == "test"}
    rest = [frame.location for frame in frames if frame.location not in test]
    if unknown := [name for name in val if name not in rest]:
        raise ValueError(f"no location '{unknown[0]}' in train (or test is there too); train has {sorted(set(rest))}")
    drawn = split_by_group(((name, frozenset()) for name in rest), {"train": 1 - VAL_SHARE, "val": VAL_SHARE}, seed)
    chosen = dict.fromkeys(rest, "train") | dict.fromkeys(val, "val") if val else drawn
    if set(chosen.values()) != {"train", "val"}:
        raise ValueError(f"the locations {sorted(set(rest))} of train do not serve train and val; say which are val: --val LOCATION ...")
    return chosen | dict.fromkeys(test, "test")


def _frame(source: Path, split: str, name: str, left_out: Counter[str]) -> Frame:
    paths = [source / folder / split / f"{name}.jpg" for folder in FOLDERS.values()]
    if not NAME.fullmatch(name):
        raise ValueError(f"{paths[0]}: is not called NNNNNN.jpg, so its location is not known")
    sizes = []
    for path in paths:
        with Image.open(path) as image:
            sizes.append(image.size)
    files = {sensor: (File(path, path.name),) for sensor, path in zip(FOLDERS, paths, strict=True)}
    if sizes[0] != sizes[1]:
        raise ValueError(
            f"{paths[0]}: is {sizes[0][0]}x{sizes[0][1]}, {paths[1]} {sizes[1][0]}x{sizes[1][1]}; an aligned pair has one size"
        )
    return Frame(name, split, files, sizes[0], read_persons(source / f"Annotations/{name}.xml", sizes[0], left_out))


def _crops(frame: Frame, split: str, rng: np.random.Generator, left_out: Counter[str]) -> list[Record]:
    """A row per person that is large enough, each followed by one of background of the same size."""
    records = []
    for number, person in enumerate(frame.persons):
        if min(person.x2 - person.x1, person.y2 - person.y1) < LEAST_SIDE:
            left_out["persons too small"] += 1
            continue
        crop = square(person, MARGIN)
        records.append(_record(frame, split, f"-{number:02d}", PERSON, crop))
        place = background(crop, frame, rng)
        if place is None:
            left_out["squares of background that found no place"] += 1
        else:
            records.append(_record(frame, split, f"-{number:02d}b", "background", place))
    return records


def background(crop: Box, frame: Frame, rng: np.random.Generator) -> Box | None:
    """A square of the crop's size inside the frame that touches no person."""
    side, (width, height) = crop.x2 - crop.x1, frame.size
    for _ in range(TRIES if side < min(width, height) else 0):
        x, y = (float(edge) for edge in rng.uniform(0, (width - side, height - side)))
        place = Box(x, y, x + side, y + side)
        if not any(overlap(place, person) for person in frame.persons):
            return place
    return None


def _record(frame: Frame, split: str, suffix: str = "", label: str = "", crop: Box | None = None) -> Record:
    inside = [person for person in frame.persons if crop is None or overlap(person, crop)]
    return Record(
        id=frame.name + suffix,
        files=frame.files,
        frame=frame.name,
        group=f"location-{frame.location}",
        split=split,
        labels=(label,) if label else None,
        boxes=tuple((person, PERSON) for person in inside),
        crop=crop,
        extra={"frame": frame.name},
    )


def _number(path: Path, element: ElementTree.Element, tag: str) -> float:
    text = element.findtext(tag, "")
    try:
        return float(text)
    except ValueError as error:
        raise ValueError(f"{path}: <{tag}> is '{text}', not a number") from error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, help="folder with visible/ infrared/ Annotations/")
    parser.add_argument("--out", type=Path, default=Path("data/llvip"), help="folder to make (%(default)s)")
    parser.add_argument(
        "--rows", choices=list(ROWS), default="crops", help="a row per crop, labelled, or per frame, with boxes (%(default)s)"
    )
    parser.add_argument(
        "--val", nargs="*", default=[], metavar="LOCATION", help="two digits each; a share of train's is drawn where none is named"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the squares of background and the locations of val (%(default)s)")
    parser.add_argument("--link", choices=get_args(Link), default="copy", help="how files get there (%(default)s)")
    a = parser.parse_args()
    try:
        left_out = prepare(a.source, a.out, a.rows, a.val, a.seed, a.link)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(f"{a.out}: written; left out: {left_out}")


if __name__ == "__main__":
    main()
