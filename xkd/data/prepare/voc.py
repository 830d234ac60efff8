"""Pascal VOC: an XML file per image with boxes, and lists of the splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, parse

from xkd.data.prepare.annotated import AnnotatedImage, Annotations, Thing, files_of, of_pictures, plain_path
from xkd.data.prepare.split_names import named_split, split_of
from xkd.data.text import read_text
from xkd.geometry import Box

_LISTS = "ImageSets/Main"


def read_voc(places: Sequence[Path]) -> Annotations:
    """Each file, or each `.xml` below a folder. An object that is `difficult` is ignored, one that is truncated or occluded is one.

    Corners count from 1 and belong to the box. A file without objects says that there is nothing. Splits are those of the lists in
    `ImageSets/Main`, else of folders. `ValueError` names the file.
    """
    files, left_out = files_of(places, ".xml"), Counter[str]()
    listed = {name: split for place in places for name, split in _listed(place).items()}
    splits = {path: listed.get(path.stem, "") if listed else split_of(path.relative_to(folder).as_posix()) for path, folder in files}
    if len(set(splits.values())) == 1:
        splits = dict.fromkeys(splits, "")
    elif listed:
        left_out["image that is in no list of ImageSets/Main"] += sum(not split for split in splits.values())
        files = [(path, folder) for path, folder in files if splits[path]]
    pictures = [_picture(path, folder, splits[path], left_out) for path, folder in files]
    return of_pictures(pictures, left_out=left_out)


def read_xml(path: Path, root: str) -> Element:
    try:
        top = parse(path).getroot()  # expat refuses entities that grow without bound
    except ParseError as error:
        raise ValueError(f"{path}: {error}") from error
    if top.tag != root:
        raise ValueError(f"{path}: begins with <{top.tag}>, expected is <{root}>")
    return top


def _listed(place: Path) -> dict[str, str]:
    roots = [place, place.parent] if place.is_dir() else []
    found: dict[str, str] = {}
    for path in sorted(file for root in roots for file in (root / _LISTS).glob("*.txt")):
        if split := named_split(path.stem):
            for line in read_text(path).splitlines():
                if line.split() and found.setdefault(line.split()[0], split) != split:
                    raise ValueError(f"{path}: '{line.split()[0]}' is in the list of '{found[line.split()[0]]}' too")
    return found


def _picture(path: Path, folder: Path, split: str, left_out: Counter[str]) -> AnnotatedImage:
    top = read_xml(path, "annotation")
    name = path.relative_to(folder).with_name(Path(plain_path(top.findtext("filename") or path.stem)).name).as_posix()
    width, height = (int(float(top.findtext(f"size/{side}") or 0)) for side in ("width", "height"))
    things = []
    for number, entry in enumerate(top.iter("object")):
        left_out["outline of a VOC object, which is not read"] += entry.find("polygon") is not None
        try:
            corners = [float(entry.findtext(f"bndbox/{edge}") or "nothing") for edge in ("xmin", "ymin", "xmax", "ymax")]
        except ValueError as error:
            raise ValueError(f"{path}: object {number} has no bndbox with numbers xmin, ymin, xmax, ymax") from error
        box = Box(max(corners[0] - 1, 0.0), max(corners[1] - 1, 0.0), corners[2], corners[3])
        things.append(Thing(entry.findtext("name") or "", box, ignored=(entry.findtext("difficult") or "0").strip() == "1"))
    size = (width, height) if width > 0 and height > 0 else None
    return AnnotatedImage(name, size, tuple(things), str(path), looked=True, split=split)
