"""The manifest: what a data set holds, read and verified before anything else happens.

A data set is a folder with `manifest.toml` (classes, sensors, mask codes) and `manifest.csv` (one row per sample).
Columns of the CSV: `id`, `split`, `group`, one per sensor (a path below the folder, several joined by `;` where a sensor
has several files, numbered ones as `rec1/{0120..0180}.jpg`, empty where the row lacks it) and, where there are any, `label` (class;
several joined by `;` if `labels = "multi"`; with `labels = "number"` a number for each table `[numbers.NAME]`, which has a `unit` and a
`range`), `mask` (path of an 8-bit grey PNG of codes), `crop` (`x1 y1 x2 y2`) and `boxes` (`x1 y1 x2 y2 class; ...`,
`*` for no class, `!` for a region to ignore, where something is and nobody knows where exactly), both in pixels of the full image,
`box_scores` (0..1 for each box that is not to ignore, joined by `;`, where a detector drew them),
`calibration` (path, for sensors that are projected), and numbers `SENSOR.time` (seconds), `SENSOR.fps` (the cell is a clip of so many
frames each second, see `Clip`), `SENSOR.frames` (its file holds so many, side by side) and `SENSOR.KEY` (what the sensor lets a row
state, such as `thermal.scale`). In `label` and `boxes` an empty cell means "nobody looked" and `-` means "looked, and there is none".
Every further column is carried along as text. A table `[flips]` names classes that a mirror swaps (`left = "right"`).
A table `[registration.SENSOR]` says where a camera's picture lies in another one's frame, see `Registration`: it is read into that
frame, so masks, crops and boxes are given in the reference's frame.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from xkd.batch import Annotation, Number
from xkd.data.flips import read_flips
from xkd.data.numbers import read_numbers
from xkd.data.registration import Registration, read_registrations
from xkd.data.rows import IGNORED, NONE, OPTIONAL, REQUIRED, Pairs, Row, Schema, read_rows
from xkd.data.text import read_text
from xkd.modalities import modality
from xkd.modality import Modality
from xkd.packed import look_again

_LABELS: Final = ("single", "multi", "number")
_TOML_KEYS: Final = {
    "": ("name", "licence", "source", "labels", "classes", "modalities", "mask", "pairs", "registration", "generator", "numbers", "flips"),
    "mask": ("values", "positive", "ignore"),
    "pairs": ("same_size", "size", "max_time_offset"),
}


@dataclass(frozen=True)
class Mask:
    """Codes of the mask files by name, which of them are the region of interest, and which say that nobody knows (`ignore`)."""

    values: Mapping[str, int]
    positive: tuple[str, ...]
    ignore: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """Of the pixels, in the order of their codes."""
        return tuple(name for name in sorted(self.values, key=lambda name: self.values[name]) if name not in self.ignore)


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
    registrations: Mapping[str, Registration]
    rows: tuple[Row, ...]
    numbers: tuple[Number, ...] = ()  # that rows are labelled with, in the place of classes
    flips: Mapping[str, str] = field(default_factory=dict)  # class -> what it is in a mirrored picture, both ways

    @classmethod
    def load(cls, root: str | Path) -> Manifest:
        """Read `root` (see `data_root`); `FileNotFoundError` or `ValueError` names the file, the line, the row and what is legal.

        A million rows with two sensors and two boxes each took 15 seconds and 1.7 GB (`tools/benchmark.py data`).
        """
        folder = data_root(str(root))
        look_again()
        path = folder / "manifest.toml"
        table = _read_toml(folder)
        classes = tuple(table["classes"])
        if len(set(classes)) < len(classes) or {NONE, IGNORED} & set(classes):
            raise ValueError(
                f"{path}: classes must be different names, none of them '{NONE}' or '{IGNORED}' ([] where nobody has labelled anything);"
                f" got {list(classes)}"
            )
        if table.get("labels", "single") not in _LABELS:
            raise ValueError(f"{path}: labels must be one of {list(_LABELS)}, got {table['labels']!r}")
        mask, pairs = _mask(path, table.get("mask")), _pairs(path, table.get("pairs", {}))
        modalities = {name: _modality(path, name, entry) for name, entry in table["modalities"].items()}
        multilabel, numbers = table.get("labels") == "multi", read_numbers(path, table)
        return cls(
            root=folder,
            name=table["name"],
            licence=str(table.get("licence", "not stated")),
            source=str(table.get("source", "not stated")),
            classes=classes,
            multilabel=multilabel,
            modalities=modalities,
            mask=mask,
            pairs=pairs,
            registrations=read_registrations(path, table.get("registration", {}), modalities),
            rows=read_rows(folder / "manifest.csv", Schema(classes, multilabel, modalities, mask is not None, pairs, numbers)),
            numbers=numbers,
            flips=read_flips(path, table.get("flips", {}), classes, table.get("labels", "single")),
        )

    @property
    def annotation(self) -> Annotation:
        """What the column `label` says."""
        if self.numbers:
            return Annotation("numbers", tuple(number.name for number in self.numbers), self.numbers)
        return Annotation("labels" if self.multilabel else "label", self.classes)


def numbers(root: str) -> tuple[Number, ...]:
    """The numbers that a data set is labelled with, from manifest.toml alone; `ValueError` where it is labelled otherwise."""
    path = data_root(root) / "manifest.toml"
    if not (found := read_numbers(path, _read_toml(data_root(root)))):
        raise ValueError(f'{path}: its rows are not labelled with numbers (labels = "number" and [numbers.NAME])')
    return found


def data_root(root: str) -> Path:
    """Folder of a data set: an absolute path as it is, any other below the variable XKD_DATA_ROOT (`data` where it is not set)."""
    path = Path(root).expanduser()
    return path if path.is_absolute() else Path(os.environ.get("XKD_DATA_ROOT", "data")).absolute() / path


def manifest_files(section: Mapping[str, Any]) -> list[Path]:
    """What says which rows a dataset of a config serves; of one without files, such as `Blank`, there are none."""
    root = section.get("root")
    return [data_root(root) / f"manifest.{kind}" for kind in ("csv", "toml")] if isinstance(root, str) else []


def find_dataset(name: str) -> str:
    """The root of what a person calls a data set: a folder from where they are, or a name below XKD_DATA_ROOT; else `FileNotFoundError`."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        return str(folder.absolute())
    if not data_root(name).is_dir():
        raise FileNotFoundError(f"no data set '{name}': no folder {folder.absolute()}, and none below XKD_DATA_ROOT, {data_root(name)}")
    return name


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
        table = tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: {error}") from error
    for section, legal in _TOML_KEYS.items():
        part = table.get(section, {}) if section else table
        if unknown := [key for key in part if key not in legal]:
            raise ValueError(f"{path}: unknown key {unknown[0]!r} in [{section or 'top level'}]; legal are {list(legal)}")
    if missing := [key for key in ("name", "classes", "modalities") if not table.get(key) and table.get(key) != []]:
        raise ValueError(f"{path}: missing key {missing[0]!r}; name, classes and modalities are required")
    return table


def _modality(path: Path, name: str, table: Any) -> Modality:
    if not isinstance(table, dict):
        raise ValueError(f"{path}: write [modalities.{name}] as a table with a key 'sensor'")
    if name in REQUIRED + OPTIONAL:
        raise ValueError(f"{path}: a modality cannot be called '{name}', that column has another meaning")
    try:
        return modality(name, table)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _mask(path: Path, table: Mapping[str, Any] | None) -> Mask | None:
    if table is None:
        return None
    values, positive, ignore = table.get("values", {}), tuple(table.get("positive", ())), tuple(table.get("ignore", ()))
    if wrong := [name for name in positive + ignore if name not in values]:
        raise ValueError(f"{path}: [mask] positive and ignore name {wrong[0]!r}; values has {sorted(values)}")
    if both := set(positive) & set(ignore):
        raise ValueError(f"{path}: [mask] '{both.pop()}' is positive and ignored")
    if len(set(values.values())) < len(values):
        raise ValueError(f"{path}: [mask] values give one code to two names: {dict(values)}")
    if not positive or not all(type(code) is int and 0 <= code <= 255 for code in values.values()):
        raise ValueError(f"{path}: [mask] needs values (name = code 0..255) and positive (some of these names)")
    return Mask(values, positive, ignore)


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
