"""Annotated pictures become rows: labels, boxes, regions to ignore and masks of the recordings that they name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from xkd.data.class_names import remarks
from xkd.data.manifest import Mask
from xkd.data.prepare.annotated import AnnotatedImage, Annotations, Size, Thing
from xkd.data.prepare.crops import crops_of
from xkd.data.prepare.labels import check_classes
from xkd.data.prepare.listing import Source, list_sources
from xkd.data.prepare.meeting import meet
from xkd.data.prepare.outlines import draw_segmentation
from xkd.data.prepare.placing import Placement, Shown, find_frame
from xkd.data.prepare.records import Contents, File, Record
from xkd.geometry import Box, overlap

_BACKGROUND: Final = "background"
_BOXES_ALONE: Final = "mask of an image with boxes alone"
_NO_BOX: Final = "crowd or otherwise ignored object, which gives no box: its region is left out where a detector learns and is judged"
_SLACK: Final = 0.02  # of the longer side: a tool's rounding, or a careless hand
_OUTSIDE: Final = 0.1  # of all boxes may lie outside their image before the frame must be another one


@dataclass(frozen=True)
class ObjectChoice:
    """What is taken of annotations.

    `classes` (all, where none are named) get the mask codes 1, 2, ...; `positive` are those of interest (all, where none are named).
    `unannotated` says what an image without objects is, where the files do not: "empty" (looked at, nothing found) or "unlabelled".
    `annotated` is the sensor that was shown when objects were drawn (found by its size where none is named), `turned` how the tool
    showed pictures that are stored turned, where sizes do not tell. `crops` makes a row per object.
    """

    classes: tuple[str, ...] = ()
    positive: tuple[str, ...] = ()
    multilabel: bool = False
    unannotated: Literal["", "empty", "unlabelled"] = ""
    annotated: str = ""
    turned: Shown = ""
    crops: bool = False


def find_annotated(annotations: Annotations, choice: ObjectChoice, sources: Mapping[str, Source], strip: str = "") -> Contents:
    """A row per picture whose file some sensor has, or per object of it.

    An image's label is the class that all its objects share, or with `multilabel` the set of them. What is ignored (a crowd) is pixels
    of its class: it paints the mask and counts for the label, but its box is a region to ignore. Where objects overlap in the mask the
    smaller one is on top. An image gets a mask if all its objects have an outline. Raises `ValueError` naming the file.
    """
    classes = _classes(annotations, choice)
    files, reasons = list_sources(sources, strip)
    left_out = Counter(reasons) + Counter(annotations.left_out)
    met, notes = meet(annotations.pictures, files, strip, left_out)
    drawn = find_frame([(picture, recordings) for picture, _, recordings in met], list(sources), choice.annotated, choice.turned)
    if (empty := sum(not picture.things and picture.looked is None for picture, _, _ in met)) and not choice.unannotated:
        raise ValueError(
            f"{annotations.pictures[0].where}: {empty} images have no annotation; state what they are: --unannotated empty, or unlabelled"
        )
    records = [
        _record(choice, picture, (stem, recordings), placement, classes, left_out)
        for (picture, stem, recordings), placement in zip(met, drawn.placements, strict=True)
    ]
    reaching = _check_inside(records, drawn.placements, left_out)
    masked = any(thing.outline for picture, _, _ in met for thing in picture.things)
    if not masked:  # boxes alone: an image without objects has no mask either
        del left_out[_BOXES_ALONE]
        records = [replace(record, mask=None) for record in records]
    if choice.crops:
        left_out["image without a box to crop"] += sum(not record.boxes for record in records)
        records = [crop for record in records for crop in crops_of(record)]
        if not records:
            raise ValueError(f"{annotations.pictures[0].where}: no box of {list(classes)} to crop")
    codes = {_BACKGROUND: 0} | {name: code for code, name in enumerate(classes, 1)}
    return Contents(
        sensors={column: source.table for column, source in sources.items()},
        records=tuple(records),
        classes=classes,
        multilabel=choice.multilabel,
        mask=Mask(codes, choice.positive or classes) if masked else None,
        frame=drawn.frame,
        left_out=+left_out,
        notes=(*annotations.notes, *notes, *drawn.notes, *reaching, *remarks(classes)),
    )


def paint(outlines: Sequence[tuple[int, Any]], size: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W) codes of (code, segmentation) pairs, the smaller on top."""
    codes = np.zeros(size, np.uint8)
    drawn = [(code, draw_segmentation(segmentation, size)) for code, segmentation in outlines]
    for code, inside in sorted(drawn, key=lambda pair: -int(pair[1].sum())):
        codes[inside] = code
    return codes


def _classes(annotations: Annotations, choice: ObjectChoice) -> tuple[str, ...]:
    where = annotations.pictures[0].where if annotations.pictures else "the annotations"
    known = tuple(annotations.classes) + tuple({thing.name for picture in annotations.pictures for thing in picture.things})
    if not (classes := choice.classes or annotations.classes):
        unread = "; ".join(f"{count} x {reason}" for reason, count in annotations.left_out.items())
        raise ValueError(f"{where}: no object was read, so there are no classes{unread and f'; left out: {unread}'}")
    check_classes(classes)
    if strange := [name for name in classes if name not in known]:
        raise ValueError(f"{where}: no category '{strange[0]}'; it has {list(annotations.classes)}")
    if _BACKGROUND in classes or len(classes) > 255 or len(set(classes)) < len(classes):
        raise ValueError(f"{where}: classes are different, 255 at most, and none is called '{_BACKGROUND}'; got {list(classes)}")
    if wrong := [name for name in choice.positive if name not in classes]:
        raise ValueError(f"--mask-positive names some of {list(classes)}; got '{wrong[0]}'")
    return tuple(classes)


def _record(
    choice: ObjectChoice,
    picture: AnnotatedImage,
    found: tuple[str, Mapping[str, tuple[File, ...]]],
    placement: Placement | None,
    classes: tuple[str, ...],
    left_out: Counter[str],
) -> Record:
    stem, files = found
    blank = Record(stem, files, frame=stem, split=picture.split)
    looked = picture.looked if picture.looked is not None else choice.unannotated == "empty"
    if placement is None:
        left_out["objects of an image whose annotated file is not there"] += bool(picture.things)
        return blank
    if not picture.things and not looked:
        return blank
    things = []
    for thing in picture.things:
        if thing.name in classes:
            things.append(_scaled(thing, placement.drawn) if picture.relative else thing)
        elif not thing.name:  # a region of no class
            things.append(thing)
        else:
            left_out[f"annotation of '{thing.name}', not among the classes"] += 1
    present = sorted({thing.name for thing in things if thing.name in classes}, key=classes.index)
    labels: tuple[str, ...] | None = tuple(present)
    if not choice.multilabel:
        labels = tuple(present) if len(present) == 1 else None
        left_out["label of an image with several classes, or none"] += labels is None and not choice.crops
    if turned := [thing.box for thing in things if thing.box.x2 < thing.box.x1 or thing.box.y2 < thing.box.y1]:
        corners = " ".join(f"{edge:g}" for edge in turned[0])
        raise ValueError(f"{picture.where}: image '{picture.name}' has a box whose right or lower edge comes first, {corners}")
    boxes, ignored = _boxes(things, placement, left_out)
    known = [thing for thing in things if thing.name in classes]
    outlines = [(classes.index(thing.name) + 1, thing.outline) for thing in known if thing.outline]
    mask = partial(_mask, picture, outlines, placement) if len(outlines) == len(known) else None
    left_out[_BOXES_ALONE] += mask is None
    return replace(blank, labels=labels, boxes=boxes, ignored=ignored, mask=mask)


def _boxes(things: Sequence[Thing], placement: Placement, left_out: Counter[str]) -> tuple[tuple[tuple[Box, str], ...], tuple[Box, ...]]:
    """Boxes with their classes, and regions to ignore: what is there, but not where exactly, or not how many."""
    boxes, ignored = [], []
    image = Box(0, 0, *placement.frame)
    for thing in things:
        box = thing.box
        if flat := box.x2 <= box.x1 or box.y2 <= box.y1:
            left_out["box without an area: its place is ignored"] += 1
            box = Box(min(box.x1, box.x2) - 1, min(box.y1, box.y2) - 1, max(box.x1, box.x2) + 1, max(box.y1, box.y2) + 1)
        box = placement.box(box)
        if not overlap(box, image):
            left_out["box outside its image"] += 1
        elif thing.ignored or flat:
            left_out[_NO_BOX] += thing.ignored
            ignored.append(box)
        else:
            boxes.append((box, thing.name))
    return tuple(boxes), tuple(ignored)


def _check_inside(records: Sequence[Record], placements: Sequence[Placement | None], left_out: Counter[str]) -> list[str]:
    """A note where boxes reach out of their images; `ValueError` where many lie outside, or all within the first pixel."""
    framed = [
        (record, box, Box(0, 0, *placement.frame))
        for record, placement in zip(records, placements, strict=True)
        if placement is not None
        for box in (*(box for box, _ in record.boxes or ()), *record.ignored)
    ]
    outside = left_out["box outside its image"]
    if outside > _OUTSIDE * (outside + len(framed)):
        raise ValueError(
            f"{outside} boxes lie outside of their images: they were drawn in another frame than the annotations say, or in other units"
        )
    if framed and all(max(box.x2, box.y2) <= 1 for _, box, _ in framed):
        raise ValueError(f"all {len(framed)} boxes lie within 0 and 1: shares of the picture, where pixels are needed")
    far = [(record, box) for record, box, image in framed if _reach(box, image) > _SLACK * max(image.x2, image.y2)]
    if not far:
        return []
    record, box = far[0]
    x1, y1, x2, y2 = (f"{number:g}" for number in (box.x1, box.y1, box.x2, box.y2))
    return [
        f"{len(far)} of {len(framed)} boxes reach out of their images, such as {x1} {y1} {x2} {y2} in '{record.id}' (left, top, right,"
        " bottom): are they of another frame, or corners where width and height belong?"
    ]


def _reach(box: Box, image: Box) -> float:
    """Pixels by which a box reaches out of its image."""
    return max(-box.x1, -box.y1, box.x2 - image.x2, box.y2 - image.y2)


def _scaled(thing: Thing, size: Size) -> Thing:
    """From shares of the picture to pixels."""
    width, height = size
    box = Box(thing.box.x1 * width, thing.box.y1 * height, thing.box.x2 * width, thing.box.y2 * height)
    outline = thing.outline and [[number * size[place % 2] for place, number in enumerate(polygon)] for polygon in thing.outline]
    return replace(thing, box=box, outline=outline)


def _mask(picture: AnnotatedImage, outlines: Sequence[tuple[int, Any]], placement: Placement) -> NDArray[np.uint8]:
    try:
        return placement.codes(paint(outlines, placement.drawn[::-1]))
    except ValueError as error:
        raise ValueError(f"{picture.where}: image '{picture.name}': {error}") from error
