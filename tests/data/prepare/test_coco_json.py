"""A COCO JSON becomes boxes, labels and masks of the images that it names."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prepare_calls import THERMAL, Prepare, first_sample, write_image

from xkd.data.manifest import Manifest
from xkd.data.region import read_codes
from xkd.geometry import Box

CATEGORIES = [{"id": 7, "name": "leaf"}, {"id": 3, "name": "lesion"}]
SQUARE = [10, 4, 20, 4, 20, 14, 10, 14]  # 100 pixels


def annotation(image: int, category: int, bbox: list[float], **more: Any) -> dict[str, Any]:
    return {"image_id": image, "category_id": category, "bbox": bbox, **more}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Eight images of 32x24 below rgb/ (one of them without a file) and thermal/; image 1 has a lesion on a leaf, 2 a crowd of
    lesions, 3 a leaf without an outline, 4 nothing, 5 to 8 a leaf each.
    """
    for number in range(1, 9):
        if number != 8:
            write_image(tmp_path / f"rgb/{number}.png", number)
            write_image(tmp_path / f"thermal/{number}.png", number, "thermal")
    write_image(tmp_path / "rgb/stranger.png", 99)
    inside = np.zeros((24, 32), int)
    inside[2:5, 3:9] = 1
    flat = inside.T.ravel()
    counts = np.diff([0, *(np.flatnonzero(np.diff(flat)) + 1), flat.size]).tolist()
    table = {
        "images": [{"id": number, "file_name": f"{number}.png", "width": 32, "height": 24} for number in range(1, 9)],
        "categories": CATEGORIES,
        "annotations": [
            annotation(1, 3, [12, 6, 2, 3], segmentation=[[12, 6, 14, 6, 14, 9, 12, 9]], area=6),
            annotation(1, 7, [10, 4, 10, 10], segmentation=[SQUARE], area=100),
            annotation(2, 3, [3, 2, 6, 3], iscrowd=1, segmentation={"size": [24, 32], "counts": counts}),
            annotation(3, 7, [1, 1, 5, 5.5]),
            *(annotation(number, 7, [10, 4, 10, 10], segmentation=[SQUARE]) for number in range(5, 9)),
        ],
    }
    (tmp_path / "coco.json").write_text(json.dumps(table), "utf-8")
    return tmp_path


def words(root: Path) -> tuple[str, ...]:
    return ("coco", str(root / "coco.json"), "--sensor", f"rgb={root / 'rgb'}:rgb", "--out", str(root / "out"))


def test_boxes_labels_and_masks(source: Path, prepare: Prepare) -> None:
    thermal = ("--sensor", f"thermal={source / 'thermal'}:thermal", *THERMAL)
    answer = prepare(*words(source), *thermal, "--unannotated", "empty", "--mask-positive", "lesion")
    assert answer.code == 0, answer.error
    for reason in (
        "1 x crowd or otherwise ignored object, which gives no box",
        "1 x annotated image without a file",
        "1 x 'rgb' that the annotations do not name",
        "1 x mask of an image with boxes alone",
        "2 x label of an image with several classes, or none",
    ):
        assert f"left out: {reason}" in answer.out
    manifest, sample = first_sample(source / "out", mask="mask")
    assert manifest.classes == ("lesion", "leaf")  # in the order of their ids
    assert manifest.mask is not None
    assert manifest.mask.values == {"background": 0, "lesion": 1, "leaf": 2}
    assert manifest.mask.positive == ("lesion",)
    rows = {row.id: row for row in manifest.rows}
    assert list(rows) == ["1", "2", "3", "4", "5", "6", "7"]
    assert rows["1"].boxes == ((Box(12, 6, 14, 9), "lesion"), (Box(10, 4, 20, 14), "leaf"))
    assert (rows["1"].labels, rows["2"].labels, rows["5"].labels) == (None, ("lesion",), ("leaf",))
    assert (rows["2"].boxes, rows["4"].boxes) == ((), ())
    assert (rows["2"].ignored, rows["4"].ignored) == ((Box(3, 2, 9, 5),), ())  # a crowd is not nothing
    assert rows["3"].mask == ""
    codes = {name: np.bincount(read_codes(source / "out" / rows[name].mask).ravel(), minlength=3).tolist() for name in ("1", "2", "4", "5")}
    # the lesion lies on top of the leaf that was drawn after it
    assert codes == {"1": [668, 6, 94], "2": [750, 18, 0], "4": [768, 0, 0], "5": [668, 0, 100]}
    assert sample.present == {"rgb": True, "thermal": True}


def test_all_classes_of_an_image_as_its_labels(source: Path, prepare: Prepare) -> None:
    assert prepare(*words(source), "--multilabel", "--unannotated", "unlabelled").code == 0
    manifest = Manifest.load(source / "out")
    assert manifest.multilabel
    labels = {row.id: row.labels for row in manifest.rows}
    assert (labels["1"], labels["2"], labels["4"]) == (("lesion", "leaf"), ("lesion",), None)
    assert {row.id: row.boxes for row in manifest.rows}["4"] is None


def test_boxes_alone_make_no_masks(source: Path, prepare: Prepare) -> None:
    table = json.loads((source / "coco.json").read_text("utf-8"))
    for entry in table["annotations"]:
        entry.pop("segmentation", None)
    (source / "coco.json").write_text(json.dumps(table), "utf-8")
    answer = prepare(*words(source), "--unannotated", "empty")
    assert answer.code == 0, answer.error
    assert "boxes alone" not in answer.out
    manifest = Manifest.load(source / "out")
    assert manifest.mask is None
    assert not any(row.mask for row in manifest.rows)


def test_chosen_classes(source: Path, prepare: Prepare) -> None:
    answer = prepare(*words(source), "--classes", "leaf", "--unannotated", "empty", "--multilabel")
    assert "left out: 2 x annotation of 'lesion', not among the classes" in answer.out
    rows = {row.id: row for row in Manifest.load(source / "out").rows}
    assert (rows["2"].labels, rows["2"].boxes) == ((), ())
    assert np.unique(read_codes(source / "out" / rows["1"].mask)).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("fault", "more", "message"),
    [
        (lambda table: None, (), "1 images have no annotation; state what they are: --unannotated empty, or unlabelled"),
        (lambda table: table.pop("categories"), (), "'categories' is not there; is it a COCO JSON of objects?"),
        (lambda table: table["images"][2].pop("width"), (), "images[2] has no 'width'"),
        (
            lambda table: table["annotations"][0].update(category_id=9),
            (),
            "annotations[0] is of image 1 and category 9; not both are listed",
        ),
        (lambda table: table["annotations"][1].update(bbox=[1, 2]), (), "annotations[1] has bbox [1, 2]; write [x, y, width, height]"),
        (lambda table: table["annotations"][1].update(bbox=None), (), "annotations[1] has bbox None; write [x, y, width, height]"),
        (lambda table: table["annotations"][1].update(bbox=["a", 1, 2, 3]), (), "annotations[1] has bbox ['a', 1, 2, 3]; write"),
        (lambda table: table.update(images=[1]), (), "images[0] is 1; write an object with"),
        (lambda table: table["images"][1].update(width="wide"), (), "image '2.png' has width 'wide' and height 24; write numbers"),
        (lambda table: table["categories"].append({"id": 7, "name": "stem"}), (), "a category's id is there twice"),
        (
            lambda table: [entry.update(bbox=[0.1, 0.2, 0.3, 0.3]) for entry in table["annotations"]],
            ("empty",),
            "boxes lie within 0 and 1: shares of the picture, where pixels are needed",
        ),
        (lambda table: table["images"].append(table["images"][0]), (), "an image's id is there twice"),
        (lambda table: table["images"][1].update(file_name="1.jpg"), ("empty",), "two images have the stem '1'"),
        (lambda table: table["categories"][0].update(name="background"), ("empty",), "none is called 'background'"),
        (lambda table: table["annotations"][1].update(segmentation=[[1, 2]]), ("empty",), "image '1.png': a polygon is"),
        (lambda table: table["annotations"][2]["segmentation"].update(counts="1"), ("empty",), "image '2.png': run lengths do not add up"),
        (
            lambda table: [entry.update(file_name=f"x{entry['id']}.png") for entry in table["images"]],
            ("empty",),
            "none of the annotated images is a file of a sensor",
        ),
        (lambda table: None, ("empty", "--classes", "leave"), "no category 'leave'; it has ['lesion', 'leaf']"),
        (lambda table: None, ("empty", "--mask-positive", "leave"), "--mask-positive names some of ['lesion', 'leaf']; got 'leave'"),
    ],
)
def test_a_planted_fault_is_named(
    source: Path, prepare: Prepare, fault: Callable[[dict[str, Any]], object], more: tuple[str, ...], message: str
) -> None:
    table = json.loads((source / "coco.json").read_text("utf-8"))
    fault(table)
    (source / "coco.json").write_text(json.dumps(table), "utf-8")
    answer = prepare(*words(source), *(("--unannotated", *more) if more else ()))
    assert answer.code == 2
    assert message in answer.error
    assert sorted(path.name for path in source.iterdir()) == ["coco.json", "rgb", "thermal"]


def test_a_file_that_is_no_json_is_named(source: Path, prepare: Prepare) -> None:
    (source / "coco.json").write_text("{", "utf-8")
    answer = prepare(*words(source))
    assert (answer.code, "coco.json: Expecting property name" in answer.error) == (2, True)


def test_boxes_that_reach_out_of_their_images_are_said(source: Path, prepare: Prepare) -> None:
    table = json.loads((source / "coco.json").read_text("utf-8"))
    table["annotations"][3].update(bbox=[20, 10, 30, 20])  # corners, in the words of another format
    table["images"][0].update(width="32.0")
    (source / "coco.json").write_text(json.dumps(table), "utf-8")
    answer = prepare(*words(source), "--unannotated", "empty")
    assert answer.code == 0, answer.error
    assert "1 of 7 boxes reach out of their images, such as 20 10 50 30 in '3' (left, top, right, bottom)" in answer.out
