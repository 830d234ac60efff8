"""A table of boxes becomes boxes of the rows, or a row per box; what cannot be a box is named with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from prepare_calls import Prepare, two_sensors, write_image

from xkd.data.manifest import Manifest
from xkd.geometry import Box


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    for number in range(6):
        write_image(tmp_path / f"rgb/{number}.png", number)
        write_image(tmp_path / f"thermal/{number}.png", number, "thermal")
    return tmp_path


def lines(header: str, row: str) -> str:
    return "\n".join([header, *(row.format(n=n, kind=("car", "van")[n % 2]) for n in range(6))]) + "\n"


@pytest.mark.parametrize(
    "table",
    [
        lines("id,left,top,right,bottom,label", "{n},4,4,14,12,{kind}"),
        lines("filename;xmin;ymin;xmax;ymax;class", "C:\\rgb\\{n}.png;4,0;4,0;14,0;12,0;{kind}"),
        lines("Image,X,Y,Width,Height,Category", "rgb/{n}.png,4,4,10,8,{kind}"),
    ],
)
def test_a_row_per_box_or_boxes_of_the_rows(table: str, scene: Path, prepare: Prepare) -> None:
    (scene / "boxes.csv").write_text(table, "utf-8")
    answer = prepare("boxes", scene / "boxes.csv", *two_sensors(scene), "--out", scene / "out")
    assert answer.code == 0, answer.error
    rows = Manifest.load(scene / "out").rows
    assert [row.boxes for row in rows[:2]] == [((Box(4, 4, 14, 12), "car"),), ((Box(4, 4, 14, 12), "van"),)]
    answer = prepare("boxes", scene / "boxes.csv", *two_sensors(scene), "--crops", "--out", scene / "crops")
    assert answer.code == 0, answer.error
    crops = Manifest.load(scene / "crops").rows
    assert (crops[0].labels, crops[0].crop, crops[0].group) == (("car",), Box(3.25, 2.25, 14.75, 13.75), "0")


def test_an_image_without_a_box_was_looked_at(scene: Path, prepare: Prepare) -> None:
    (scene / "boxes.csv").write_text(lines("id,x1,y1,x2,y2", "{n},4,4,14,12").replace("2,4,4,14,12", "2,,,,"), "utf-8")
    answer = prepare("boxes", scene / "boxes.csv", *two_sensors(scene), "--out", scene / "out")
    assert answer.code == 0, answer.error
    assert "boxes are the columns x1, y1, x2, y2 of boxes.csv, all 'object'" in answer.out
    assert {row.id: row.boxes for row in Manifest.load(scene / "out").rows}["2"] == ()


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        ("id,x1,y1,x2", "{n},4,4,14", "no columns of boxes; they are called left, top, right, bottom; x1, y1, x2, y2; xmin"),
        ("which,x1,y1,x2,y2", "{n},4,4,14,12", "no column for the image's name, one of ['id', 'file'"),
        ("id,x1,y1,x2,y2", "{n},4,4,14,a", "boxes.csv, line 2: '4 4 14 a' is no box; write four numbers, in pixels"),
        ("id,x1,y1,x2,y2", "{n},14,4,4,12", "boxes.csv, line 2: the box '14 4 4 12' has no area"),
        ("id,x1,y1,x2,y2,label", "{n},4,4,14,12,", "boxes.csv, line 2: the box has no class; write one into column 'label'"),
    ],
)
def test_a_planted_fault_is_named(header: str, row: str, message: str, scene: Path, prepare: Prepare) -> None:
    (scene / "boxes.csv").write_text(lines(header, row), "utf-8")
    answer = prepare("boxes", scene / "boxes.csv", *two_sensors(scene), "--out", scene / "out")
    assert (answer.code, message in answer.error) == (2, True), answer.error
