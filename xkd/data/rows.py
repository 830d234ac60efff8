"""Rows of a manifest: each cell parsed and verified, or the error names the line, the row and what is legal."""

from __future__ import annotations

import csv
import gc
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Final, NamedTuple

from xkd.batch import Number
from xkd.data.numbers import parse_numbers
from xkd.data.ranges import expanded
from xkd.geometry import Box
from xkd.modality import Modality

SPLITS: Final = ("train", "val", "test")
NONE: Final = "-"
IGNORED: Final = "!"  # the class of a box in which something is, and nobody knows where exactly
ANY: Final = "*"  # the class of a box of which only the place is known
REQUIRED: Final = ("id", "split", "group")
OPTIONAL: Final = ("label", "mask", "crop", "boxes", "box_scores", "calibration")
_TIME: Final = "time"
_FPS, _STRIP = "fps", "frames"  # of clips
_OUTSIDE: Final = re.compile(r"^/|:|(^|/)\.\.(/|$)")
_NOTHING: Final[Mapping[str, Mapping[str, float]]] = {}  # of rows that state nothing; a read-only view cannot be pickled


@dataclass(frozen=True, slots=True)
class Row:
    """One sample. `labels` and `boxes` are None where nobody looked, empty where there is none; nothing is known within `ignored`."""

    id: str
    split: str
    group: str
    files: Mapping[str, tuple[str, ...]]  # sensor -> paths below the root; a sensor that the row lacks is not in it
    calibration: str  # path below the root, or ""
    values: Mapping[str, Mapping[str, float]]  # sensor -> what the row states of its shot, such as its time in seconds
    labels: tuple[str, ...] | None
    mask: str  # path below the root, or ""
    crop: Box | None
    boxes: tuple[tuple[Box, str], ...] | None
    scores: tuple[float, ...]  # of the boxes, 0..1, where a detector drew them
    meta: Mapping[str, str]  # id, group and the manifest's further columns
    ignored: tuple[Box, ...] = ()
    numbers: tuple[float, ...] = ()  # in the place of classes, where the data set is labelled with numbers; `labels` is then () or None


@dataclass(frozen=True)
class Pairs:
    """Whether the images of a row have one size; if not, `size` (width, height) is the frame that crops and boxes are given in.

    Sensors of a row whose times differ by more than `max_time_offset` seconds did not see the same thing.
    """

    same_size: bool = True
    size: tuple[int, int] | None = None
    max_time_offset: float = float("inf")


@dataclass(frozen=True)
class Schema:
    """What manifest.toml says that a row has to keep to."""

    classes: tuple[str, ...]
    multilabel: bool
    modalities: Mapping[str, Modality]
    has_mask: bool
    pairs: Pairs
    numbers: tuple[Number, ...] = ()


class _Columns(NamedTuple):
    """What the header says once for all rows."""

    stated: tuple[tuple[str, str, str], ...]  # column, sensor, key of each `SENSOR.KEY`
    carried: tuple[str, ...]  # columns that become `Row.meta`


@contextmanager
def _without_collector() -> Iterator[None]:
    """Millions of small objects that all stay make Python's cycle collector look at them again and again, for half of the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def read_rows(path: Path, schema: Schema) -> tuple[Row, ...]:
    """Every row of the CSV file; `FileNotFoundError` or `ValueError` names the file, the line, the row and what is legal."""
    try:
        with _without_collector():
            return tuple(_rows(path, schema))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: not a table in UTF-8, separated by commas: {error}") from error


def _rows(path: Path, schema: Schema) -> Iterator[Row]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; it lists the samples, one per row")
    splits: dict[str, str] = {}
    seen: set[str] = set()
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = csv.reader(file)
        header = next(lines, [])
        _check_header(path, header, schema)
        columns = _columns(header, schema)
        for line in lines:
            try:
                if len(line) != len(header):
                    raise ValueError(f"{len(line)} cells where the header has {len(header)}")
                row = _row(dict(zip(header, line, strict=True)), columns, schema)
                if not row.id or row.id in seen:
                    raise ValueError("an id must be unique and not empty")
                if splits.setdefault(row.group, row.split) != row.split:
                    raise ValueError(f"group '{row.group}' straddles splits '{splits[row.group]}' and '{row.split}'")
            except ValueError as error:
                raise ValueError(f"{path}, line {lines.line_num}, row '{line[0] if line else ''}': {error}") from error
            seen.add(row.id)
            yield row
    if not seen:
        raise ValueError(f"{path}: no rows")


def _columns(header: list[str], schema: Schema) -> _Columns:
    known = (*REQUIRED[1:2], *OPTIONAL, *schema.modalities)
    dotted = [(column, *column.partition(".")[::2]) for column in header]
    stated = tuple(entry for entry in dotted if entry[2] and entry[1] in schema.modalities)
    carried = tuple(column for column in header if column not in known and column not in [entry[0] for entry in stated])
    return _Columns(stated, carried)


def _check_header(path: Path, header: list[str], schema: Schema) -> None:
    needed = (*REQUIRED, *schema.modalities)
    if missing := [name for name in needed if name not in header]:
        raise ValueError(f"{path}: missing column '{missing[0]}'; needed are {list(needed)}, found are {header}")
    if len(set(header)) < len(header):
        raise ValueError(f"{path}: a column is there twice: {header}")
    for column in header:
        name, dot, key = column.partition(".")
        if dot and name in schema.modalities and key not in (legal := (*schema.modalities[name].row_keys, _TIME, _FPS, _STRIP)):
            raise ValueError(f"{path}: column '{column}' is not known; a row may state {[f'{name}.{key}' for key in legal]}")
    if "mask" in header and not schema.has_mask:
        raise ValueError(f"{path}: has a column 'mask', so manifest.toml needs [mask] with values and positive")
    if not schema.pairs.same_size and schema.pairs.size is None and {"crop", "boxes"} & set(header):
        raise ValueError(f"{path}: crop and boxes of images that differ in size need [pairs] size = [width, height] in manifest.toml")


def _row(cells: dict[str, str], columns: _Columns, schema: Schema) -> Row:
    if cells["split"] not in SPLITS:
        raise ValueError(f"unknown split '{cells['split']}'; legal are {list(SPLITS)}")
    if not cells["group"]:
        raise ValueError("group is empty; give each capture unit (plant, scene, drive) a name, or repeat the id")
    boxes, ignored = _boxes(cells.get("boxes", ""), schema)
    numbers = parse_numbers(cells.get("label", ""), schema.numbers) if schema.numbers else ()
    return Row(
        id=cells["id"],
        split=cells["split"],
        group=cells["group"],
        files={name: tuple(map(_inside, expanded(cells[name]))) for name in schema.modalities if cells[name]},
        calibration=_inside(cells.get("calibration", "")),
        values=_values(cells, columns.stated, schema) if columns.stated else _NOTHING,
        labels=(() if numbers else None) if schema.numbers else _labels(cells.get("label", ""), schema),
        mask=_inside(cells.get("mask", "")),
        crop=_box(cells["crop"].split()) if cells.get("crop") else None,
        boxes=boxes,
        scores=_scores(cells.get("box_scores", ""), len(boxes or ())),
        meta={column: cells[column] for column in columns.carried},
        ignored=ignored,
        numbers=numbers,
    )


def _values(cells: dict[str, str], stated: tuple[tuple[str, str, str], ...], schema: Schema) -> dict[str, dict[str, float]]:
    values: dict[str, dict[str, float]] = {}
    for column, name, key in stated:
        if cells[column]:
            values.setdefault(name, {})[key] = _number(column, cells[column])
            _check_clip(column, key, values[name][key])
    times = {name: numbers[_TIME] for name, numbers in values.items() if _TIME in numbers and cells[name]}
    if times and max(times.values()) - min(times.values()) > schema.pairs.max_time_offset:
        raise ValueError(
            f"sensors are {max(times.values()) - min(times.values()):g} seconds apart: {times}; "
            f"[pairs] max_time_offset is {schema.pairs.max_time_offset:g}: pair other files, or leave one sensor's cell empty"
        )
    return values


def _check_clip(column: str, key: str, value: float) -> None:
    if key == _FPS and value <= 0:
        raise ValueError(f"{column} is {value:g}, write how many frames there are each second, above 0")
    if key == _STRIP and (value < 1 or value % 1):
        raise ValueError(f"{column} is {value:g}, write how many frames the file holds side by side, a whole number from 1 on")


def _number(column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise ValueError(f"{column} is '{text}', write a number") from error
    if not isfinite(value):
        raise ValueError(f"{column} is '{text}', write a finite number")
    return value


def _inside(path: str) -> str:
    """A path below the data set's folder with `/`, whichever system wrote it."""
    path = path.replace("\\", "/")
    if _OUTSIDE.search(path):
        raise ValueError(f"path '{path}' must be relative, with '/' and without '..', so that it stays below the data set's folder")
    return path


def _labels(text: str, schema: Schema) -> tuple[str, ...] | None:
    if not text:
        return None
    if text == NONE and schema.multilabel:
        return ()
    labels = tuple(part.strip() for part in text.split(";")) if schema.multilabel else (text,)
    for label in labels:
        _known_class(label, schema)
    return labels


def _known_class(label: str, schema: Schema) -> None:
    if label not in schema.classes:
        raise ValueError(f"unknown class '{label}'; manifest.toml has {list(schema.classes)}")


def _box(words: list[str]) -> Box:
    try:
        box = Box(*map(float, words))
    except (ValueError, TypeError) as error:
        raise ValueError(f"'{' '.join(words)}' is not a box; write x1 y1 x2 y2 in pixels") from error
    if not (0 < box.x2 - box.x1 < float("inf") and 0 < box.y2 - box.y1 < float("inf")):
        raise ValueError(f"box '{' '.join(words)}' is empty or not finite; write x1 y1 x2 y2 with x1 < x2 and y1 < y2")
    return box


def _boxes(text: str, schema: Schema) -> tuple[tuple[tuple[Box, str], ...] | None, tuple[Box, ...]]:
    """Boxes with their classes, and regions to ignore."""
    if not text:
        return None, ()
    boxes = []
    for part in [] if text == NONE else text.split(";"):
        words = part.split(None, 4)
        if len(words) < 5:
            raise ValueError(f"box '{part.strip()}' is malformed; write x1 y1 x2 y2 class, joined by ';'")
        if words[4].strip() not in (ANY, IGNORED):
            _known_class(words[4].strip(), schema)
        boxes.append((_box(words[:4]), words[4].strip()))
    return tuple(one for one in boxes if one[1] != IGNORED), tuple(box for box, name in boxes if name == IGNORED)


def _scores(text: str, count: int) -> tuple[float, ...]:
    scores = tuple(_number("box_scores", part) for part in text.split(";")) if text else ()
    if scores and (len(scores) != count or not all(0 <= score <= 1 for score in scores)):
        raise ValueError(f"box_scores '{text}' must be one number in 0..1 for each of the {count} boxes, joined by ';'")
    return scores
