"""Annotated pictures in the frame in which they were drawn, ignored regions, splits of several files, crops."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from prepare_calls import THERMAL, Prepare, first_sample, write_image

from xkd.data.manifest import Manifest
from xkd.data.prepare.placing import Placement
from xkd.data.region import read_codes
from xkd.geometry import Box

CATEGORIES = [{"id": 0, "name": "things"}, {"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]


def write_coco(path: Path, names: list[str], size: tuple[int, int], box: tuple[int, int, int, int]) -> None:
    """Each image of (width, height) `size` with a rectangle x y width height, cats and dogs by turns."""
    x, y, w, h = box
    outline = [[x, y, x + w, y, x + w, y + h, x, y + h]]
    table = {
        "images": [{"id": number, "file_name": name, "width": size[0], "height": size[1]} for number, name in enumerate(names)],
        "annotations": [
            {"image_id": number, "category_id": 1 + number % 2, "bbox": box, "segmentation": outline} for number in range(len(names))
        ],
        "categories": CATEGORIES,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(table), "utf-8")


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """Eight pairs, rgb of 64x48 and thermal of 32x24 with an object at 20 12 8 6 of the thermal picture."""
    for number in range(8):
        write_image(tmp_path / f"rgb/{number}.png", number, size=(48, 64))
        write_image(tmp_path / f"thermal/{number}.png", number, "thermal")
    write_coco(tmp_path / "thermal.json", [f"{number}.png" for number in range(8)], (32, 24), (20, 12, 8, 6))
    return tmp_path


@pytest.mark.parametrize("order", [("rgb", "thermal"), ("thermal", "rgb")])
def test_boxes_stay_in_the_frame_in_which_they_were_drawn(pair: Path, prepare: Prepare, order: tuple[str, ...]) -> None:
    sensors = [word for name in order for word in ("--sensor", f"{name}={pair / name}:{name}")]
    answer = prepare("coco", pair / "thermal.json", *sensors, *THERMAL, "--out", pair / "out")
    assert answer.code == 0, answer.error
    assert "in a frame of 32x24 ([pairs] size), that of thermal; they are scaled to rgb 64x48" in answer.out
    assert "category 'things' has no annotation, so it is no class" in answer.out
    manifest, sample = first_sample(pair / "out", mask="mask")
    assert (manifest.pairs.same_size, manifest.pairs.size, manifest.classes) == (False, (32, 24), ("cat", "dog"))
    assert [box for box, _ in manifest.rows[0].boxes or ()] == [Box(20, 12, 28, 18)]
    assert sample.boxes[0].tolist() in ([0.625, 0.5, 0.875, 0.75], [0.125, 0.5, 0.375, 0.75])  # the draw may mirror it
    assert (sample.mask.sum(), sample.mask[0, 8:12].sum()) == (16, 16)


def test_a_size_of_no_sensor_is_scaled_or_refused(pair: Path, prepare: Prepare) -> None:
    words = ("coco", pair / "other.json", "--sensor", f"rgb={pair / 'rgb'}:rgb", "--out", pair / "out")
    names = [f"{number}.png" for number in range(8)]
    write_coco(pair / "other.json", names, (32, 32), (20, 12, 8, 6))
    answer = prepare(*words)
    assert answer.code == 2
    assert "image '0.png' was annotated at 32x32, its files are rgb 64x48: other proportions" in answer.error
    answer = prepare("coco", pair / "thermal.json", *words[2:4], "--annotated", "depth", *words[4:])
    assert (answer.code, "--annotated depth: no such sensor; there are ['rgb']" in answer.error) == (2, True)
    write_coco(pair / "other.json", names, (128, 96), (40, 24, 16, 12))
    answer = prepare(*words)
    assert answer.code == 0, answer.error
    assert "in a frame of 128x96 ([pairs] size), no sensor's own" in answer.out
    assert first_sample(pair / "out")[1].boxes[0].tolist() in ([0.3125, 0.25, 0.4375, 0.375], [0.5625, 0.25, 0.6875, 0.375])


def test_images_of_many_sizes_have_each_their_frame(tmp_path: Path, prepare: Prepare) -> None:
    entries = []
    for number in range(6):
        write_image(tmp_path / f"rgb/{number}.png", number, size=(24 * (number + 1), 32 * (number + 1)))
        entries.append({"id": number, "file_name": f"{number}.png", "width": 16 * (number + 1), "height": 12 * (number + 1)})
    annotations = [{"image_id": n, "category_id": 1, "bbox": [1, 2, 3, 4], "segmentation": [[1, 2, 4, 2, 4, 6, 1, 6]]} for n in range(6)]
    (tmp_path / "a.json").write_text(json.dumps({"images": entries, "annotations": annotations, "categories": CATEGORIES[1:2]}))
    answer = prepare("coco", tmp_path / "a.json", "--sensor", f"rgb={tmp_path / 'rgb'}:rgb", "--out", tmp_path / "out")
    assert answer.code == 0, answer.error
    assert "objects of 6 images were drawn at another size than their files': boxes and masks were scaled" in answer.out
    manifest, _ = first_sample(tmp_path / "out", mask="mask")
    assert manifest.pairs.same_size
    assert [row.boxes[0][0] for row in manifest.rows if row.boxes] == [Box(2, 4, 8, 12)] * 6
    assert [int(read_codes(tmp_path / "out" / row.mask).sum()) for row in manifest.rows] == [48] * 6


@pytest.mark.parametrize("orientation", range(2, 9))
def test_what_was_drawn_on_stored_pixels_is_turned_with_them(tmp_path: Path, prepare: Prepare, orientation: int) -> None:
    (tmp_path / "rgb").mkdir()
    exif = Image.Exif()
    exif[0x0112] = orientation
    for number in range(8):
        stored = np.random.default_rng(number).integers(0, 40, (24, 32, 3)).astype(np.uint8)
        stored[12:20, 16:24] = 255
        Image.fromarray(stored).save(tmp_path / f"rgb/{number}.jpg", exif=exif, quality=100)
    write_coco(tmp_path / "a.json", [f"{number}.jpg" for number in range(8)], (32, 24), (16, 12, 8, 8))
    words = ("coco", tmp_path / "a.json", "--sensor", f"rgb={tmp_path / 'rgb'}:rgb", "--out", tmp_path / "out")
    if orientation < 5:  # the sizes do not tell
        assert "sizes do not tell how the tool showed them: --turned shown" in prepare(*words).error
        words = (*words, "--turned", "stored")
    answer = prepare(*words)
    assert answer.code == 0, answer.error
    assert "objects of 8 images were drawn on pixels as they are stored" in answer.out
    row = Manifest.load(tmp_path / "out").rows[0]
    shown = cv2.imread(str(tmp_path / "out" / row.files["rgb"][0]), cv2.IMREAD_GRAYSCALE) > 128
    assert np.array_equal(read_codes(tmp_path / "out" / row.mask) > 0, shown)
    x1, y1, x2, y2 = map(int, (row.boxes or ())[0][0])
    assert shown[y1:y2, x1:x2].all()
    assert shown.sum() == (y2 - y1) * (x2 - x1)


def test_a_placement_scales_and_turns() -> None:
    assert Placement((64, 48), (24, 32), 6).box(Box(40, 30, 52, 40)) == pytest.approx((4, 20, 9, 26))


def test_splits_of_several_files(tmp_path: Path, prepare: Prepare) -> None:
    for split, many in (("train", 6), ("valid", 2), ("test", 2)):
        names = [f"leaf{number}.png" for number in range(many)]  # the same in each split
        for number, name in enumerate(names):
            write_image(tmp_path / f"rf/{split}/{name}", hash((split, number)) % 1000)
        write_coco(tmp_path / f"rf/{split}/_annotations.coco.json", names, (32, 24), (4, 4, 8, 6))
    words = ("--sensor", f"rgb={tmp_path / 'rf'}:rgb", "--out", tmp_path / "out")
    answer = prepare("coco", tmp_path / "rf", *words)
    assert answer.code == 0, answer.error
    assert "note: splits are those of the table or the annotations (train 6, val 2, test 2)" in answer.out
    rows = {row.id: row.split for row in Manifest.load(tmp_path / "out").rows}
    assert (rows["train/leaf0"], rows["valid/leaf0"], rows["test/leaf1"]) == ("train", "val", "test")
    (tmp_path / "rf/test").rename(tmp_path / "rf/unknown")
    answer = prepare("coco", tmp_path / "rf", *words[:-1], tmp_path / "again")
    assert (answer.code, "neither its name nor its folder's says a split" in answer.error) == (2, True)


def test_crops_of_objects(pair: Path, prepare: Prepare) -> None:
    words = ("--sensor", f"thermal={pair / 'thermal'}:thermal", *THERMAL)
    answer = prepare("coco", pair / "thermal.json", *words, "--crops", "--out", pair / "out")
    assert answer.code == 0, answer.error
    row = Manifest.load(pair / "out").rows[1]
    assert (row.id, row.labels, row.meta["frame"], row.mask) == ("1-00", ("dog",), "1", "mask/1.png")
    assert row.crop == pytest.approx((19.4, 10.4, 28.6, 19.6))


def test_what_has_no_area_or_lies_outside(pair: Path, prepare: Prepare) -> None:
    table = json.loads((pair / "thermal.json").read_text())
    table["annotations"][0].update(bbox=[5, 5, 0, 0])
    (pair / "thermal.json").write_text(json.dumps(table))
    words = ("coco", pair / "thermal.json", "--sensor", f"thermal={pair / 'thermal'}:thermal", *THERMAL, "--out", pair / "out")
    assert "left out: 1 x box without an area: its place is ignored" in prepare(*words).out
    row = Manifest.load(pair / "out").rows[0]
    assert (row.boxes, row.ignored) == ((), (Box(4, 4, 6, 6),))
    for entry in table["annotations"][:4]:
        entry.update(bbox=[50, 5, 4, 4])
    (pair / "thermal.json").write_text(json.dumps(table))
    answer = prepare(*words[:-1], pair / "again")
    assert (answer.code, "4 boxes lie outside of their images" in answer.error) == (2, True)


@pytest.mark.parametrize("bbox", [[15, 5, -4, 4], [5, 15, 4, -4]])
def test_a_box_whose_edges_are_exchanged_is_an_error_with_its_file_and_image(bbox: list[int], pair: Path, prepare: Prepare) -> None:
    table = json.loads((pair / "thermal.json").read_text())
    table["annotations"][0].update(bbox=bbox)
    (pair / "thermal.json").write_text(json.dumps(table))
    answer = prepare("coco", pair / "thermal.json", "--sensor", f"thermal={pair / 'thermal'}:thermal", *THERMAL, "--out", pair / "out")
    assert answer.code == 2
    assert "thermal.json: image '0.png' has a box whose right or lower edge comes first" in answer.error


def test_names_as_a_tool_changed_them(pair: Path, prepare: Prepare) -> None:
    names = [f"images\\{number:08x}-{number}.png" for number in range(8)]
    write_coco(pair / "ls.json", names, (32, 24), (4, 4, 8, 6))
    answer = prepare("coco", pair / "ls.json", "--sensor", f"thermal={pair / 'thermal'}:thermal", *THERMAL, "--out", pair / "out")
    assert answer.code == 0, answer.error
    assert "8 names have eight digits that Label Studio puts before them" in answer.out
    assert len(Manifest.load(pair / "out").rows) == 8
