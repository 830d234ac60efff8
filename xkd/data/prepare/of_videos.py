"""A data set of clips from a folder of videos: frames written once, a row per stretch, all of it or nothing."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from xkd.data.prepare.arrays import COUNT, ZERO, ArrayClock, ArraySequence
from xkd.data.prepare.assign import assigned
from xkd.data.prepare.make import DECISIONS, Made, Order, decisions, safe
from xkd.data.prepare.measure import MOST_ROWS, measure
from xkd.data.prepare.records import File, Record
from xkd.data.prepare.stretches import Sliding, Stretch, merged, read_stretches
from xkd.data.prepare.toml import to_toml
from xkd.data.prepare.video import VIDEOS, Frame, extract, last_place, shrunk
from xkd.data.write import new_dataset, write_rows
from xkd.modalities.counts import usual_span, widened
from xkd.modality import Shot

RGB, THERMAL = "rgb", "thermal"  # columns
_QUALITY: Final = 95  # of JPEGs
_SKIP: Final = "or leave it out with --on-broken skip"


@dataclass(frozen=True)
class Videos:
    """What is asked of a folder: which stretches, on which grid, how large, and where arrays lie beside it."""

    root: Path
    stretches: Path | Sliding
    fps: float = 8.0
    longest: int = 0
    frames: int = 8  # that a network will take
    classes: tuple[str, ...] = ()
    arrays: Path | None = None
    clock: ArrayClock = field(default_factory=ArrayClock)

    def __post_init__(self) -> None:
        if not 0 < self.fps < float("inf") or self.longest < 0 or self.frames < 1:
            raise ValueError(
                f"--fps is above 0, --longest 0 or more pixels, --frames 1 or more; got {self.fps:g}, {self.longest}, {self.frames}"
            )

    def sliding(self, last: float) -> list[Stretch]:
        """The windows of a recording that ends at this second; none where a table says which stretches there are."""
        return self.stretches.within(last) if isinstance(self.stretches, Sliding) else []

    @property
    def found(self) -> dict[Path, str]:
        """The videos and their names below the folder, in order; `FileNotFoundError` where there is none."""
        paths = sorted(path for path in self.root.rglob("*") if path.suffix.lower() in VIDEOS)
        if not paths:
            raise FileNotFoundError(f"{self.root}: no video in this folder; looked for {', '.join(VIDEOS)}")
        return {path: path.relative_to(self.root).as_posix() for path in paths}


@dataclass
class _Draft:
    """What has been written so far."""

    folder: Path
    records: list[Record] = field(default_factory=list)
    cells: dict[str, dict[str, str]] = field(default_factory=dict)  # of a row's id
    left_out: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    short: int = 0
    without: int = 0


def make_clips(videos: Videos, order: Order, tick: Callable[[], Any] = lambda: None) -> Made:
    """Write the data set; `tick` is called after each decoded frame. `ValueError` or `FileNotFoundError` names file or line."""
    found = videos.found
    names = {path: safe(str(Path(name).with_suffix(""))) for path, name in found.items()}
    if twice := [name for name, number in Counter(names.values()).items() if number > 1]:
        raise ValueError(f"{videos.root}: two videos would be called '{twice[0]}'; rename one")
    table = None if isinstance(videos.stretches, Sliding) else read_stretches(videos.stretches, found)
    with new_dataset(order.out) as folder:
        draft = _Draft(folder)
        for path, name in names.items():
            if table is not None and path not in table:
                draft.left_out["video without a line in the table"] += 1
                continue
            try:
                _add(draft, videos, path, name, table, order, tick)
            except ValueError as error:
                if order.on_broken == "stop":
                    raise
                draft.left_out["video that cannot be read"] += 1
                draft.notes.append(f"left out: {error}")
                for column in (RGB, THERMAL):
                    shutil.rmtree(folder / column / name, ignore_errors=True)
        return _finish(draft, videos, order)


def _add(
    draft: _Draft,
    videos: Videos,
    path: Path,
    name: str,
    table: Mapping[Path, Sequence[Stretch]] | None,
    order: Order,
    tick: Callable[[], Any],
) -> None:
    """The frames and the rows of one video."""

    def write(place: int, image: Frame) -> None:
        target = draft.folder / _file(RGB, name, place)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not cv2.imwrite(str(target), shrunk(image, videos.longest), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]):
            raise OSError(f"{target}: could not be written")

    decoded = extract(path, videos.fps, count() if table is None else merged(table[path], videos.fps), write, tick)
    array = _array(videos, path)
    if array is not None:
        array.check_overlap(path, decoded.last)
    draft.notes += [decoded.told] if decoded.told else []
    rows = []
    for stretch in videos.sliding(decoded.last) if table is None else table[path]:
        if videos.classes and stretch.label and stretch.label not in videos.classes:
            draft.left_out["line with another class"] += 1
        elif why := _missing(stretch, videos.fps, decoded.last):
            if order.on_broken == "stop":
                raise ValueError(f"{stretch.where}: {stretch.start:g} to {stretch.end:g} s of {path.name} {why}: correct it, {_SKIP}")
            draft.left_out["stretch outside of its video"] += 1
        else:
            rows.append(stretch)
    for number, stretch in enumerate(rows):
        _row(draft, videos, f"{name.replace('/', '-')}-{number:04d}", name, stretch, path, array)


def _missing(stretch: Stretch, fps: float, last: float) -> str:
    """Why a stretch cannot be shown, or ""."""
    places = stretch.places(fps)
    if places and places[-1] > last_place(last, fps):
        return f"lies outside of it, whose frames end at {last:.2f} s"
    return "" if places else f"holds no frame at {fps:g} per second"


def _row(draft: _Draft, videos: Videos, row: str, name: str, stretch: Stretch, path: Path, array: ArraySequence | None) -> None:
    places = stretch.places(videos.fps)
    draft.short += len(places) < videos.frames
    cells = {RGB: _range(RGB, name, places), f"{RGB}.time": f"{places[0] / videos.fps:.4f}", f"{RGB}.fps": f"{videos.fps:g}"}
    files = {RGB: _looked_at(draft.folder, RGB, name, places, path.relative_to(videos.root).as_posix())}
    seen = stretch.places(array.fps) if array is not None else range(0)
    if array is not None and array.reaches(seen):
        for place in seen:
            if not (target := draft.folder / _file(THERMAL, name, place)).exists():
                array.write(place, target)
        cells |= {
            THERMAL: _range(THERMAL, name, seen),
            f"{THERMAL}.time": f"{seen[0] / array.fps:.4f}",
            f"{THERMAL}.fps": f"{array.fps:.4f}",
        }
        files[THERMAL] = _looked_at(draft.folder, THERMAL, name, seen, array.path.name)
    draft.without += array is not None and THERMAL not in files
    labels = (stretch.label,) if stretch.label else None
    draft.records.append(Record(row, files, name, stretch.group or name, stretch.split, labels))
    draft.cells[row] = cells


def _finish(draft: _Draft, videos: Videos, order: Order) -> Made:
    if not draft.records:
        raise ValueError(f"{videos.root}: no clip is left of its videos; left out: {dict(draft.left_out)}, {draft.notes}")
    if draft.short:
        draft.notes.append(
            f"{draft.short} clips have fewer than {videos.frames} frames: Clip(frames={videos.frames}) repeats their last one"
        )
    if draft.without:
        draft.notes.append(f"{draft.without} clips have no {THERMAL}: its times do not reach them, or frames are missing")
    records = assigned(draft.records, order.splitting, draft.left_out, draft.notes)
    columns = tuple(column for column in (RGB, THERMAL) if any(column in record.files for record in records))
    classes = videos.classes or tuple(sorted({label for record in records for label in record.labels or ()}))
    table: dict[str, Any] = {"name": order.name, "licence": order.licence, "source": order.source, "labels": "single"}
    table |= {"classes": list(classes), "modalities": {column: _sensor(column, records) for column in columns}}
    if THERMAL in columns:
        table["pairs"] = {"same_size": False}
    (draft.folder / "manifest.toml").write_text(to_toml(table, {}), "utf-8")
    blank = {key: "" for column in columns for key in (column, f"{column}.time", f"{column}.fps")}
    write_rows(
        draft.folder,
        [
            {"id": one.id, "split": one.split, "group": one.group, **blank, **draft.cells[one.id], "label": ";".join(one.labels or ())}
            for one in records
        ],
    )
    (draft.folder / DECISIONS).write_text(decisions(order, +draft.left_out, draft.notes), "utf-8")
    return Made(order.out, tuple(records), columns, classes, (), +draft.left_out, tuple(draft.notes))


def _sensor(column: str, records: Sequence[Record]) -> dict[str, Any]:
    """Its table, with mean and standard deviation of the first, the middle and the last frame of train rows."""
    train = [file.path for record in records if record.split == "train" for file in record.files.get(column, ())]
    if not train:
        raise ValueError(f"no row of split 'train' has '{column}'; it cannot be normalised or learned from: see --split and --clock")
    shots = [Shot((path,)) for path in train[:: -(-len(train) // MOST_ROWS)]]
    table: dict[str, Any] = {"sensor": column}
    if column == THERMAL:
        images = [np.asarray(cv2.imread(str(shot.only), cv2.IMREAD_UNCHANGED)) * COUNT - ZERO for shot in shots]
        table |= {"unit": "degC", "scale": COUNT, "offset": -ZERO, "range": widened(*usual_span(images))}
    known = measure(column, table, shots).normalisation
    assert known is not None  # the table states none
    return table | {"mean": known.mean, "std": known.std}


def _array(videos: Videos, path: Path) -> ArraySequence | None:
    if videos.arrays is None:
        return None
    return ArraySequence.beside(videos.arrays, path.relative_to(videos.root).with_suffix("").as_posix(), videos.clock)


def _looked_at(folder: Path, column: str, name: str, places: range, source: str) -> tuple[File, ...]:
    """The frames that are measured, with the name of the recording."""
    return tuple(File(folder / _file(column, name, place), source) for place in (places[0], places[len(places) // 2], places[-1]))


def _file(column: str, name: str, place: int) -> str:
    return f"{column}/{name}/{place:06d}.{'jpg' if column == RGB else 'png'}"


def _range(column: str, name: str, places: range) -> str:
    return f"{column}/{name}/{{{places[0]:06d}..{places[-1]:06d}}}.{'jpg' if column == RGB else 'png'}"
