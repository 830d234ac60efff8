"""Files as annotation tools write them: YOLO, Pascal VOC, LabelMe, Label Studio, CVAT."""

from __future__ import annotations

import base64
import itertools
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from prepare_calls import Prepare, write_image

from xkd.data.manifest import Manifest
from xkd.data.prepare.label_studio import decode_brush
from xkd.data.region import read_codes
from xkd.geometry import Box

SQUARE = [[4, 2], [12, 2], [12, 10], [4, 10]]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Six images of 32x24 below rgb/."""
    for number in range(6):
        write_image(tmp_path / f"rgb/leaf{number}.png", number)
    return tmp_path


def made(root: Path, prepare: Prepare, tool: str, *words: str | Path) -> tuple[Manifest, str]:
    answer = prepare(tool, *words, "--sensor", f"rgb={root / 'rgb'}:rgb", "--out", root / "out")
    assert answer.code == 0, answer.error
    return Manifest.load(root / "out"), answer.out


def refused(root: Path, prepare: Prepare, tool: str, place: Path) -> str:
    answer = prepare(tool, place, "--sensor", f"rgb={root / 'rgb'}:rgb", "--out", root / "refused")
    assert answer.code == 2
    return answer.error


def pixels(manifest: Manifest, row: int) -> int:
    return int((read_codes(manifest.root / manifest.rows[row].mask) > 0).sum())


def test_yolo(tmp_path: Path, prepare: Prepare) -> None:
    for split, many in (("train", 4), ("valid", 2)):
        for number in range(many):
            write_image(tmp_path / f"set/{split}/images/{split}{number}.png", 10 * many + number)
            (tmp_path / f"set/{split}/labels").mkdir(exist_ok=True)
            (tmp_path / f"set/{split}/labels/{split}{number}.txt").write_text("1 0.5 0.5 0.25 0.5\n" if number else "")
    (tmp_path / "set/data.yaml").write_text("train: ../train/images\nnc: 2\nnames: ['rust', 'scab']\n")
    words = ("yolo", tmp_path / "set", "--sensor", f"rgb={tmp_path / 'set'}:rgb", "--out")
    answer = prepare(*words, tmp_path / "out")
    assert answer.code == 0, answer.error
    rows = {row.id: row for row in Manifest.load(tmp_path / "out").rows}
    assert rows["train/images/train1"].boxes == ((Box(12, 6, 20, 18), "scab"),)
    assert rows["train/images/train0"].boxes == ()  # an empty file: looked at
    assert {row.split for row in rows.values()} == {"train", "val"}
    label = tmp_path / "set/train/labels/train1.txt"
    label.write_text("0 0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75\n")
    (tmp_path / "set/data.yaml").write_text("names:\n  0: rust\n  1: scab\n")
    assert prepare(*words, tmp_path / "polygons").code == 0
    [row] = [row for row in Manifest.load(tmp_path / "polygons").rows if row.id.endswith("train1")]
    assert row.boxes == ((Box(8, 6, 24, 18), "rust"),)
    label.write_text("7 0.5 0.5 0.1 0.1\n")
    assert "train1.txt, line 1: class 7 has no name" in prepare(*words, tmp_path / "again").error
    label.write_text("1 0.5 0.5\n")
    assert "line 1: write class x y width height" in prepare(*words, tmp_path / "again").error


def test_voc(images: Path, prepare: Prepare) -> None:
    corners = "<bndbox><xmin>5</xmin><ymin>3</ymin><xmax>12</xmax><ymax>10</ymax></bndbox>"
    (images / "Annotations").mkdir()
    for number in range(6):
        name, difficult = "rust" if number % 2 else "scab", int(number == 0)
        thing = f"<object><name>{name}</name><difficult>{difficult}</difficult>{corners}</object>" if number < 5 else ""
        head = f"<filename>leaf{number}.png</filename><size><width>32</width><height>24</height></size>"
        (images / f"Annotations/leaf{number}.xml").write_text(f"<annotation>{head}{thing}</annotation>")
    (images / "ImageSets/Main").mkdir(parents=True)
    (images / "ImageSets/Main/train.txt").write_text("leaf0\nleaf1\nleaf2\nleaf5\n")
    (images / "ImageSets/Main/val.txt").write_text("leaf3\n")
    manifest, out = made(images, prepare, "voc", images / "Annotations")
    rows = {row.id: row for row in manifest.rows}
    splits = {"leaf0": "train", "leaf1": "train", "leaf2": "train", "leaf3": "val", "leaf5": "train"}
    assert {name: row.split for name, row in rows.items()} == splits
    assert "1 x image that is in no list of ImageSets/Main" in out
    assert rows["leaf1"].boxes == ((Box(4, 2, 12, 10), "rust"),)
    assert (rows["leaf0"].boxes, rows["leaf0"].ignored) == ((), (Box(4, 2, 12, 10),))  # difficult
    assert (rows["leaf5"].boxes, rows["leaf5"].ignored) == ((), ())
    (images / "Annotations/leaf1.xml").write_text("<annotations/>")
    assert "leaf1.xml: begins with <annotations>" in refused(images, prepare, "voc", images / "Annotations")


def test_labelme(images: Path, prepare: Prepare) -> None:
    part = base64.b64encode(cv2.imencode(".png", np.full((4, 6), 255, np.uint8))[1].tobytes()).decode()
    shapes: list[list[dict[str, Any]]] = [
        [{"label": "rust", "shape_type": "rectangle", "points": [[12, 10], [4, 2]]}],
        [{"label": "rust", "shape_type": "polygon", "points": SQUARE}],
        [{"label": "rust", "shape_type": "circle", "points": [[10, 10], [10, 14]]}],
        [{"label": "rust", "shape_type": "mask", "points": [[4, 2], [10, 6]], "mask": part}],
        [],
        [{"label": "rust", "shape_type": "point", "points": [[4, 2]]}, {"label": "scab", "shape_type": "rectangle", "points": SQUARE[::2]}],
    ]
    (images / "json").mkdir()
    for number, those in enumerate(shapes):
        table = {"imagePath": f"..\\rgb\\leaf{number}.png", "imageWidth": 32, "imageHeight": 24, "shapes": those}
        (images / f"json/leaf{number}.json").write_text(json.dumps(table))
    manifest, out = made(images, prepare, "labelme", images / "json")
    assert "1 x shape of type 'point', which has no area" in out
    assert [row.boxes for row in manifest.rows[:2]] == [((Box(4, 2, 12, 10), "rust"),)] * 2
    assert (manifest.rows[4].boxes, pixels(manifest, 4)) == ((), 0)
    assert [pixels(manifest, row) for row in (0, 1, 3)] == [64, 64, 24]
    assert pixels(manifest, 2) == pytest.approx(50, abs=3)  # a circle of radius 4
    (images / "json/leaf0.json").write_text(json.dumps({"shapes": [{"label": "rust", "shape_type": "rectangle", "points": []}]}))
    assert "leaf0.json: shapes[0] is not read" in refused(images, prepare, "labelme", images / "json")


def brush(mask: np.ndarray[Any, Any]) -> list[int]:
    """The mask as alpha of an RGBA picture, as the tool packs it, with repeated bytes alone."""
    values = np.repeat(mask.astype(np.uint8).ravel() * 255, 4)
    bits = f"{len(values):032b}{7:05b}" + "".join(f"{size - 1:04b}" for size in (3, 4, 8, 16))
    edges = [0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), len(values)]
    for start, end in itertools.pairwise(edges):
        bits += f"1{3:02b}{end - start - 1:016b}{values[start]:08b}"
    bits += "0" * (-len(bits) % 8)
    return [int(bits[place : place + 8], 2) for place in range(0, len(bits), 8)]


def test_label_studio(images: Path, prepare: Prepare) -> None:
    painted = np.zeros((24, 32), bool)
    painted[3:7, 5:11] = True
    rectangle = {"x": 25, "y": 25, "width": 50, "height": 50, "rotation": 0, "rectanglelabels": ["rust"]}
    turned = {"x": 50, "y": 50, "width": 25, "height": 25, "rotation": 90, "rectanglelabels": ["rust"]}
    regions: list[list[tuple[str, dict[str, Any]]] | None] = [
        [("rectanglelabels", rectangle)],
        [("polygonlabels", {"points": [[25, 25], [75, 25], [75, 75], [25, 75]], "polygonlabels": ["rust"]})],
        [("brushlabels", {"format": "rle", "rle": brush(painted), "brushlabels": ["scab"]})],
        [],
        None,
        [("choices", {"choices": ["good"]}), ("rectanglelabels", turned)],
    ]
    tasks = []
    for number, those in enumerate(regions):
        sizes = {"original_width": 32, "original_height": 24}
        done = [] if those is None else [{"result": [{**sizes, "type": kind, "value": value} for kind, value in those]}]
        tasks.append({"id": number, "data": {"image": f"/data/upload/1/{number:08x}-leaf{number}.png"}, "annotations": done})
    (images / "export.json").write_text(json.dumps(tasks))
    words = (images / "export.json", "--unannotated", "unlabelled")
    manifest, out = made(images, prepare, "label-studio", *words)
    assert "1 x result of type 'choices', which is not read" in out
    assert [row.boxes for row in manifest.rows[:2]] == [((Box(8, 6, 24, 18), "rust"),)] * 2
    assert manifest.rows[2].boxes == ((Box(5, 3, 11, 7), "scab"),)
    assert [manifest.rows[3].boxes, manifest.rows[4].boxes] == [(), None]  # submitted without a region; nobody looked
    assert manifest.rows[5].boxes == ((Box(10, 12, 16, 20), "rust"),)  # 8x6 turned about its corner at 16, 12
    assert [pixels(manifest, row) for row in (0, 1, 2, 3)] == [192, 192, 24, 0]
    (images / "export.json").write_text(json.dumps([{"image": "a.png", "label": []}]))
    assert "export as JSON, not JSON-MIN" in refused(images, prepare, "label-studio", images / "export.json")


def test_a_brush_that_breaks_off_is_named() -> None:
    whole = brush(np.eye(4, dtype=bool))
    assert np.array_equal(decode_brush(whole, (4, 4)), np.eye(4, dtype=bool))
    with pytest.raises(ValueError, match="break off"):
        decode_brush(whole[:-4], (4, 4))
    with pytest.raises(ValueError, match="a brush of 64 bytes for an image of 5x4"):
        decode_brush(whole, (5, 4))


def test_cvat(images: Path, prepare: Prepare) -> None:
    shapes = [
        '<box label="rust" xtl="4" ytl="2" xbr="12" ybr="10" occluded="0"/>',
        '<polygon label="rust" points="4,2;12,2;12,10;4,10"/>',
        '<mask label="scab" rle="2,2,2,6" left="4" top="2" width="4" height="3"/>',
        '<ellipse label="rust" cx="10" cy="10" rx="4" ry="4"/>',
        '<box label="rust" xtl="8" ytl="8" xbr="16" ybr="12" rotation="90"/>',
        '<points label="rust" points="4,2"/><tag label="good"/>',
    ]
    body = "".join(f'<image id="{n}" name="leaf{n}.png" width="32" height="24">{shape}</image>' for n, shape in enumerate(shapes))
    (images / "annotations.xml").write_text(f"<annotations><version>1.1</version>{body}</annotations>")
    assert "1 images have no annotation; state what they are" in refused(images, prepare, "cvat", images / "annotations.xml")
    manifest, out = made(images, prepare, "cvat", images / "annotations.xml", "--unannotated", "unlabelled")
    assert "1 x <points>, which is not read" in out
    assert [row.boxes for row in manifest.rows[:2]] == [((Box(4, 2, 12, 10), "rust"),)] * 2
    assert manifest.rows[2].boxes == ((Box(4, 2, 8, 5), "scab"),)
    assert manifest.rows[4].boxes == ((Box(10, 6, 14, 14), "rust"),)
    assert manifest.rows[5].boxes is None
    assert [pixels(manifest, row) for row in (0, 1, 2, 4)] == [64, 64, 8, 32]
    (images / "annotations.xml").write_text("<annotations><track id='0'/></annotations>")
    assert "holds tracks of a video" in refused(images, prepare, "cvat", images / "annotations.xml")


def test_names_that_yaml_reads_otherwise_are_refused(images: Path, prepare: Prepare) -> None:
    (images / "set/labels").mkdir(parents=True)
    (images / "set/labels/leaf0.txt").write_text("0 0.5 0.5 0.2 0.2")
    (images / "set/data.yaml").write_text("names: [no, rust]\n")
    assert "YAML reads a name as False; write it in quotes" in refused(images, prepare, "yolo", images / "set")


def test_names_of_classes_lose_the_blanks_around_them_and_twins_are_said(images: Path, prepare: Prepare) -> None:
    box = "<bndbox><xmin>2</xmin><ymin>2</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    (images / "ann").mkdir()
    for number in range(6):
        name = ("rust", " rust ", "Rust")[number % 3]
        text = f"<annotation><filename>leaf{number}.png</filename><object><name>{name}</name>{box}</object></annotation>"
        (images / f"ann/leaf{number}.xml").write_text(text)
    manifest, said = made(images, prepare, "voc", images / "ann")
    assert list(manifest.classes) == ["Rust", "rust"]
    assert "classes 'Rust' and 'rust' differ in case" in said


def test_a_file_without_objects_says_what_was_not_read(images: Path, prepare: Prepare) -> None:
    (images / "ann").mkdir()
    shape = {"label": "rust", "shape_type": "point", "points": [[1, 1]]}
    table = {"imagePath": "leaf0.png", "imageHeight": 24, "imageWidth": 32, "shapes": [shape]}
    (images / "ann/leaf0.json").write_text(json.dumps(table))
    answer = refused(images, prepare, "labelme", images / "ann")
    assert "no object was read, so there are no classes; left out: 1 x " in answer
