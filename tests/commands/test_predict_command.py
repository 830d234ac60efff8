"""`xkd predict`: a table of answers for images from anywhere."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import cv2
import engine_runs as runs
import numpy as np
import pytest

from xkd import cli
from xkd.data.images import find_images
from xkd.data.manifest import Manifest, sensor
from xkd.engine.config import load_config
from xkd.engine.student import load_student
from xkd.evidence.answers import answer

PIXELS = (
    runs.PLAIN.replace("import Classification", "import PixelHead, Segmentation")
    .replace('dict(type=Classification, classes=("blank", "disc", "bar"))', 'dict(type=Segmentation, classes=("background", "object"))')
    .replace("model=dict(type=CNN)", "model=dict(type=PixelHead, backbone=backbone, num_classes=2)")
    .replace('split="train", ', 'split="train", target="mask", ')
    .replace('split="val", ', 'split="val", target="mask", ')
    .replace('split="test", ', 'split="test", target="mask", ')
    .replace(
        "\nrgb = dict(",
        '\nbackbone = dict(type="timm.create_model", model_name="resnet10t", features_only=True, out_indices=(1,))\nrgb = dict(',
    )
)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_answers_are_those_of_the_test_split(trained: Path, data_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "answers.csv"
    rows = [row for row in Manifest.load(data_root).rows if row.split == "test"]
    images = [str(data_root / row.files["rgb"][0]) for row in rows]
    assert cli.run("predict", [str(trained / "student.py"), str(trained / "best.pth"), *images, "--out", str(out)]) == 0
    assert "predicted 12 images" in capsys.readouterr().out
    answers = table(out)
    assert list(answers[0]) == ["file", "prediction", "blank", "disc", "bar", "error"]
    config = load_config(trained / "student.py")
    expected = answer(config, load_student(config, str(trained / "best.pth")), 0)
    given = np.array([[float(row[name]) for name in ("blank", "disc", "bar")] for row in answers])
    assert np.allclose(given, expected.predictions, atol=1e-4)
    assert [row["prediction"] for row in answers] == [("blank", "disc", "bar")[k] for k in expected.predictions.argmax(1)]


def test_what_cannot_be_read_has_its_line(trained: Path, data_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    shutil.copy(data_root / "rgb/30.png", folder / "deep" / "good.PNG")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8")
    (folder / "notes.txt").write_text("no image", "utf-8")
    out = tmp_path / "answers.csv"
    assert cli.run("predict", [str(trained / "student.py"), str(trained / "best.pth"), str(folder), "--out", str(out)]) == 1
    shown = capsys.readouterr().out
    assert "predicted 1 images" in shown
    assert "1 images could not be read, the first: " in shown
    assert "beware" not in shown
    broken, good = table(out)
    assert (broken["prediction"], good["error"]) == ("", "")
    assert "broken.jpg" in broken["error"]


def test_an_image_of_other_proportions_is_named(trained: Path, data_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = cv2.imread(str(data_root / "rgb/30.png"))
    cv2.imwrite(str(tmp_path / "tall.png"), image[:, : image.shape[1] // 3])
    shutil.copy(data_root / "rgb/30.png", tmp_path / "usual.png")
    assert (
        cli.run("predict", [str(trained / "student.py"), str(trained / "best.pth"), str(tmp_path), "--out", str(tmp_path / "a.csv")]) == 0
    )
    assert "beware: 1 of 2 images have other proportions than what the network sees" in (shown := capsys.readouterr().out)
    assert "tall.png" in shown


@pytest.mark.parametrize("folder", ["absent", "empty"])
def test_places_without_images(folder: str, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert cli.run("predict", [str(trained / "student.py"), str(trained / "best.pth"), str(tmp_path / folder)]) == 2
    assert str(tmp_path / folder) in capsys.readouterr().err


def test_a_table_is_no_json(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "boxes.json"
    assert cli.run("predict", [str(trained / "student.py"), str(trained / "best.pth"), str(tmp_path), "--out", str(out)]) == 2
    assert "answers are a CSV, and what a detector finds is in a .json beside it too: name a .csv" in capsys.readouterr().err
    assert not out.exists()


def test_several_labels(trained: Path, data_root: Path, tmp_path: Path) -> None:
    options = ["--cfg-options", "distiller.task.multilabel=True"]
    command = [str(trained / "student.py"), str(trained / "best.pth"), str(data_root / "rgb"), "--out", str(tmp_path / "answers.csv")]
    assert cli.run("predict", [*command, *options]) == 0
    for row in table(tmp_path / "answers.csv"):
        likely = [name for name in ("blank", "disc", "bar") if float(row[name]) > 0.5]
        assert row["prediction"] == ";".join(likely)


@pytest.fixture(scope="module")
def pixels(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pixels")
    result = runs.run_training(runs.load_config(runs.write(folder, student=PIXELS), {"train_cfg.max_epochs": 1}), folder / "run")
    shutil.copy(result.checkpoint, folder / "best.pth")
    return folder


def test_masks_lie_as_the_images_do(pixels: Path, data_root: Path, tmp_path: Path) -> None:
    for name in ("left/1.png", "right/1.png"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True)
        shutil.copy(data_root / "rgb/30.png", tmp_path / "photos" / name)
    command = [str(pixels / "student.py"), str(pixels / "best.pth"), str(tmp_path / "photos")]
    places = ["--out", str(tmp_path / "answers.csv"), "--masks", str(tmp_path / "masks")]
    assert cli.run("predict", [*command, *places]) == 0
    for row, name in zip(table(tmp_path / "answers.csv"), ("left/1.png", "right/1.png"), strict=True):
        codes = cv2.imread(str(tmp_path / "masks" / name), cv2.IMREAD_UNCHANGED)
        assert codes.shape == (16, 16)
        assert float(row["object"]) == pytest.approx((codes == 1).mean(), abs=1e-4)


def test_two_images_never_share_a_mask(pixels: Path, data_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("1.png", "1.bmp"):
        cv2.imwrite(str(tmp_path / name), cv2.imread(str(data_root / "rgb/30.png")))
    places = ["--out", str(tmp_path / "answers.csv"), "--masks", str(tmp_path / "masks")]
    assert cli.run("predict", [str(pixels / "student.py"), str(pixels / "best.pth"), str(tmp_path), *places]) == 2
    assert "1.bmp and " in capsys.readouterr().err
    assert not (tmp_path / "answers.csv").exists()


def test_masks_are_of_pixels(trained: Path, data_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [str(trained / "student.py"), str(trained / "best.pth"), str(data_root / "rgb"), "--masks", str(tmp_path / "masks")]
    assert cli.run("predict", command) == 2
    assert "masks are for a task that answers pixel by pixel; this config's task is Classification" in capsys.readouterr().err


def test_what_training_takes_is_found(trained: Path, data_root: Path, tmp_path: Path) -> None:
    view = load_student(load_config(trained / "student.py"), str(trained / "best.pth")).branch.view
    for name in ("a.pgm", "b.jp2", "c.TIFF", "scan.bin"):
        (tmp_path / name).write_bytes(b"")
    assert [name.name for name in find_images([str(tmp_path)], view).values()] == ["a.pgm", "b.jp2", "c.TIFF"]
    assert sensor(str(data_root), "rgb") == view.modality
