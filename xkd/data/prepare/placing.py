"""In which frame objects were drawn, and how they get into the frame of a data set: scaled, turned, or refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from xkd.data.prepare.annotated import AnnotatedImage, Size
from xkd.data.prepare.records import File
from xkd.geometry import Box

Shown = Literal["", "shown", "stored"]
_ORIENTATION: Final = 0x0112  # EXIF
_UPRIGHT: Final = 1
_LYING: Final = (5, 6, 7, 8)  # orientations that exchange width and height
_MIRRORED: Final = (2, 4, 5, 7)
_TURNS: Final = {1: 0, 2: 0, 3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}  # quarter turns to the left, after mirroring left and right


class ShownSize(NamedTuple):
    """(width, height) of a file as it is shown, and its EXIF orientation."""

    size: Size
    orientation: int = _UPRIGHT

    @property
    def stored(self) -> Size:
        return (self.size[1], self.size[0]) if self.orientation in _LYING else self.size


@dataclass(frozen=True)
class Placement:
    """From a picture of `drawn` (width, height), turned by the EXIF `orientation`, to a frame of `frame`."""

    drawn: Size
    frame: Size
    orientation: int = _UPRIGHT

    def box(self, box: Box) -> Box:
        width, height = self.drawn
        corners = np.array([[box.x1, box.y1], [box.x2, box.y2]], np.float64) / (width, height)
        x, y = corners.T
        if self.orientation in _MIRRORED:
            x = 1 - x
        for _ in range(_TURNS[self.orientation]):
            x, y = y, 1 - x
        x, y = np.sort(x) * self.frame[0], np.sort(y) * self.frame[1]
        return Box(float(x[0]), float(y[0]), float(x[1]), float(y[1]))

    def codes(self, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A mask (H, W) of codes; a scaled one takes the nearest pixel."""
        if self.orientation in _MIRRORED:
            codes = codes[:, ::-1]
        codes = np.ascontiguousarray(np.rot90(codes, _TURNS[self.orientation]))
        if codes.shape[::-1] == self.frame:
            return codes
        return np.asarray(cv2.resize(codes, self.frame, interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)


def look(path: Path) -> ShownSize | None:
    """What the header says, None where it says no size; as OpenCV turns it, which does not look into XMP."""
    try:
        with Image.open(path) as header:
            exif = Image.Exif()
            exif.load(header.info.get("exif", b""))
            width, height = header.size
            orientation = int(exif.get(_ORIENTATION, _UPRIGHT))
            return ShownSize((height, width) if orientation in _LYING else (width, height), orientation)
    except (Image.DecompressionBombError, OSError, ValueError, SyntaxError):
        pass
    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            return ShownSize((int(page.imagewidth), int(page.imagelength)))
    except Exception:  # what tifffile raises for a damaged file is of every kind; reading the file says what is wrong
        return None


@dataclass(frozen=True)
class Drawn:
    """The sensor that was annotated, the frame of all rows (None where each has its own), a placement per picture, and what to say."""

    column: str
    frame: Size | None
    placements: tuple[Placement | None, ...]
    notes: tuple[str, ...]


def find_frame(
    pictures: Sequence[tuple[AnnotatedImage, Mapping[str, tuple[File, ...]]]], sensors: Sequence[str], named: str, turned: Shown
) -> Drawn:
    """Which sensor's files the pictures' sizes are those of, and where their objects belong.

    A sensor fits if all of its files have the sizes that were annotated, or the same proportions; turned as shown or as stored. Objects
    stay in the frame in which they were drawn where that is one for all rows; else each goes into its row's frame. `ValueError` gives the
    sizes where no sensor fits, or not the `named` one.
    """
    if named and named not in sensors:
        raise ValueError(f"--annotated {named}: no such sensor; there are {list(sensors)}")
    looks = [{column: look(files[column][0].path) for column in sensors if column in files} for _, files in pictures]
    sized = [
        (picture, {column: seen for column, seen in of_row.items() if seen}) for (picture, _), of_row in zip(pictures, looks, strict=True)
    ]
    candidates = [named] if named else list(sensors)
    for exact in (True, False):
        for column in candidates:
            if all(_fits(picture.size, of_row[column], exact) for picture, of_row in sized if column in of_row) and any(
                column in of_row for _, of_row in sized
            ):
                return _drawn(column, sized, sensors[0], turned)
    raise ValueError(_refusal(sized, candidates, bool(named)))


def _fits(drawn: Size | None, seen: ShownSize, exact: bool) -> bool:
    if drawn is None:
        return True
    return any(drawn == size if exact else _alike(drawn, size) for size in (seen.size, seen.stored))


def _alike(one: Size, other: Size) -> bool:
    """Of the same proportions, but for rounding."""
    return abs(one[0] * other[1] - one[1] * other[0]) <= max(*one, *other)


def _refusal(sized: Sequence[tuple[AnnotatedImage, Mapping[str, ShownSize]]], candidates: Sequence[str], named: bool) -> str:
    for picture, of_row in sized:
        for column in candidates:
            if picture.size and column in of_row and not _fits(picture.size, of_row[column], exact=False):
                files = ", ".join(f"{name} {seen.size[0]}x{seen.size[1]}" for name, seen in of_row.items())
                return (
                    f"{picture.where}: image '{picture.name}' was annotated at {picture.size[0]}x{picture.size[1]}, its files are {files}:"
                    f" other proportions, so its objects have no place there. Give the files that were annotated"
                    + (", or another sensor to --annotated" if named else ", as a --sensor of their own")
                )
    return f"no file of {list(candidates)} has a size that its header tells, so nothing says where the annotated objects belong"


def _drawn(column: str, sized: Sequence[tuple[AnnotatedImage, Mapping[str, ShownSize]]], first: str, turned: Shown) -> Drawn:
    orientations = _orientations(column, sized, turned)
    upright: list[Size | None] = []  # as drawn, turned as it is shown
    for (picture, of_row), orientation in zip(sized, orientations, strict=True):
        seen = of_row.get(column)
        drawn = picture.size or (seen and (seen.stored if orientation in _LYING else seen.size))
        upright.append(drawn and ((drawn[1], drawn[0]) if orientation in _LYING else drawn))
    sizes = set(upright) - {None}
    frame = next(iter(sizes)) if len(sizes) == 1 else None
    of_first = {of_row[first].size for _, of_row in sized if first in of_row}
    placements: list[Placement | None] = []
    scaled = 0
    for (_, of_row), orientation, size in zip(sized, orientations, upright, strict=True):
        if size is None:
            placements.append(None)
            continue
        own = of_row[first].size if first in of_row else next(iter(of_first)) if len(of_first) == 1 else None
        target = frame or own or next(iter(of_row.values()), ShownSize(size)).size
        scaled += target != size
        placements.append(Placement((size[1], size[0]) if orientation in _LYING else size, target, orientation))
    return Drawn(column, frame, tuple(placements), tuple(_notes(column, sized, frame, orientations, scaled)))


def _orientations(column: str, sized: Sequence[tuple[AnnotatedImage, Mapping[str, ShownSize]]], turned: Shown) -> list[int]:
    """By which each picture is to be turned: its file's where the tool showed it as it is stored."""
    verdicts: list[str] = []
    for picture, of_row in sized:
        seen = of_row.get(column)
        if seen is None or seen.orientation == _UPRIGHT:
            verdicts.append("")
            continue
        as_shown, as_stored = (picture.size is None or _alike(picture.size, size) for size in (seen.size, seen.stored))
        verdicts.append("either" if as_shown and as_stored else "shown" if as_shown else "stored")
    known = {verdict for verdict in verdicts if verdict in ("shown", "stored")}
    doubt = turned or (known.pop() if len(known) == 1 else "")
    if "either" in verdicts and not doubt:
        picture = sized[verdicts.index("either")][0]
        raise ValueError(
            f"{picture.where}: {verdicts.count('either')} files such as '{picture.name}' are stored turned (EXIF orientation), and sizes do"
            " not tell how the tool showed them: --turned shown (browsers and most tools turn them), or --turned stored"
        )
    used = [doubt if verdict == "either" else verdict for verdict in verdicts]
    return [of_row[column].orientation if verdict == "stored" else _UPRIGHT for verdict, (_, of_row) in zip(used, sized, strict=True)]


def _notes(
    column: str,
    sized: Sequence[tuple[AnnotatedImage, Mapping[str, ShownSize]]],
    frame: Size | None,
    orientations: Sequence[int],
    scaled: int,
) -> list[str]:
    notes = []
    if turned := sum(orientation != _UPRIGHT for orientation in orientations):
        notes.append(f"objects of {turned} images were drawn on pixels as they are stored (EXIF orientation): they were turned with them")
    others = Counter((name, seen.size) for _, of_row in sized for name, seen in of_row.items() if frame and seen.size != frame)
    if frame and others:
        listed = ", ".join(f"{name} {width}x{height}" for (name, (width, height)), _ in others.most_common(4))
        whose = "no sensor's own" if any(name == column for name, _ in others) else f"that of {column}"
        notes.append(
            f"boxes, crops and masks are in a frame of {frame[0]}x{frame[1]} ([pairs] size), {whose}; they are scaled to {listed} where"
            " those are read, which must show the same field of view"
        )
    if scaled:
        notes.append(f"objects of {scaled} images were drawn at another size than their files': boxes and masks were scaled to these")
    return notes
