"""YOLO: a text file per image with a class number and a box or a polygon in shares of the image, and `data.yaml` with the names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from xkd.data.prepare.annotated import AnnotatedImage, Annotations, Thing, box_about, of_pictures
from xkd.data.prepare.split_names import split_of
from xkd.data.text import read_text
from xkd.geometry import Box

_LABELS, _IMAGES = "labels", "images"
_CLASSES = "classes.txt"  # of LabelImg and Label Studio, a name a line


def read_yolo(places: Sequence[Path]) -> Annotations:
    """Each data set's folder, or its `data.yaml`. Labels are below the folders `labels`; an empty file says that there is nothing.

    A line is `class x y width height` (centre and size) or `class x1 y1 x2 y2 x3 y3 ...`. `ValueError` names the file and the line.
    """
    pictures: list[AnnotatedImage] = []
    classes: dict[str, None] = {}
    for place in places:
        table, names = _names(place)
        classes |= dict.fromkeys(names.values())
        files = [
            path
            for path in sorted(table.parent.rglob("*.txt"))
            if path.name != _CLASSES and _LABELS in path.relative_to(table.parent).parts[:-1]
        ]
        if not files:
            raise FileNotFoundError(f"{table.parent}: no text file below a folder '{_LABELS}'")
        for path in files:
            parts = [_IMAGES if part == _LABELS else part for part in path.relative_to(table.parent).parts]
            name = "/".join(parts)
            things = tuple(_thing(path, number, line, names) for number, line in enumerate(read_text(path).splitlines(), 1) if line.strip())
            pictures.append(AnnotatedImage(name, None, things, str(path), looked=True, relative=True, split=split_of(name)))
    splits = {picture.split for picture in pictures}
    if len(splits) > 1 and "" in splits:
        raise ValueError(f"{places[0]}: some labels lie in folders of splits (train, val, test), others do not")
    return of_pictures([_without_split(picture) for picture in pictures] if len(splits) == 1 else pictures, list(classes))


def _without_split(picture: AnnotatedImage) -> AnnotatedImage:
    return AnnotatedImage(picture.name, picture.size, picture.things, picture.where, picture.looked, picture.relative)


def _names(place: Path) -> tuple[Path, dict[int, str]]:
    """The table of a data set, and the names in it by their numbers."""
    found = [path for name in ("data", "dataset", "*") for kind in ("yaml", "yml") for path in sorted(place.glob(f"{name}.{kind}"))]
    plain = sorted(place.rglob(_CLASSES))
    path = place if place.is_file() else next(iter([*found, *plain]), place / "data.yaml")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; it, or {_CLASSES}, holds the names of the classes")
    if path.name == _CLASSES:
        return place / _CLASSES, dict(enumerate(line.strip() for line in read_text(path).splitlines() if line.strip()))
    try:
        names = (yaml.safe_load(read_text(path)) or {}).get("names")
    except (yaml.YAMLError, AttributeError) as error:
        raise ValueError(f"{path}: is no table in YAML: {error}") from error
    if not isinstance(names, dict | list) or not names:
        raise ValueError(f"{path}: has no 'names', a list of the classes, or number: name")
    if odd := [name for name in (names.values() if isinstance(names, dict) else names) if isinstance(name, bool) or name is None]:
        raise ValueError(f"{path}: YAML reads a name as {odd[0]}; write it in quotes, such as 'no' or 'null'")
    return path, {int(number): str(name) for number, name in (names.items() if isinstance(names, dict) else enumerate(names))}


def _thing(path: Path, number: int, line: str, names: dict[int, str]) -> Thing:
    try:
        kind, *numbers = (float(word) for word in line.split())
    except ValueError as error:
        raise ValueError(f"{path}, line {number}: '{line}' is not made of numbers") from error
    if int(kind) not in names:
        raise ValueError(f"{path}, line {number}: class {int(kind)} has no name; there are {names}")
    if len(numbers) == 4:
        x, y, width, height = numbers
        return Thing(names[int(kind)], Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2))
    if len(numbers) < 6 or len(numbers) % 2:
        raise ValueError(f"{path}, line {number}: write class x y width height, or class and three points or more; got '{line}'")
    return Thing(names[int(kind)], box_about(zip(numbers[::2], numbers[1::2], strict=True)), [numbers])
