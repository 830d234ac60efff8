"""CVAT for images: one XML file with boxes, polygons, ellipses and masks."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from xkd.data.prepare.annotated import (
    AnnotatedImage,
    Annotations,
    Size,
    Thing,
    box_about,
    ellipse,
    files_of,
    flat,
    of_pictures,
    plain_path,
    run_lengths,
)
from xkd.data.prepare.split_names import named_split
from xkd.data.prepare.voc import read_xml

Points = list[tuple[float, float]]


def read_cvat(places: Sequence[Path]) -> Annotations:
    """Each file, or each `.xml` below a folder. Splits are those of the images' subsets, where there are several.

    Points, lines, skeletons and tags are left out; tracks of videos are an error. `ValueError` names the file and the image.
    """
    left_out, pictures = Counter[str](), []
    for path, _ in files_of(places, ".xml"):
        top = read_xml(path, "annotations")
        if top.find("track") is not None:
            raise ValueError(f"{path}: holds tracks of a video; export the task as 'CVAT for images'")
        pictures += [_picture(path, entry, left_out) for entry in top.iter("image")]
    splits = {picture.split for picture in pictures}
    if len(splits) > 1 and "" in splits:
        raise ValueError(f"{places[0]}: some images are of a subset that is a split (train, val, test), others are not")
    return of_pictures(pictures, left_out=left_out)


def _picture(path: Path, entry: Element, left_out: Counter[str]) -> AnnotatedImage:
    name = plain_path(entry.get("name", ""))
    things = []
    try:
        size = (int(entry.attrib["width"]), int(entry.attrib["height"]))
        for shape in entry:
            thing = _thing(shape, size)
            left_out[f"<{shape.tag}>, which is not read"] += thing is None
            things += [thing] if thing else []
    except (KeyError, ValueError) as error:
        raise ValueError(f"{path}: image '{name}' is not read: {error}") from error
    return AnnotatedImage(name, size, tuple(things), str(path), split=named_split(entry.get("subset", "")))


def _thing(shape: Element, size: Size) -> Thing | None:
    at, label = shape.attrib, shape.get("label", "")
    if shape.tag == "box":
        box = box_about([(float(at["xtl"]), float(at["ytl"])), (float(at["xbr"]), float(at["ybr"]))])
        corners = [(box.x1, box.y1), (box.x2, box.y1), (box.x2, box.y2), (box.x1, box.y2)]
        points = _turned(corners, ((box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2), float(at.get("rotation", 0)))
    elif shape.tag == "polygon":
        points = [(float(x), float(y)) for x, y in (point.split(",") for point in at["points"].split(";"))]
    elif shape.tag == "ellipse":
        x, y, across, down = (float(at[key]) for key in ("cx", "cy", "rx", "ry"))
        points = _turned(ellipse((x, y), across, down), (x, y), float(at.get("rotation", 0)))
    elif shape.tag == "mask":
        left, top, width, height = (int(float(at[key])) for key in ("left", "top", "width", "height"))
        return Thing(label, box_about([(left, top), (left + width, top + height)]), _mask(at["rle"], (left, top, width, height), size))
    else:
        return None
    return Thing(label, box_about(points), [flat(points)])


def _turned(points: Points, centre: tuple[float, float], degrees: float) -> Points:
    """Clockwise, as it is seen."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    if not degrees:
        return points
    offsets = [(x - centre[0], y - centre[1]) for x, y in points]
    return [(centre[0] + x * cos - y * sin, centre[1] + x * sin + y * cos) for x, y in offsets]


def _mask(text: str, place: tuple[int, int, int, int], size: Size) -> dict[str, Any]:
    """Runs of 0 and 1 in turn, row by row of the mask's box (left, top, width, height)."""
    left, top, width, height = place
    counts = [int(word) for word in text.split(",")]
    if sum(counts) != width * height:
        raise ValueError(f"the runs of a mask add up to {sum(counts)}, its box has {width * height} pixels")
    part = np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(height, width)
    whole = np.zeros(size[::-1], np.bool_)
    room = whole[top : top + height, left : left + width]
    room[:] = part[: room.shape[0], : room.shape[1]]
    return run_lengths(whole)
