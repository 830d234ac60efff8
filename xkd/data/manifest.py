"""The manifest: what a data set holds, read and verified before anything else happens.

A data set is a folder with `manifest.toml` (classes, sensors, mask codes) and `manifest.csv` (one row per sample).
Columns of the CSV: `id`, `split`, `group`, one per sensor (a path below the folder, several joined by `;` where a sensor
has several files, empty where the row lacks it) and, where there are any, `label` (class; several joined by `;` if
`labels = "multi"`), `mask` (path of an 8-bit grey PNG of codes), `crop` (`x1 y1 x2 y2`) and `boxes` (`x1 y1 x2 y2 class; ...`),
both in pixels of the full image, `calibration` (path, for sensors that are projected), and numbers `SENSOR.time` (seconds) and
`SENSOR.KEY` (what the sensor lets a row state, such as `thermal.scale`). In `label` and `boxes` an empty cell means "nobody
looked" and `-` means "looked, and there is none". Every further column is carried along as text.
"""

from __future__ import annotations

import csv
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from xkd.geometry import Box
from xkd.modalities import modality
from xkd.modality import Modality

SPLITS: Final = ("train", "val", "test")
NONE: Final = "-"
_REQUIRED: Final = ("id", "split", "group")
_OPTIONAL: Final = ("label", "mask", "crop", "boxes", "calibration")
_TIME: Final = "time"
_TOML_KEYS: Final = {
    "": ("name", "licence", "source", "labels", "classes", "modalities", "mask", "pairs", "generator"),
    "mask": ("values", "positive"),
    "pairs": ("same_size", "size", "max_time_offset"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One sample. `labels` and `boxes` are None where nobody looked, empty where there is none."""

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
    meta: Mapping[str, str]  # id, group and the manifest's further columns


@dataclass(frozen=True)
class Mask:
    """Codes of the mask files by name, and which of them are the region of interest."""

    values: Mapping[str, int]
    positive: tuple[str, ...]


@dataclass(frozen=True)
class Pairs:
    """Whether the images of a row have one size; if not, `size` (width, height) is the frame that crops and boxes are given in.

    Sensors of a row whose times differ by more than `max_time_offset` seconds did not see the same thing.
    """

    same_size: bool = True
    size: tuple[int, int] | None = None
    max_time_offset: float = float("inf")


@dataclass(frozen=True)
class Manifest:
    """A verified data set: every row makes sense, no group straddles splits. Files are looked for when a dataset uses them."""

    root: Path
    name: str
    licence: str
    source: str
    classes: tuple[str, ...]
    multilabel: bool
    modalities: Mapping[str, Modality]
    mask: Mask | None
    pairs: Pairs
    rows: tuple[Row, ...]

    @classmethod
    def load(cls, root: str | Path) -> Manifest:
        """Read `root` (see `data_root`); `FileNotFoundError` or `ValueError` names the file, the line, the row and what is legal."""
        folder = data_root(str(root))
        path = folder / "manifest.toml"
        table = _read_toml(folder)
        classes = tuple(table["classes"])
        if not classes or len(set(classes)) < len(classes) or NONE in classes:
            raise ValueError(f"{path}: classes must be different names, at least one and none of them '{NONE}'; got {list(classes)}")
        if table.get("labels", "single") not in ("single", "multi"):
            raise ValueError(f"{path}: labels must be 'single' or 'multi', got {table['labels']!r}")
        manifest = cls(
            root=folder,
            name=table["name"],
            licence=str(table.get("licence", "not stated")),
            source=str(table.get("source", "not stated")),
            classes=classes,
            multilabel=table.get("labels") == "multi",
            modalities={name: _modality(path, name, entry) for name, entry in table["modalities"].items()},
            mask=_mask(path, table.get("mask")),
            pairs=_pairs(path, table.get("pairs", {})),
            rows=(),
        )
        return replace(manifest, rows=tuple(_read_rows(manifest)))


def data_root(root: str) -> Path:
    """Folder of a data set: an absolute path as it is, any other below the variable XKD_DATA_ROOT (`data` where it is not set)."""
    path = Path(root).expanduser()
    return path if path.is_absolute() else Path(os.environ.get("XKD_DATA_ROOT", "data")).absolute() / path


def sensor(root: str, column: str, changes: Mapping[str, Any] = MappingProxyType({})) -> Modality:
    """The modality of one column, from manifest.toml alone (the rows are not read).

    `changes` overrides keys of its table, such as the strength of the photometric jitter: `{"brightness": 0.1}`.
    """
    folder = data_root(root)
    tables = _read_toml(folder)["modalities"]
    if column not in tables:
        raise KeyError(f"{folder / 'manifest.toml'}: no modality '{column}'; it has {sorted(tables)}")
    return _modality(folder / "manifest.toml", column, {**tables[column], **changes})


def _read_toml(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.toml"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file; a data set is a folder with manifest.toml and manifest.csv, "
            "given by an absolute path or by its name below XKD_DATA_ROOT"
        )
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: {error}") from error
    for section, legal in _TOML_KEYS.items():
        part = table.get(section, {}) if section else table
        if unknown := [key for key in part if key not in legal]:
            raise ValueError(f"{path}: unknown key {unknown[0]!r} in [{section or 'top level'}]; legal are {list(legal)}")
    if missing := [key for key in ("name", "classes", "modalities") if not table.get(key)]:
        raise ValueError(f"{path}: missing key {missing[0]!r}; name, classes and modalities are required")
    return table


def _modality(path: Path, name: str, table: Any) -> Modality:
    if not isinstance(table, dict):
        raise ValueError(f"{path}: write [modalities.{name}] as a table with a key 'sensor'")
    if name in _REQUIRED + _OPTIONAL:
        raise ValueError(f"{path}: a modality cannot be called '{name}', that column has another meaning")
    try:
        return modality(name, table)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _mask(path: Path, table: Mapping[str, Any] | None) -> Mask | None:
    if table is None:
        return None
    values, positive = table.get("values", {}), tuple(table.get("positive", ()))
    if wrong := [name for name in positive if name not in values]:
        raise ValueError(f"{path}: [mask] positive names {wrong[0]!r}; values has {sorted(values)}")
    if not positive or not all(isinstance(code, int) and 0 <= code <= 255 for code in values.values()):
        raise ValueError(f"{path}: [mask] needs values (name = code 0..255) and positive (some of these names)")
    return Mask(values, positive)


def _pairs(path: Path, table: Mapping[str, Any]) -> Pairs:
    size, same = table.get("size"), table.get("same_size", True)
    if not isinstance(same, bool):
        raise ValueError(f"{path}: [pairs] same_size must be true or false, got {same!r}")
    if size is not None and (len(size) != 2 or min(size) < 1):
        raise ValueError(f"{path}: [pairs] size must be [width, height] in pixels, got {size}")
    offset = table.get("max_time_offset", float("inf"))
    if not isinstance(offset, (int, float)) or not offset >= 0:
        raise ValueError(f"{path}: [pairs] max_time_offset must be seconds, 0 or more; got {offset!r}")
    return Pairs(same, tuple(size) if size else None, float(offset))


def _read_rows(manifest: Manifest) -> Iterator[Row]:
    path = manifest.root / "manifest.csv"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; it lists the samples of '{manifest.name}'")
    splits: dict[str, str] = {}
    seen: set[str] = set()
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = csv.reader(file)
        header = next(lines, [])
        _check_header(path, header, manifest)
        for line in lines:
            try:
                if len(line) != len(header):
                    raise ValueError(f"{len(line)} cells where the header has {len(header)}")
                row = _row(dict(zip(header, line, strict=True)), manifest)
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


def _check_header(path: Path, header: list[str], manifest: Manifest) -> None:
    needed = (*_REQUIRED, *manifest.modalities)
    if missing := [name for name in needed if name not in header]:
        raise ValueError(f"{path}: missing column '{missing[0]}'; needed are {list(needed)}, found are {header}")
    if len(set(header)) < len(header):
        raise ValueError(f"{path}: a column is there twice: {header}")
    for column in header:
        name, dot, key = column.partition(".")
        if dot and name in manifest.modalities and key not in (legal := (*manifest.modalities[name].row_keys, _TIME)):
            raise ValueError(f"{path}: column '{column}' is not known; a row may state {[f'{name}.{key}' for key in legal]}")
    if "mask" in header and manifest.mask is None:
        raise ValueError(f"{path}: has a column 'mask', so manifest.toml needs [mask] with values and positive")
    if not manifest.pairs.same_size and manifest.pairs.size is None and {"crop", "boxes"} & set(header):
        raise ValueError(f"{path}: crop and boxes of images that differ in size need [pairs] size = [width, height] in manifest.toml")


def _row(cells: dict[str, str], manifest: Manifest) -> Row:
    if cells["split"] not in SPLITS:
        raise ValueError(f"unknown split '{cells['split']}'; legal are {list(SPLITS)}")
    if not cells["group"]:
        raise ValueError("group is empty; give each capture unit (plant, scene, drive) a name, or repeat the id")
    known = (*_REQUIRED, *_OPTIONAL, *manifest.modalities)
    return Row(
        id=cells["id"],
        split=cells["split"],
        group=cells["group"],
        files={name: tuple(map(_inside, cells[name].split(";"))) for name in manifest.modalities if cells[name]},
        calibration=_inside(cells.get("calibration", "")),
        values=_values(cells, manifest),
        labels=_labels(cells.get("label", ""), manifest),
        mask=_inside(cells.get("mask", "")),
        crop=_box(cells["crop"].split()) if cells.get("crop") else None,
        boxes=_boxes(cells.get("boxes", ""), manifest),
        meta={"id": cells["id"], "group": cells["group"]} | {k: v for k, v in cells.items() if k not in known},
    )


def _values(cells: dict[str, str], manifest: Manifest) -> dict[str, dict[str, float]]:
    values: dict[str, dict[str, float]] = {}
    for column, text in cells.items():
        name, dot, key = column.partition(".")
        if dot and text and name in manifest.modalities:
            values.setdefault(name, {})[key] = _number(column, text)
    times = {name: stated[_TIME] for name, stated in values.items() if _TIME in stated and cells[name]}
    if times and max(times.values()) - min(times.values()) > manifest.pairs.max_time_offset:
        raise ValueError(
            f"sensors are {max(times.values()) - min(times.values()):g} seconds apart: {times}; "
            f"[pairs] max_time_offset is {manifest.pairs.max_time_offset:g}: pair other files, or leave one sensor's cell empty"
        )
    return values


def _number(column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise ValueError(f"{column} is '{text}', write a number") from error
    if not isfinite(value):
        raise ValueError(f"{column} is '{text}', write a finite number")
    return value


def _inside(path: str) -> str:
    if path.startswith("/") or "\\" in path or ":" in path or ".." in path.split("/"):
        raise ValueError(f"path '{path}' must be relative, with '/' and without '..', so that it stays below the data set's folder")
    return path


def _labels(text: str, manifest: Manifest) -> tuple[str, ...] | None:
    if not text:
        return None
    if text == NONE and manifest.multilabel:
        return ()
    labels = tuple(part.strip() for part in text.split(";")) if manifest.multilabel else (text,)
    for label in labels:
        _known_class(label, manifest)
    return labels


def _known_class(label: str, manifest: Manifest) -> None:
    if label not in manifest.classes:
        raise ValueError(f"unknown class '{label}'; manifest.toml has {list(manifest.classes)}")


def _box(words: list[str]) -> Box:
    try:
        box = Box(*map(float, words))
    except (ValueError, TypeError) as error:
        raise ValueError(f"'{' '.join(words)}' is not a box; write x1 y1 x2 y2 in pixels") from error
    if not (0 < box.x2 - box.x1 < float("inf") and 0 < box.y2 - box.y1 < float("inf")):
        raise ValueError(f"box '{' '.join(words)}' is empty or not finite; write x1 y1 x2 y2 with x1 < x2 and y1 < y2")
    return box


def _boxes(text: str, manifest: Manifest) -> tuple[tuple[Box, str], ...] | None:
    if not text:
        return None
    boxes = []
    for part in [] if text == NONE else text.split(";"):
        words = part.split(None, 4)
        if len(words) < 5:
            raise ValueError(f"box '{part.strip()}' is malformed; write x1 y1 x2 y2 class, joined by ';'")
        _known_class(words[4].strip(), manifest)
        boxes.append((_box(words[:4]), words[4].strip()))
    return tuple(boxes)
