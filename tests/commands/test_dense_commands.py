"""Every command where a sensor is the target: a camera learns what a thermal one measures, in kelvin, and no row has another label."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import cv2
import engine_runs as runs
import numpy as np
import onnxruntime
import pytest
from PIL import Image

from xkd import cli
from xkd.engine.loaders import build_loader

CLASSES = 'dict(type=Classification, classes=("blank", "disc", "bar"))'
HEAD = (
    runs.HEAD.replace(CLASSES, "dict(type=Dense, quantities=dict(type=quantities, view=thermal))")
    .replace("import Classification", "import Dense")
    .replace("import CNN", "import PixelCNN")
    .replace("import sensor", "import sensor\nfrom xkd.data.supervisor import quantities")
    .replace("import KD, CrossEntropy", "import PixelL1")
    .replace('"val/macro_f1"', '"val/mae"')
    .replace("size=(16, 24)", "size=(16, 16)")
    .replace("views=[rgb]", 'views=[rgb, thermal], target="view:thermal"')
    .replace("views=[rgb, thermal], augment", 'views=[rgb, thermal, bare], target="view:thermal", augment')
    .replace("task = ", 'bare = dict(thermal, name="bare")\ntask = ')
)
STUDENT = f"""{HEAD}
distiller = dict(
    type=Distiller,
    student="rgb",
    task=task,
    branches=dict(
        rgb=dict(type=Branch, model=dict(type=PixelCNN), view=rgb, weights=dict(type=Random)),
        bare=dict(type=Branch, model=dict(type=PixelCNN, channels=1), view=bare, weights=dict(type=Trained), frozen=True, judged=False),
    ),
    terms=dict(
        labels=dict(type=Term, loss=dict(type=PixelL1, scale=5.0), student="rgb.output", teacher="batch.target"),
        kd=dict(type=Term, loss=dict(type=PixelL1, scale=5.0), student="rgb.output", teacher="bare.output"),
    ),
)
compare = dict(cluster="frame")
""".replace("import EMA, Checkpoint, Random", "import Random, Trained")
WRONG_WORDS = ("accuracy", "class", "logits", "probabilit")


def without_wrong_words(text: str) -> None:
    found = [line for line in text.lower().splitlines() if any(word in line for word in WRONG_WORDS)]
    assert not found, found


@pytest.fixture(scope="module")
def folder(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny data set without any label but what its sensors saw, and a trained student in run/best.pth."""
    made = tmp_path_factory.mktemp("dense")
    shutil.copytree(tiny_dataset, made / "data" / "tiny")
    lines = list(csv.DictReader((made / "data/tiny/manifest.csv").read_text("utf-8").splitlines()))
    with (made / "data/tiny/manifest.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(lines[0]))
        table.writeheader()
        table.writerows({**line, "label": "", "boxes": "", "mask": ""} for line in lines)
    for path in (made / "data/tiny/thermal").iterdir():  # the camera does not see one corner
        counts = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        counts[:12, :16] = 0
        cv2.imwrite(str(path), counts)
    toml = made / "data/tiny/manifest.toml"
    toml.write_text(toml.read_text("utf-8").replace("offset = 0.0", "offset = 0.0\nnodata = 0"), "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XKD_DATA_ROOT", str(made / "data"))
        student = runs.write(made, student=STUDENT)
        runs.run_training(runs.load_config(student, {"train_cfg.max_epochs": 2}), made / "run")
    return made


@pytest.fixture(autouse=True)
def _root(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XKD_DATA_ROOT", str(folder / "data"))


def test_a_teachers_own_run_has_the_same_target(folder: Path) -> None:
    result = json.loads((folder / "run/result.json").read_text("utf-8"))
    assert result["save_best"] == "val/mae"
    config = runs.load_config(folder / "student.py")
    loader = build_loader(config.train_dataloader, 0)
    batch = next(iter(loader))
    assert batch.target.shape == (6, 1, 16, 16)
    assert 0.05 < batch.target[batch.labelled].isnan().float().mean() < 0.4


def test_test(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run("test", [str(folder / "student.py"), str(folder / "run/best.pth"), "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == ["mae", "rmse", "r2"]
    assert cli.run("test", [str(folder / "student.py"), str(folder / "run/best.pth")]) == 0
    without_wrong_words(capsys.readouterr().out)


def test_compare(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work = folder / "compared"
    words = [
        str(folder / "student.py"),
        "--seeds",
        "1",
        "--smoke",
        "--work-dir",
        str(work),
        "--arms",
        "teacher",
        "alone",
        "distilled",
        "shuffled",
    ]
    assert cli.run("compare", words) == 0
    out = capsys.readouterr().out
    assert "MAE, K" in out
    without_wrong_words(out)
    summary = json.loads((work / "summary.json").read_text("utf-8"))
    assert summary["metric"] == "mae"
    assert "K of MAE" in summary["finding"]
    without_wrong_words((work / "summary.csv").read_text("utf-8"))
    html = (work / "report.html").read_text("utf-8")
    body = html[html.index("<main>") : html.index("<details>")]
    assert "thermal (285 to 310 K)" in body
    without_wrong_words(re.sub(r"<[^>]*>", "\n", re.sub(r'src="data:[^"]*"', "", body)))
    assert (work / "panels/contact_sheet.png").is_file()


def test_visualize_and_predict(folder: Path, tmp_path: Path) -> None:
    student, checkpoint = str(folder / "student.py"), str(folder / "run/best.pth")
    assert cli.run("visualize", [student, checkpoint, "--num", "2", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "contact_sheet.png").is_file()
    out, masks = tmp_path / "answers.csv", tmp_path / "answers"
    words = [student, checkpoint, str(folder / "data/tiny/rgb"), "--whole-images", "--out", str(out), "--masks", str(masks)]
    assert cli.run("predict", words) == 0
    lines = list(csv.DictReader(out.read_text("utf-8").splitlines()))
    assert list(lines[0]) == ["file", "mean thermal [K]", "lowest thermal [K]", "highest thermal [K]", "error"]
    with Image.open(masks / f"{Path(lines[0]['file']).stem}.tif") as tiff:
        kelvin = np.asarray(tiff)
    assert kelvin.shape == (16, 16)
    assert kelvin.mean() == pytest.approx(float(lines[0]["mean thermal [K]"]), abs=1e-2)


def test_diagnose(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.run("diagnose", [str(folder / "student.py"), "--work-dir", str(tmp_path / "diagnosed")]) == 0
    without_wrong_words(capsys.readouterr().out)


def test_export(folder: Path, tmp_path: Path) -> None:
    words = [str(folder / "student.py"), str(folder / "run/best.pth"), "--out", str(tmp_path / "student.onnx")]
    assert cli.run("export", words) == 0
    card = json.loads((tmp_path / "student.json").read_text("utf-8"))
    assert card["quantities"] == ["thermal (285 to 310 K)"]
    assert card["outputs"] == {"quantities": "(batch, 1, 16, 16) float32: thermal (285 to 310 K)"}
    without_wrong_words((tmp_path / "student.md").read_text("utf-8"))
    session = onnxruntime.InferenceSession(tmp_path / "student.onnx", providers=["CPUExecutionProvider"])
    answer = session.run(None, {"images": np.zeros((3, 3, 16, 16), np.uint8)})[0]
    assert answer.shape == (3, 1, 16, 16)
    assert 250 < answer.mean() < 350, "kelvin"


def test_another_target_is_refused_before_training(folder: Path, tmp_path: Path) -> None:
    config = runs.config_of(tmp_path, STUDENT.replace('target="view:thermal"', 'target="mask"'))
    with pytest.raises(ValueError, match=r"has target='mask'; Dense learns from target='view:NAME'"):
        runs.run_training(config, tmp_path / "run", smoke=True)
