"""A student that learned from crops: its card, its test and `xkd predict` speak of crops, and are given them."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import engine_runs as runs
import numpy as np
import pytest

from xkd import cli
from xkd.data.manifest import Manifest
from xkd.engine.config import load_config
from xkd.engine.student import load_student
from xkd.evidence.answers import answer


@pytest.fixture(scope="module")
def cut(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a student of crops and its data set, in which each row is a crop, some over the edge of their image."""
    folder = tmp_path_factory.mktemp("cut")
    shutil.copytree(tiny_dataset, folder / "tiny")
    with (folder / "tiny/manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with (folder / "tiny/manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "crop": f"{number % 20 - 4} 2 {number % 20 + 24} 30"} for number, row in enumerate(rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XKD_DATA_ROOT", str(folder))
        config = load_config(runs.write(folder, student=runs.PLAIN), {"train_cfg.max_epochs": 1})
        runs.run_training(config, folder / "run")
        yield folder


def command(folder: Path) -> list[str]:
    return [str(folder / "student.py"), str(folder / "run" / "best.pth")]


def table(path: Path, *lines: str) -> str:
    path.write_text("\n".join(("file,left,top,right,bottom", *lines)), "utf-8")
    return str(path)


def test_answers_to_crops_are_those_of_the_test_split(cut: Path, tmp_path: Path) -> None:
    rows = [row for row in Manifest.load(cut / "tiny").rows if row.split == "test"]
    lines = [f"{row.files['rgb'][0]},{','.join(f'{edge:g}' for edge in row.crop)}" for row in rows if row.crop]
    crops = table(cut / "tiny" / "crops.csv", *[lines[0].replace("/", "\\"), *lines[1:]])
    out = tmp_path / "answers.csv"
    assert cli.run("predict", [*command(cut), "--crops", crops, "--out", str(out)]) == 0
    config = load_config(cut / "student.py")
    expected = answer(config, load_student(config, command(cut)[1]), 0)
    with out.open(newline="", encoding="utf-8") as file:
        answers = list(csv.DictReader(file))
    given = [[float(row[name]) for name in ("blank", "disc", "bar")] for row in answers]
    assert np.allclose(given, expected.predictions, atol=1e-4)
    assert [answers[0][name] for name in ("left", "top", "right", "bottom")] == lines[0].split(",")[1:]


def test_whole_images_are_refused_unless_they_are_meant(cut: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = [*command(cut), str(cut / "tiny" / "rgb"), "--out", str(tmp_path / "answers.csv")]
    assert cli.run("predict", images) == 2
    assert "learned and was measured on crops of images (100% of its rows)" in capsys.readouterr().err
    assert cli.run("predict", [*images, "--whole-images"]) == 0


def test_the_card_and_the_test_speak_of_crops(cut: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run("test", command(cut)) == 0
    assert "its rows are crops of images" in capsys.readouterr().out
    assert cli.run("export", [*command(cut), "--out", str(tmp_path / "student.onnx")]) == 0
    card = json.loads((tmp_path / "student.json").read_text("utf-8"))
    assert card["preparation"].startswith("cut the crop out of the image")
    assert "measured on crops of images" in card["caveats"][-1]


WRONG = {
    "column": ("file,left,top,right", "has no columns ['bottom']; it needs file, left, top, right, bottom"),
    "number": ("file,left,top,right,bottom\na.png,1,2,x,4", "line 2: left, top, right, bottom must be numbers"),
    "shares": ("file,left,top,right,bottom\na.png,0.1,0.1,0.4,0.4", "line 2: the crop is smaller than a pixel; write pixels of the image"),
    "order": ("file,left,top,right,bottom\na.png,5,2,3,4", "line 2: left 5 < right 3 and top 2 < bottom 4 must hold"),
    "file": ("file,left,top,right,bottom\na.png,1,2,3,4", "line 2: no file"),
    "nothing": ("file,left,top,right,bottom\n", "has no line below its header"),
}


@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=list(WRONG))
def test_a_wrong_table_is_named_with_its_line(
    text: str, message: str, cut: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "crops.csv").write_text(text, "utf-8")
    assert cli.run("predict", [*command(cut), "--crops", str(tmp_path / "crops.csv")]) == 2
    assert message in capsys.readouterr().err


def test_a_crop_outside_its_image_has_its_line(cut: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crops = table(cut / "tiny" / "outside.csv", "rgb/01.png,1,2,30,30", "rgb/01.png,100,2,130,30")
    assert cli.run("predict", [*command(cut), "--crops", crops, "--out", str(tmp_path / "answers.csv")]) == 1
    assert "lies outside its image of 48x40" in capsys.readouterr().out.replace("\n", " ")


def test_something_must_be_named(cut: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run("predict", command(cut)) == 2
    assert "name images or folders, or parts of images by --crops TABLE" in capsys.readouterr().err
