"""COCO JSON: boxes, polygons and run lengths as boxes, labels and masks of the images that it names."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from xkd.data.manifest import Mask
from xkd.data.prepare.labels import check_classes
from xkd.data.prepare.listing import Source, list_sources, stem_of
from xkd.data.prepare.outlines import draw_segmentation
from xkd.data.prepare.records import Contents, Record
from xkd.data.text import read_text
from xkd.geometry import Box

_KEYS: Final = {
    "images": ("id", "file_name", "width", "height"),
    "annotations": ("image_id", "category_id", "bbox"),
    "categories": ("id", "name"),
}
_BACKGROUND: Final = "background"
_BOXES_ALONE: Final = "mask of an image with boxes alone"


@dataclass(frozen=True)
class Coco:
    """What is taken from the JSON at `path`.

    `classes` (all, in the order of their ids, where none are named) get the mask codes 1, 2, ...; `positive` are those of interest
    (all, where none are named). `unannotated` says what an image without annotations is: "empty" (looked at, nothing found)
    or "unlabelled"; needed where there are such images.
    """

    path: Path
    classes: tuple[str, ...] = ()
    positive: tuple[str, ...] = ()
    multilabel: bool = False
    unannotated: Literal["", "empty", "unlabelled"] = ""


def find_in_coco(coco: Coco, sources: Mapping[str, Source], strip: str = "") -> Contents:
    """A row per image of the JSON, whose `file_name` lies below the first sensor's folder; the other sensors mirror it by stem.

    An image's label is the class that all its annotations share, or with `multilabel` the set of them. A crowd (`iscrowd` = 1) is
    pixels of its class: it paints the mask and counts for the label, but gives no box. Where objects overlap in the mask the
    smaller one is on top. An image gets a mask if all its annotations have a segmentation. Raises `ValueError` naming the file.
    """
    table = _read(coco.path)
    names = {entry["id"]: str(entry["name"]) for entry in sorted(table["categories"], key=lambda entry: int(entry["id"]))}
    classes = coco.classes or tuple(names.values())
    check_classes(classes)
    if strange := [name for name in classes if name not in names.values()]:
        raise ValueError(f"{coco.path}: no category '{strange[0]}'; it has {list(names.values())}")
    if _BACKGROUND in classes or len(classes) > 255 or len(set(classes)) < len(classes):
        raise ValueError(f"{coco.path}: classes are different, 255 at most, and none is called '{_BACKGROUND}'; got {list(classes)}")
    if wrong := [name for name in coco.positive if name not in classes]:
        raise ValueError(f"--mask-positive names some of {list(classes)}; got '{wrong[0]}'")
    files, reasons = list_sources(sources, strip)
    left_out = Counter(reasons)
    of_image = _by_image(coco, table, names)
    records: list[Record] = []
    stems: set[str] = set()
    for entry in table["images"]:
        stem = stem_of(Path(entry["file_name"]), strip)
        if stem in stems:
            raise ValueError(f"{coco.path}: two images have the stem '{stem}'")
        stems.add(stem)
        recordings = {column: by_stem[stem] for column, by_stem in files.items() if stem in by_stem}
        if not recordings:
            left_out["image of the JSON without a file"] += 1
            continue
        records.append(_record(coco, stem, entry, recordings, of_image[entry["id"]], classes, left_out))
    if not records:
        missing = table["images"][0]["file_name"] if table["images"] else "no image at all"
        raise ValueError(f"{coco.path}: none of its images lies below {next(iter(sources.values())).folders[0]}; it names {missing}")
    for column, by_stem in files.items():
        left_out[f"'{column}' that the JSON does not name"] += len(by_stem.keys() - stems)
    masked = any(entry.get("segmentation") for entry in table["annotations"])
    if not masked:  # boxes alone: an image without objects has no mask either
        del left_out[_BOXES_ALONE]
        records = [replace(record, mask=None) for record in records]
    codes = {_BACKGROUND: 0} | {name: code for code, name in enumerate(classes, 1)}
    return Contents(
        sensors={column: source.table for column, source in sources.items()},
        records=tuple(records),
        classes=classes,
        multilabel=coco.multilabel,
        mask=Mask(codes, coco.positive or classes) if masked else None,
        left_out=+left_out,
    )


def paint(annotations: Sequence[tuple[int, Any]], size: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W) codes of (code, segmentation) pairs, the smaller on top."""
    codes = np.zeros(size, np.uint8)
    drawn = [(code, draw_segmentation(segmentation, size)) for code, segmentation in annotations]
    for code, inside in sorted(drawn, key=lambda pair: -int(pair[1].sum())):
        codes[inside] = code
    return codes


def _read(path: Path) -> dict[str, Any]:
    try:
        table = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: {error}") from error
    for part, keys in _KEYS.items():
        entries = table.get(part) if isinstance(table, dict) else None
        if not isinstance(entries, list):
            raise ValueError(f"{path}: needs the lists {list(_KEYS)}, '{part}' is not there; is it a COCO JSON of objects?")
        for place, entry in enumerate(entries):
            if missing := [key for key in keys if key not in entry]:
                raise ValueError(f"{path}: {part}[{place}] has no '{missing[0]}'; needed are {list(keys)}")
    return dict(table)


def _by_image(coco: Coco, table: Mapping[str, Any], names: Mapping[int, str]) -> dict[int, list[dict[str, Any]]]:
    """The annotations of each image, with their class's name as `name`."""
    of_image: dict[int, list[dict[str, Any]]] = {entry["id"]: [] for entry in table["images"]}
    if len(of_image) < len(table["images"]):
        raise ValueError(f"{coco.path}: an image's id is there twice")
    for place, entry in enumerate(table["annotations"]):
        if entry["image_id"] not in of_image or entry["category_id"] not in names:
            raise ValueError(
                f"{coco.path}: annotations[{place}] is of image {entry['image_id']} and category {entry['category_id']}; "
                "not both are listed"
            )
        if len(entry["bbox"]) != 4:
            raise ValueError(f"{coco.path}: annotations[{place}] has bbox {entry['bbox']}; write [x, y, width, height]")
        of_image[entry["image_id"]].append({**entry, "name": names[entry["category_id"]]})
    if (empty := sum(not entries for entries in of_image.values())) and not coco.unannotated:
        raise ValueError(f"{coco.path}: {empty} images have no annotation; state what they are: --unannotated empty, or unlabelled")
    return of_image


def _record(
    coco: Coco,
    stem: str,
    image: Mapping[str, Any],
    files: Mapping[str, Any],
    annotations: list[dict[str, Any]],
    classes: tuple[str, ...],
    left_out: Counter[str],
) -> Record:
    if not annotations and coco.unannotated == "unlabelled":
        return Record(stem, files, frame=stem)
    boxes, outlines = [], []
    present = sorted({entry["name"] for entry in annotations if entry["name"] in classes}, key=classes.index)
    for entry in annotations:
        if entry["name"] not in classes:
            left_out[f"annotation of '{entry['name']}', not among the classes"] += 1
            continue
        if entry.get("segmentation"):
            outlines.append((classes.index(entry["name"]) + 1, entry["segmentation"]))
        x, y, width, height = entry["bbox"]
        if entry.get("iscrowd"):
            left_out["crowd, which gives no box"] += 1
        elif width <= 0 or height <= 0:
            left_out["box without an area"] += 1
        else:
            boxes.append((Box(x, y, x + width, y + height), str(entry["name"])))
    labels: tuple[str, ...] | None = tuple(present)
    if not coco.multilabel:
        labels = tuple(present) if len(present) == 1 else None
        left_out["label of an image with several classes, or none"] += labels is None
    wanted = sum(entry["name"] in classes for entry in annotations)
    size = (int(image["height"]), int(image["width"]))
    mask = partial(_mask, coco.path, str(image["file_name"]), outlines, size) if len(outlines) == wanted else None
    left_out[_BOXES_ALONE] += mask is None
    return Record(stem, files, frame=stem, labels=labels, boxes=tuple(boxes), mask=mask)


def _mask(path: Path, name: str, outlines: Sequence[tuple[int, Any]], size: tuple[int, int]) -> NDArray[np.uint8]:
    try:
        return paint(outlines, size)
    except ValueError as error:
        raise ValueError(f"{path}: image '{name}': {error}") from error
