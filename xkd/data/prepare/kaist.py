"""KAIST's layout: pairs of a camera and a thermal one behind a beam splitter, from a car, with boxes of pedestrians.

Hwang et al., "Multispectral Pedestrian Detection: Benchmark Dataset and Baseline", CVPR 2015. Annotations are the text files of Piotr
Dollar's toolbox, or the XML files of later releases, whose boxes are a corner with width and height.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from xkd.data.prepare.annotated import AnnotatedImage, Thing, of_pictures
from xkd.data.prepare.listing import Source
from xkd.data.prepare.published import RGB, THERMAL, Published, needed, with_val
from xkd.data.prepare.voc import read_xml
from xkd.data.text import read_text
from xkd.geometry import Box

_ANNOTATIONS: Final = ("annotations", "annotations-xml-new", "annotations-xml-new-sanitized")
_CLASSES: Final = ("person", "cyclist")
_UNSURE: Final = ("people", "person?")  # several, or perhaps none
_HEAVY: Final = 2  # degree of occlusion
_FIRST_TEST: Final = 6  # sets 00 to 05 are train
VIDEO: Final = r"^(set[0-9]{2}/V[0-9]{3})"


def read_kaist(root: Path, seed: int) -> Published:
    """`images/setNN/VNNN/{visible,lwir}` and `annotations/setNN/VNNN`. Sets 06 and up are test; videos are groups, some of train's are val.

    Classes are person and cyclist; "people", "person?", what is mostly hidden and what the files say to ignore are regions to ignore.
    `FileNotFoundError` names what is missing, `ValueError` the file and the line that is wrong.
    """
    folder = next((root / name for name in _ANNOTATIONS if (root / name).is_dir()), None)
    needed(root, "images", *([] if folder else [_ANNOTATIONS[0]]))
    assert folder is not None  # named as missing
    pictures = []
    for path in sorted(folder.rglob("set[0-9][0-9]/V[0-9][0-9][0-9]/*")):
        if path.suffix in (".txt", ".xml"):
            things = tuple(_of_text(path) if path.suffix == ".txt" else _of_xml(path))
            name = path.relative_to(folder).with_suffix(".jpg").as_posix()
            split = "train" if int(name[3:5]) < _FIRST_TEST else "test"
            pictures.append(AnnotatedImage(name, None, things, str(path), looked=True, split=split))
    if not pictures:
        raise FileNotFoundError(f"{folder}: no setNN/VNNN/*.txt or .xml")
    sources = {
        "rgb": Source((root / "images" / "*" / "*" / "visible" / "*.jpg",), RGB),
        "thermal": Source((root / "images" / "*" / "*" / "lwir" / "*.jpg",), THERMAL),
    }
    classes = [name for name in _CLASSES if any(thing.name == name for picture in pictures for thing in picture.things)]
    return Published(of_pictures(with_val(pictures, VIDEO, seed), classes), sources)


def _of_text(path: Path) -> Iterator[Thing]:
    """Lines `label x y width height occlusion xv yv wv hv ignore angle` below a first line of comment."""
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip() or line.startswith("%"):
            continue
        words = line.split()
        try:
            x, y, width, height, hidden, *_, ignored = (float(word) for word in words[1:11])
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: '{line}' is no object: label, x, y, width, height, occlusion, ...") from error
        yield _thing(words[0], Box(x, y, x + width, y + height), hidden >= _HEAVY or ignored == 1, f"{path}, line {number}")


def _of_xml(path: Path) -> Iterator[Thing]:
    for number, entry in enumerate(read_xml(path, "annotation").iter("object")):
        try:
            x, y, width, height = (float(entry.findtext(f"bndbox/{edge}") or "nothing") for edge in ("x", "y", "w", "h"))
            hidden = float(entry.findtext("occlusion") or 0)
        except ValueError as error:
            raise ValueError(f"{path}: object {number} has no bndbox with numbers x, y, w, h, or another occlusion than 0, 1, 2") from error
        name = (entry.findtext("name") or "").strip()
        yield _thing(name, Box(x, y, x + width, y + height), hidden >= _HEAVY, f"{path}: object {number}")


def _thing(name: str, box: Box, ignored: bool, where: str) -> Thing:
    if name in _UNSURE:
        return Thing("", box, ignored=True)
    if name not in _CLASSES:
        raise ValueError(f"{where}: unknown label '{name}'; KAIST has {[*_CLASSES, *_UNSURE]}")
    return Thing(name, box, ignored=ignored)
