"""What every annotation tool's file becomes: pictures with their objects, before anybody looks for the recordings."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from xkd.data.prepare.stems import one_form
from xkd.data.text import read_text
from xkd.geometry import Box

Size = tuple[int, int]  # (width, height)

_CORNERS: Final = 64  # of a drawn ellipse


@dataclass(frozen=True)
class Thing:
    """An object in the picture that was annotated. `outline` is a COCO `segmentation`: polygons or run lengths, None without one.

    `ignored`: it, or several like it, is somewhere in the box, so nothing is learned or measured there (crowd, difficult); `name` is
    its class, empty for a region of whatever class.
    """

    name: str
    box: Box
    outline: Any = None
    ignored: bool = False


@dataclass(frozen=True)
class AnnotatedImage:
    """One image of an annotation file. `name` is its path with `/`, from wherever the tool counts; `size` as the file states it, if any.

    `relative` objects are in shares of the picture's width and height, all others in pixels.
    `looked` is whether somebody looked at it, None where the file does not tell: an image without objects may be empty or not yet done.
    """

    name: str
    size: Size | None
    things: tuple[Thing, ...]
    where: str  # the annotation file, for messages
    looked: bool | None = None
    relative: bool = False
    split: str = ""


@dataclass(frozen=True)
class Annotations:
    """All pictures of one or several files. `classes` in the order of the files; `left_out` counts what was not read, by reason."""

    pictures: tuple[AnnotatedImage, ...]
    classes: tuple[str, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def of_pictures(
    pictures: Sequence[AnnotatedImage], classes: Sequence[str] = (), left_out: Mapping[str, int] | None = None, notes: Sequence[str] = ()
) -> Annotations:
    """With the classes of the objects, sorted, where the file has no list of them; names without blanks around them."""
    pictures = [replace(picture, things=tuple(replace(thing, name=_name(thing.name)) for thing in picture.things)) for picture in pictures]
    found = list(dict.fromkeys(map(_name, classes))) or sorted(
        {thing.name for picture in pictures for thing in picture.things if not thing.ignored}
    )
    return Annotations(tuple(pictures), tuple(found), +Counter(left_out or {}), tuple(notes))


def _name(written: str) -> str:
    return one_form(written.strip())


def files_of(places: Iterable[Path], suffix: str) -> list[tuple[Path, Path]]:
    """Each annotation file, with the folder that it was looked for in: files as given, folders with all below; else an error."""
    found = []
    for place in places:
        if not place.exists():
            raise FileNotFoundError(f"{place}: no such file or folder")
        paths = sorted(place.rglob(f"*{suffix}")) if place.is_dir() else [place]
        if not paths:
            raise FileNotFoundError(f"{place}: no file below it ends in {suffix}")
        found += [(path, place if place.is_dir() else path.parent) for path in paths]
    return found


def read_json(path: Path) -> Any:
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: {error}") from error


def plain_path(name: str) -> str:
    """As tools on any system write it, with `/` and without a drive or a root."""
    parts = name.replace("\\", "/").split("/")
    return "/".join(part for part in parts if part not in ("", ".", "..") and not part.endswith(":"))


def box_about(points: Iterable[Sequence[float]]) -> Box:
    """The box about points (x, y)."""
    xs, ys = zip(*((point[0], point[1]) for point in points), strict=True)
    return Box(min(xs), min(ys), max(xs), max(ys))


def flat(points: Iterable[Sequence[float]]) -> list[float]:
    """x1 y1 x2 y2 ... of points, as a polygon of COCO is written."""
    return [float(number) for point in points for number in point[:2]]


def run_lengths(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """A mask (H, W) as COCO's run lengths."""
    pixels = mask.T.ravel().astype(np.int8)
    edges = [0, *(np.flatnonzero(np.diff(pixels)) + 1).tolist(), pixels.size]
    counts = np.diff(edges).tolist()
    return {"size": list(mask.shape), "counts": [0, *counts] if pixels.size and pixels[0] else counts}


def ellipse(centre: tuple[float, float], across: float, down: float) -> list[tuple[float, float]]:
    """An upright ellipse of these half axes as a polygon."""
    turns = [2 * math.pi * step / _CORNERS for step in range(_CORNERS)]
    return [(centre[0] + across * math.cos(turn), centre[1] + down * math.sin(turn)) for turn in turns]
