"""Make the data set of what was found: groups, splits, normalisation, files, manifest; all of it, or nothing."""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal

import cv2

from xkd.batch import Number
from xkd.data.prepare.assign import Splitting, assigned
from xkd.data.prepare.header import completed, measured
from xkd.data.prepare.readable import readable
from xkd.data.prepare.records import Contents, File, Record
from xkd.data.prepare.stems import one_form
from xkd.data.prepare.toml import to_toml
from xkd.data.rows import IGNORED, NONE
from xkd.data.write import new_dataset, write_rows
from xkd.geometry import Box
from xkd.modalities.calibration import write_calibration
from xkd.modality import Shot

Link = Literal["copy", "symlink", "hardlink"]
_MASKS: Final = "mask"
_CALIBRATIONS: Final = "calibration"
DECISIONS: Final = "prepared.md"  # what was decided for the person who made the data set


@dataclass(frozen=True)
class Order:
    """How the data set at `out` is made."""

    out: Path
    name: str
    licence: str
    source: str
    link: Link = "copy"
    splitting: Splitting = field(default_factory=Splitting)
    on_broken: Literal["stop", "skip"] = "stop"  # "skip" reads every file and leaves out those that cannot be
    words: str = ""  # the command
    said: tuple[str, ...] = ()  # before it is made


@dataclass(frozen=True)
class Made:
    """What is in the data set now."""

    out: Path
    records: tuple[Record, ...]
    sensors: tuple[str, ...]
    classes: tuple[str, ...]
    numbers: tuple[Number, ...]
    left_out: Mapping[str, int]
    notes: tuple[str, ...]


def make(contents: Contents, order: Order) -> Made:
    """Write the data set. Raises what `new_dataset` does, and `ValueError` naming the sensor, the row or the file."""
    left_out = Counter(contents.left_out)
    notes: list[str] = []
    records = assigned(contents.records, order.splitting, left_out, notes)
    train = [record for record in records if record.split == "train"]
    if not train:
        raise ValueError("no row is in split 'train'; there is nothing to learn from")
    notes = [*contents.notes, *notes]
    with new_dataset(order.out) as draft:
        for record in records:
            _write_made(draft, record)
        shot = partial(_shot, draft)
        contents = completed(contents, train, shot, notes)
        if order.on_broken == "skip":
            records = readable(contents, records, shot, left_out, notes)
            train = [record for record in records if record.split == "train"]
        tables, comments, pairs = measured(contents, train, shot, notes)
        _write_toml(draft, contents, order, tables, comments, pairs)
        _place(draft, records, order.link)
        write_rows(draft, _cells(contents, records))
        (draft / DECISIONS).write_text(decisions(order, +left_out, notes), "utf-8")
    return Made(order.out, tuple(records), tuple(contents.sensors), contents.classes, contents.numbers, +left_out, tuple(notes))


def decisions(order: Order, left_out: Mapping[str, int], notes: Sequence[str]) -> str:
    """What was guessed, taken, scaled, turned and left out."""
    lines = [f"# How {order.name} was prepared", ""]
    lines += [f"    {order.words}", ""] if order.words else []
    lines += [f"- {note}" for note in (*order.said, *notes)]
    lines += [f"- left out: {number} x {reason}" for reason, number in left_out.items()]
    return "\n".join(lines) + "\n"


def safe(name: str) -> str:
    """A relative path with letters, digits, `_`, `-`, `.` and `/` alone."""
    return re.sub(r"[^\w./-]", "_", one_form(name))


def _write_made(draft: Path, record: Record) -> None:
    """The row's mask and calibration; rows of one frame share the latter."""
    if record.mask is not None:
        path = draft / _mask_name(record)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and record.crop is not None:
            return  # another crop of the frame
        if path.exists():
            raise ValueError(f"row '{record.id}': another row's mask is called {_mask_name(record)} already; give them plainer names")
        whole, data = cv2.imencode(".png", record.mask())
        assert whole
        path.write_bytes(data.tobytes())
    if record.calibration is not None and not (path := draft / _calibration_name(record)).exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_calibration(path, record.calibration())


def _mask_name(record: Record) -> str:
    return f"{_MASKS}/{safe(record.frame if record.crop is not None else record.id)}.png"


def _calibration_name(record: Record) -> str:
    return f"{_CALIBRATIONS}/{safe(record.frame)}.json"


def _shot(draft: Path, record: Record, column: str) -> Shot:
    return Shot(
        tuple(file.path for file in record.files[column]), draft / _calibration_name(record) if record.calibration is not None else None
    )


def _write_toml(
    draft: Path, contents: Contents, order: Order, tables: Mapping[str, Any], comments: Mapping[str, str], pairs: Mapping[str, Any]
) -> None:
    table: dict[str, Any] = {
        "name": order.name,
        "licence": order.licence,
        "source": order.source,
        "labels": "number" if contents.numbers else "multi" if contents.multilabel else "single",
        "classes": list(contents.classes),
        "modalities": tables,
    }
    if contents.numbers:
        table["numbers"] = {number.name: {"unit": number.unit, "range": list(number.range)} for number in contents.numbers}
    if contents.mask is not None:
        table["mask"] = {"positive": list(contents.mask.positive), "values": dict(contents.mask.values)}
    if pairs:
        table["pairs"] = pairs
    (draft / "manifest.toml").write_text(to_toml(table, comments), "utf-8")


def _place(draft: Path, records: Sequence[Record], link: Link) -> None:
    """Each file below its sensor's folder, once; `ValueError` where two get one name."""
    placed: dict[str, Path] = {}
    for record in records:
        for column, files in record.files.items():
            for file in files:
                name = _file_name(column, file)
                if placed.setdefault(name, file.path) != file.path:
                    raise ValueError(f"{placed[name]} and {file.path} would both be called {name} in the data set; rename one of them")
    for name, path in placed.items():
        target = draft / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if link == "symlink":
            target.symlink_to(path.absolute())
        elif link == "hardlink":
            os.link(path.resolve(), target)
        else:
            shutil.copyfile(path, target)


def _file_name(column: str, file: File) -> str:
    return str(PurePosixPath(column) / safe(file.name))


def _cells(contents: Contents, records: Sequence[Record]) -> list[dict[str, str]]:
    """The rows of manifest.csv: columns that no row fills are left out, but for the sensors'."""
    further = list(dict.fromkeys(column for record in records for column in record.extra))
    rows = []
    for record in records:
        cells = {"id": record.id, "split": record.split, "group": record.group}
        cells |= {column: ";".join(_file_name(column, file) for file in record.files.get(column, ())) for column in contents.sensors}
        cells |= {f"{column}.time": f"{record.times[column]:.6f}" if column in record.times else "" for column in contents.sensors}
        cells["label"] = ";".join([*(record.labels or ()), *(f"{value:.10g}" for value in record.numbers)]) or (
            NONE if contents.multilabel and record.labels == () else ""
        )
        cells["mask"] = _mask_name(record) if record.mask is not None else ""
        cells["crop"] = _text(record.crop) if record.crop is not None else ""
        boxes = [*(record.boxes or ()), *((box, IGNORED) for box in record.ignored)]
        cells["boxes"] = ";".join(f"{_text(box)} {name}" for box, name in boxes) or (NONE if record.boxes == () else "")
        cells["calibration"] = _calibration_name(record) if record.calibration is not None else ""
        rows.append(cells | {column: record.extra.get(column, "") for column in further})
    needed = {"id", "split", "group", *contents.sensors}
    columns = [column for column in rows[0] if column in needed or any(row[column] for row in rows)]
    return [{column: row[column] for column in columns} for row in rows]


def _text(box: Box) -> str:
    return " ".join(f"{round(edge, 3):.10g}" for edge in box)
