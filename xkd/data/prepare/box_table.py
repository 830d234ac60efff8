"""A table of boxes, a line for each object: the image's name, the box's edges and, if there is one, its class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from xkd.data.prepare.annotated import AnnotatedImage, Annotations, Thing, files_of, of_pictures, plain_path
from xkd.data.prepare.tables import TextTable, read_any_table
from xkd.geometry import Box

_IMAGES: Final = ("id", "file", "filename", "file_name", "image", "image_id", "path", "name")
_CLASSES: Final = ("label", "class", "class_name", "category", "species", "target")
_EDGES: Final = (  # left, top, right, bottom
    ("left", "top", "right", "bottom"),
    ("x1", "y1", "x2", "y2"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("x_min", "y_min", "x_max", "y_max"),
)
_SIZES: Final = (("x", "y", "width", "height"), ("x", "y", "w", "h"), ("left", "top", "width", "height"))
_OBJECT: Final = "object"  # the class where the table has none


def read_box_table(places: Sequence[Path]) -> Annotations:
    """Boxes in pixels of the annotated image, as edges or as a corner with width and height; an image with empty edges was looked at.

    `ValueError` names the file and the line, or the columns where these are not told apart.
    """
    things: dict[str, list[Thing]] = {}
    where: dict[str, str] = {}
    notes = []
    for path, _ in files_of(places, ".csv"):
        table = read_any_table(path)
        image = _one(table, _IMAGES, "the image's name")
        columns, is_size = _columns(table)
        label = next((column for name in _CLASSES if (column := table.column(name))), "")
        notes.append(
            f"boxes are the columns {', '.join(columns)} of {path.name}, " + (f"classes '{label}'" if label else f"all '{_OBJECT}'")
        )
        for row, line in zip(table.rows, table.lines, strict=True):
            name = plain_path(row[image])
            where.setdefault(name, str(path))
            of_image = things.setdefault(name, [])
            cells = [row[column] for column in columns]
            if not any(cells):
                continue
            if label and not row[label]:
                raise ValueError(f"{path}, line {line}: the box has no class; write one into column '{label}'")
            of_image.append(Thing(row[label] if label else _OBJECT, _box(cells, is_size, f"{path}, line {line}")))
    pictures = [AnnotatedImage(name, None, tuple(those), where[name], looked=True) for name, those in things.items()]
    return of_pictures(pictures, notes=notes)


def _one(table: TextTable, names: Sequence[str], what: str) -> str:
    found = next((column for name in names if (column := table.column(name))), "")
    if not found:
        raise ValueError(f"{table.path}: no column for {what}, one of {list(names)}; it has {list(table.header)}")
    return found


def _columns(table: TextTable) -> tuple[tuple[str, ...], bool]:
    """The four columns, and whether the last two are a width and a height."""
    for names in (*_EDGES, *_SIZES):
        found = tuple(map(table.column, names))
        if all(found):
            return found, names in _SIZES
    legal = "; ".join(", ".join(names) for names in (*_EDGES, *_SIZES))
    raise ValueError(f"{table.path}: no columns of boxes; they are called {legal}; it has {list(table.header)}")


def _box(cells: Sequence[str], is_size: bool, where: str) -> Box:
    try:
        first, second, third, fourth = (float(cell.replace(",", ".")) for cell in cells)
    except ValueError as error:
        raise ValueError(f"{where}: '{' '.join(cells)}' is no box; write four numbers, in pixels") from error
    box = Box(first, second, first + third, second + fourth) if is_size else Box(first, second, third, fourth)
    if not (0 < box.x2 - box.x1 < float("inf") and 0 < box.y2 - box.y1 < float("inf")):
        raise ValueError(f"{where}: the box '{' '.join(cells)}' has no area")
    return box
