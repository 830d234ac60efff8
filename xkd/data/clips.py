"""Clips in rows: which frames of a cell a draw takes, so that several sensors meet by time; and whether rows and views fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from zlib import crc32

import numpy as np

from xkd.batch import View
from xkd.data.manifest import Manifest
from xkd.data.rows import Row
from xkd.data.shots import has, shot_of
from xkd.modalities.clip import FPS, STRIP, Clip
from xkd.modality import Modality, Shot

_TIME: Final = "time"
_UNLIKE: Final = 1.2  # times as wide or as high as the view: 4:3 and 3:2 are alike, a strip of 10 frames cut into 8 is not


@dataclass(frozen=True)
class Moment:
    """Of a draw: where clips begin, 0..1 of the places where they have all of their frames, and whether frames are lost, by `key`."""

    key: int
    place: float = 0.5
    lossy: bool = False


@dataclass(frozen=True)
class _Span:
    """The frames of a cell: the first one's time in seconds, how many each second, and how many there are."""

    first: float
    fps: float
    count: int

    @property
    def last(self) -> float:
        return self.first + (self.count - 1) / self.fps


def is_clip(row: Row, name: str) -> bool:
    """Whether the row's cell of a sensor holds a clip."""
    return name in row.files and FPS in row.values.get(name, {})


def side_by_side(row: Row, name: str) -> int:
    """How many frames each file of the row's cell holds."""
    return int(row.values.get(name, {}).get(STRIP, 1))


def has_clips(views: Sequence[View]) -> bool:
    return any(isinstance(sensor, Clip) for view in views for sensor in view.sensors)


def seen_alone(row: Row, sensor: Modality) -> Modality:
    """The sensor for whoever looks at a row without a view: of a clip its middle frame."""
    return Clip(sensor, frames=1, every=1) if is_clip(row, sensor.name) else sensor


def drawn_shot(root: Path, row: Row, sensor: Modality, moment: Moment) -> Shot:
    """What the row holds of the sensor, of a clip the frames of the moment."""
    shot = shot_of(root, row, sensor)
    return replace(shot, frames=_taken(row, sensor, moment)) if isinstance(sensor, Clip) else shot


def _taken(row: Row, clip: Clip, moment: Moment) -> tuple[int, ...]:
    span, (begin, end) = _span(row, clip.name), _shared(row)
    slack = max(0.0, end - begin - clip.every * (clip.frames - 1) / span.fps)
    places = clip.places(span.count, span.fps, begin + moment.place * slack - span.first)
    if moment.lossy and clip.drop > 0:
        lost = np.random.default_rng([moment.key, crc32(clip.name.encode())]).random(clip.frames) < clip.drop
        lost[0] = False
        before = np.maximum.accumulate(np.where(lost, 0, np.arange(clip.frames)))
        places = tuple(places[place] for place in before.tolist())
    if clip.order == "shuffled":
        places = tuple(places[place] for place in np.random.default_rng(moment.key).permutation(clip.frames).tolist())
    return places


def _span(row: Row, name: str) -> _Span:
    stated = row.values[name]
    return _Span(stated.get(_TIME, 0.0), stated[FPS], int(stated.get(STRIP, len(row.files[name]))))


def _shared(row: Row) -> tuple[float, float]:
    """First and last second of what all clips of the row show, whichever of them a view asks for: no view changes another."""
    spans = [_span(row, name) for name in row.files if is_clip(row, name)]
    return max(span.first for span in spans), min(span.last for span in spans)


def extent(row: Row, name: str) -> tuple[float, float]:
    """Of a row's clip of a sensor how many seconds it shares with the row's other clips, and its frames per second."""
    begin, end = _shared(row)
    return max(0.0, end - begin), _span(row, name).fps


def rates(rows: Sequence[Row], view: View) -> dict[str, float | None]:
    """Of a view of clips `fps`, how many frames each second, and `strip`, how many a file holds: None where rows differ or say nothing."""
    if not isinstance(view.modality, Clip):
        return {}
    name = view.modality.name
    stated = [row.values[name] for row in rows if is_clip(row, name)]
    fps, strips = ({values.get(of) for values in stated} for of in (FPS, STRIP))
    strip = strips.pop() if len(strips) == 1 else None
    return {"fps": fps.pop() if len(fps) == 1 else None, "strip": None if strip is None else int(strip)}


def check_clips(manifest: Manifest, rows: Sequence[Row], views: Sequence[View]) -> None:
    """Each view takes clips where rows hold them, and only there; `ValueError` names the row, the view and the remedy."""
    for row in rows:
        for view in views:
            for sensor in view.sensors if has(row, view) else ():
                if isinstance(sensor, Clip) != is_clip(row, sensor.name):
                    raise ValueError(f"{manifest.root / 'manifest.csv'}: row '{row.id}': {_unlike(view, sensor)}")
                if isinstance(sensor, Clip):
                    _check_clip(manifest, row, sensor)


def _unlike(view: View, sensor: Modality) -> str:
    name = sensor.name
    if isinstance(sensor, Clip):
        return (
            f"view '{view.name}' takes clips, and the row does not state {name}.{FPS}, the frames per second of its files: fill the column"
        )
    return f"holds a clip ({name}.{FPS} is stated), and view '{view.name}' takes pictures: Clip(sensor, frames=1) takes the middle frame"


def _check_clip(manifest: Manifest, row: Row, clip: Clip) -> None:
    here = f"{manifest.root / 'manifest.csv'}: row '{row.id}'"
    if clip.name in manifest.registrations and STRIP in row.values[clip.name]:
        raise ValueError(f"{here}: a strip cannot be registered, [registration.{clip.name}] is of single frames: write them as files")
    begin, end = _shared(row)
    if end < begin:
        spans = {name: _span(row, name) for name in row.files if is_clip(row, name)}
        told = ", ".join(f"{name} {span.first:g} to {span.last:g} s" for name, span in spans.items())
        raise ValueError(f"{here}: its clips share no time: {told}; correct the columns NAME.{_TIME}, or leave one cell empty")


def check_strip(path: Path, clip: Clip, frame: tuple[int, int], size: tuple[int, int]) -> None:
    """`ValueError` where a lone file, cut into the clip's frames, gives a `frame` (height, width) of another shape than the view's."""
    (height, width), (high, wide) = frame, size
    if not 1 / _UNLIKE <= (width / height) / (wide / high) <= _UNLIKE:
        raise ValueError(
            f"{path}: the network takes strips of {clip.frames} frames side by side, each of about the shape of {wide}x{high};"
            f" cut so, this one's are {width}x{height}: it holds another number of frames. Rows of a data set say how many"
            f" ({clip.name}.{STRIP}), and a folder of `xkd export --out` takes such strips"
        )
