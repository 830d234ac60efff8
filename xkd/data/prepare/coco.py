"""COCO JSON: boxes, polygons and run lengths, of one file or of several, one for each split."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from xkd.data.prepare.annotated import AnnotatedImage, Annotations, Thing, files_of, of_pictures, plain_path, read_json
from xkd.data.prepare.split_names import named_split
from xkd.geometry import Box

_KEYS: Final = {
    "images": ("id", "file_name", "width", "height"),
    "annotations": ("image_id", "category_id", "bbox"),
    "categories": ("id", "name"),
}


def read_coco(places: Sequence[Path]) -> Annotations:
    """Each file, or each `.json` below a folder. Several whose names, or their folders', say unlike splits give them.

    A crowd (`iscrowd` = 1, as CVAT also writes what was painted) is ignored as a box: it may be several objects. A category that no
    annotation has is no class. `ValueError` names the file and the entry.
    """
    files = [path for path, _ in files_of(places, ".json")]
    tables = {path: _read(path) for path in files}
    splits = {path: _split_in_name(path) for path in files}
    given = len(set(splits.values())) > 1
    if given and (none := [path for path, split in splits.items() if not split]):
        raise ValueError(f"{none[0]}: neither its name nor its folder's says a split (train, val, test), others' do: rename it")
    pictures = [picture for path in files for picture in _pictures(path, tables[path], splits[path] if given else "")]
    categories = {str(entry["name"]): None for path in files for entry in _categories(tables[path])}
    used = {thing.name for picture in pictures for thing in picture.things}
    unused = [name for name in categories if name not in used]
    notes = [f"category '{name}' has no annotation, so it is no class; --classes overrides this" for name in unused if used]
    if len(files) > 1:
        sizes = ", ".join(f"{path.parent.name}/{path.name}: {splits[path] if given else len(tables[path]['images'])}" for path in files)
        notes.append(f"the JSON files name splits ({sizes})" if given else f"{len(files)} JSON files are one set ({sizes})")
    return of_pictures(pictures, [name for name in categories if name in used] or list(categories), Counter(), notes)


def _read(path: Path) -> dict[str, Any]:
    table = read_json(path)
    for part, keys in _KEYS.items():
        entries = table.get(part) if isinstance(table, dict) else None
        if not isinstance(entries, list):
            raise ValueError(f"{path}: needs the lists {list(_KEYS)}, '{part}' is not there; is it a COCO JSON of objects?")
        for place, entry in enumerate(entries):
            if not isinstance(entry, dict):
                raise ValueError(f"{path}: {part}[{place}] is {entry!r}; write an object with {list(keys)}")
            if missing := [key for key in keys if key not in entry]:
                raise ValueError(f"{path}: {part}[{place}] has no '{missing[0]}'; needed are {list(keys)}")
    return dict(table)


def _categories(table: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return sorted(table["categories"], key=lambda entry: int(entry["id"]))


def _pictures(path: Path, table: Mapping[str, Any], split: str) -> list[AnnotatedImage]:
    names = {entry["id"]: str(entry["name"]) for entry in table["categories"]}
    of_image: dict[int, list[Thing]] = {entry["id"]: [] for entry in table["images"]}
    if len(of_image) < len(table["images"]):
        raise ValueError(f"{path}: an image's id is there twice")
    if len(names) < len(table["categories"]):
        raise ValueError(f"{path}: a category's id is there twice: {[(entry['id'], entry['name']) for entry in table['categories']]}")
    if odd := [entry for entry in table["images"] if not _numbers([entry["width"] or 0, entry["height"] or 0], 2)]:
        raise ValueError(
            f"{path}: image '{odd[0]['file_name']}' has width {odd[0]['width']!r} and height {odd[0]['height']!r}; write numbers"
        )
    for place, entry in enumerate(table["annotations"]):
        if entry["image_id"] not in of_image or entry["category_id"] not in names:
            raise ValueError(
                f"{path}: annotations[{place}] is of image {entry['image_id']} and category {entry['category_id']}; not both are listed"
            )
        if not _numbers(entry["bbox"], 4):
            raise ValueError(f"{path}: annotations[{place}] has bbox {entry['bbox']}; write [x, y, width, height]")
        x, y, width, height = map(float, entry["bbox"])
        box = Box(x, y, x + width, y + height)
        ignored = bool(entry.get("iscrowd") or entry.get("ignore"))
        of_image[entry["image_id"]].append(Thing(names[entry["category_id"]], box, entry.get("segmentation") or None, ignored))
    return [
        AnnotatedImage(
            plain_path(str(entry["file_name"])),
            (int(float(entry["width"])), int(float(entry["height"]))) if entry["width"] and entry["height"] else None,
            tuple(of_image[entry["id"]]),
            str(path),
            split=split,
        )
        for entry in table["images"]
    ]


def _numbers(values: Any, count: int) -> bool:
    """Whether these are so many finite numbers, or text that says them."""
    try:
        return len(values) == count and all(math.isfinite(float(value)) for value in values)
    except (TypeError, ValueError):
        return False


def _split_in_name(path: Path) -> str:
    """The split that a word of a file's name says (`instances_val2017.json`), else the name of its folder; empty where none does."""
    words = {split for word in re.split(r"[^A-Za-z0-9]+", path.stem) if (split := named_split(word))}
    return words.pop() if len(words) == 1 else named_split(path.absolute().parent.name)
