"""LLVIP, FLIR ADAS and KAIST, on made files of their layouts: nobody may hand these data sets on."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from prepare_calls import Prepare, write_image

from xkd.data.manifest import Manifest
from xkd.geometry import Box


def voc(path: Path, *objects: str, size: tuple[int, int] = (32, 24)) -> None:
    """`name x1 y1 x2 y2` each."""
    entries = ""
    for words in objects:
        name, *edges = words.split()
        corners = "".join(f"<{edge}>{value}</{edge}>" for edge, value in zip(("xmin", "ymin", "xmax", "ymax"), edges, strict=True))
        entries += f"<object><name>{name}</name><bndbox>{corners}</bndbox></object>"
    path.parent.mkdir(parents=True, exist_ok=True)
    stated = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>"
    path.write_text(f"<annotation><filename>{path.stem}.jpg</filename>{stated}{entries}</annotation>")


def grey(path: Path, seed: int) -> None:
    """Of 8 bits, in a JPEG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 255, (24, 32), dtype=np.uint8))


def pair(rgb: Path, thermal: Path, seed: int) -> None:
    write_image(rgb, seed)
    grey(thermal, seed + 100)


def llvip(root: Path) -> Path:
    for number, (location, split) in enumerate([("01", "train"), ("02", "train"), ("03", "train"), ("05", "test"), ("05", "train")]):
        for frame in range(2):
            name = f"{location}{number}{frame:03d}"
            pair(root / f"visible/{split}/{name}.jpg", root / f"infrared/{split}/{name}.jpg", 10 * number + frame)
            voc(root / f"Annotations/{name}.xml", *(["person 5 5 15 20"] if frame else []))
    return root


def made(prepare: Prepare, layout: str, root: Path, *words: str) -> tuple[Manifest, str]:
    answer = prepare(layout, root, "--out", root.parent / "out", *words)
    assert answer.code == 0, answer.error
    return Manifest.load(root.parent / "out"), answer.out


def test_llvip(tmp_path: Path, prepare: Prepare) -> None:
    manifest, said = made(prepare, "llvip", llvip(tmp_path / "llvip"))
    rows = {row.id: row for row in manifest.rows}
    assert manifest.classes == ("person",)
    assert list(manifest.modalities) == ["rgb", "thermal"]
    assert rows["train/010001"].boxes == ((Box(4, 4, 15, 20), "person"),)
    assert rows["train/010000"].boxes == (), "annotated, and nobody is there"
    assert {row.group for row in rows.values()} == {"01", "02", "03", "05"}
    assert {row.split for row in rows.values() if row.group == "05"} == {"test"}
    assert {row.split for row in rows.values()} == {"train", "val", "test"}
    assert "train/054000" not in rows
    assert "2 images of train are at a location of test, and are left out" in said


def test_kaist_in_both_of_its_formats(tmp_path: Path, prepare: Prepare) -> None:
    root = tmp_path / "kaist"
    lines = "% bbGt version=3\nperson 4 5 10 12 0 0 0 0 0 0 0\ncyclist 20 2 6 9 1 0 0 0 0 0 0\npeople 1 1 5 5 0 0 0 0 0 0 0\n"
    lines += "person 8 8 4 4 2 0 0 0 0 0 0\nperson 2 2 4 4 0 0 0 0 0 1 0\nperson? 3 3 4 4 0 0 0 0 0 0 0\n"
    for number, video in enumerate(["set00/V000", "set00/V001", "set05/V000", "set06/V000"]):
        pair(root / f"images/{video}/visible/I00000.jpg", root / f"images/{video}/lwir/I00000.jpg", number)
        (root / f"annotations/{video}").mkdir(parents=True)
        (root / f"annotations/{video}/I00000.txt").write_text(lines if number != 1 else "% bbGt version=3\n")
    manifest, _ = made(prepare, "kaist", root)
    rows = {row.id: row for row in manifest.rows}
    assert rows["set00/V000/I00000"].boxes == ((Box(4, 5, 14, 17), "person"), (Box(20, 2, 26, 11), "cyclist"))
    assert rows["set00/V000/I00000"].ignored == (Box(1, 1, 6, 6), Box(8, 8, 12, 12), Box(2, 2, 6, 6), Box(3, 3, 7, 7))
    assert rows["set00/V001/I00000"].boxes == ()
    assert rows["set06/V000/I00000"].split == "test"
    assert rows["set00/V001/I00000"].group == "set00/V001"
    assert {row.split for row in rows.values()} == {"train", "val", "test"}

    for path in (root / "annotations").rglob("*.txt"):
        box = "<bndbox><x>4</x><y>5</y><w>10</w><h>12</h></bndbox>"
        text = f"<annotation><object><name>person</name>{box}<occlusion>0</occlusion></object></annotation>"
        path.with_suffix(".xml").write_text(text)
        path.unlink()
    answer = prepare("kaist", root, "--out", tmp_path / "later")
    assert answer.code == 0, answer.error
    assert Manifest.load(tmp_path / "later").rows[0].boxes == ((Box(4, 5, 14, 17), "person"),)


@pytest.mark.parametrize(
    ("line", "message"),
    [("dog 1 1 5 5 0 0 0 0 0 0 0", "line 2: unknown label 'dog'; KAIST has"), ("person 1 1 5", "line 2: 'person 1 1 5' is no object")],
)
def test_a_line_of_kaist_that_is_wrong_is_named(line: str, message: str, tmp_path: Path, prepare: Prepare) -> None:
    pair(tmp_path / "images/set00/V000/visible/I00000.jpg", tmp_path / "images/set00/V000/lwir/I00000.jpg", 0)
    (tmp_path / "annotations/set00/V000").mkdir(parents=True)
    (tmp_path / "annotations/set00/V000/I00000.txt").write_text(f"% bbGt version=3\n{line}\n")
    answer = prepare("kaist", tmp_path, "--out", tmp_path / "out")
    assert (answer.code, message in answer.error) == (2, True), answer.error


def test_the_aligned_pairs_of_flir_adas(tmp_path: Path, prepare: Prepare) -> None:
    root = tmp_path / "align"
    names = [f"FLIR_{number:05d}" for number in range(1, 13)]
    for number, name in enumerate(names):
        pair(root / f"JPEGImages/{name}_RGB.jpg", root / f"JPEGImages/{name}_PreviewData.jpeg", number)
        voc(root / f"Annotations/{name}_PreviewData.xml", "person 5 5 15 20", "car 10 2 30 12")
    (root / "align_train.txt").write_text("".join(f"{name}_PreviewData\n" for name in names[:8]))
    (root / "align_validation.txt").write_text("".join(f"{name}_PreviewData\n" for name in names[8:11]))
    manifest, _ = made(prepare, "flir-adas", root)
    splits = {row.id: row.split for row in manifest.rows}
    assert manifest.classes == ("car", "person")
    assert splits == dict(zip(names, ["train"] * 7 + ["val"] + ["test"] * 3, strict=False))
    assert manifest.rows[0].files == {"rgb": ("rgb/FLIR_00001_RGB.jpg",), "thermal": ("thermal/FLIR_00001_PreviewData.jpeg",)}


def test_the_first_release_of_flir_adas_says_that_its_pairs_are_not_aligned(tmp_path: Path, prepare: Prepare) -> None:
    root = tmp_path / "flir"
    for folder, numbers in (("train", range(8)), ("val", range(8, 11))):
        for number in numbers:
            name = f"FLIR_{number:05d}"
            write_image(root / folder / f"RGB/{name}.jpg", number, size=(48, 64))
            grey(root / folder / f"thermal_8_bit/{name}.jpeg", number)
        images = [{"id": n, "file_name": f"thermal_8_bit/FLIR_{n:05d}.jpeg", "width": 32, "height": 24} for n in numbers]
        boxes = [{"id": n, "image_id": n, "category_id": 1, "bbox": [4, 5, 10, 12]} for n in numbers if n]
        table = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "bicycle"}]}
        (root / folder / "thermal_annotations.json").write_text(json.dumps(table))
    manifest, said = made(prepare, "flir-adas", root)
    rows = {row.id: row for row in manifest.rows}
    assert manifest.pairs.size == (32, 24)
    assert rows["train/FLIR_00001"].boxes == ((Box(4, 5, 14, 17), "person"),)
    assert rows["train/FLIR_00000"].boxes == ()
    assert (rows["train/FLIR_00007"].split, rows["val/FLIR_00008"].split) == ("val", "test")
    assert "register the pairs first" in said


@pytest.mark.parametrize(
    ("layout", "folder", "message"),
    [
        ("llvip", "visible/train", r"lacks ['visible/test', 'infrared/train', 'infrared/test', 'Annotations']"),
        ("kaist", "images", "lacks ['annotations']; this layout holds ['images', 'annotations']"),
        ("flir-adas", "train/RGB", "lacks ['train/thermal_8_bit', 'train/thermal_annotations.json'"),
        ("flir-adas", "images_thermal_train", "FLIR ADAS 2 has pairs in its test videos alone"),
    ],
)
def test_what_a_layout_lacks_is_named(layout: str, folder: str, message: str, tmp_path: Path, prepare: Prepare) -> None:
    (tmp_path / folder).mkdir(parents=True)
    answer = prepare(layout, tmp_path, "--out", tmp_path / "out")
    assert (answer.code, message in answer.error) == (2, True), answer.error
