"""Every command on rows that are labelled with a number: it says MAE and its unit, and nothing of classes."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import engine_runs as runs
import numpy as np
import onnxruntime
import pytest
from number_pairs import write_numbers

from xkd import cli

CLASSES = 'dict(type=Classification, classes=("blank", "disc", "bar"))'
HEAD = (
    runs.HEAD.replace('"tiny"', '"numbers"')
    .replace(CLASSES, 'dict(type=Regression, numbers=dict(type=numbers, root="numbers"))')
    .replace("import Classification", "import Regression")
    .replace("import sensor", "import numbers, sensor")
    .replace("import KD, CrossEntropy", "import L1, MSE")
    .replace('"val/macro_f1"', '"val/mae"')
)
LABELS = 'labels=dict(type=Term, loss=dict(type=MSE, scale=10.0), student="{0}.output", teacher="batch.target")'
TEACHER = runs.TEACHER.replace(runs.HEAD, HEAD).replace("dict(type=CNN, channels=1)", "dict(type=CNN, channels=1, num_classes=1)")
TEACHER = TEACHER.replace(
    'ce=dict(type=Term, loss=dict(type=CrossEntropy), student="thermal.output", teacher="batch.target")', LABELS.format("thermal")
).replace('"tiny"', '"numbers"')
STUDENT = f"""{HEAD}
distiller = dict(
    type=Distiller,
    student="rgb",
    task=task,
    branches=dict(
        rgb=dict(type=Branch, model=dict(type=CNN, num_classes=1), view=rgb, weights=dict(type=Random)),
        thermal=dict(
            type=Branch, model=dict(type=CNN, channels=1, num_classes=1), view=thermal, weights=dict(type=Checkpoint, path="teacher.pth"),
            frozen=True, judged=False,
        ),
    ),
    terms=dict({LABELS.format("rgb")}, kd=dict(type=Term, loss=dict(type=L1), student="rgb.output", teacher="thermal.output")),
)
compare = dict(teachers=dict(thermal="teacher.py"), cluster="frame", attention=dict(rgb="grad_cam:deep", thermal="grad_cam:deep"))
"""
WRONG_WORDS = ("accuracy", "class", "logits", "probabilit")


def without_wrong_words(text: str, *allowed: str) -> None:
    for word in allowed:
        text = text.replace(word, "")
    found = [line for line in text.lower().splitlines() if any(word in line for word in WRONG_WORDS)]
    assert not found, found


@pytest.fixture(scope="module")
def folder(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data/numbers and the two configs; with a trained student in run/best.pth."""
    made = tmp_path_factory.mktemp("regression")
    write_numbers(tiny_dataset, made / "data" / "numbers")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XKD_DATA_ROOT", str(made / "data"))
        teacher = runs.write(made, teacher=TEACHER)
        result = runs.run_training(runs.load_config(teacher, {"train_cfg.max_epochs": 2}), made / "teacher_run")
        shutil.copy(result.checkpoint, made / "teacher.pth")
        student = runs.write(made, student=STUDENT.replace('path="teacher.pth"', f'path="{made / "teacher.pth"}"'))
        runs.run_training(runs.load_config(student, {"train_cfg.max_epochs": 2}), made / "run")
    return made


@pytest.fixture(autouse=True)
def _root(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XKD_DATA_ROOT", str(folder / "data"))


def test_the_best_checkpoint_has_the_least_error(folder: Path) -> None:
    result = json.loads((folder / "run/result.json").read_text("utf-8"))
    checkpoint = runs.read(max((folder / "run").glob("epoch_*.pth")))
    errors = [validation["val/mae"] for validation in checkpoint["validations"]]
    assert result["best"] == pytest.approx(min(errors))
    assert result["save_best"] == "val/mae"


def test_check_pairs(folder: Path, tmp_path: Path) -> None:
    cli.run("check-pairs", ["numbers", "--out", str(tmp_path), "--sample", "2"])
    page = (tmp_path / "pairs.html").read_text("utf-8")
    assert '<td data-label="val">12 <small class="soft">1 to 16.5, median 8.62</small>' in page
    assert "of class" not in page
    assert json.loads((tmp_path / "pairs.json").read_text("utf-8"))["balance"]["numbers"]["warmth (0 to 20 K)"]["val"]["count"] == 12


def test_test(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run("test", [str(folder / "student.py"), str(folder / "run/best.pth"), "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == ["mae", "rmse", "r2", "spearman"]
    assert cli.run("test", [str(folder / "student.py"), str(folder / "run/best.pth")]) == 0
    without_wrong_words(capsys.readouterr().out)


def test_compare(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work = folder / "compared"
    arms = ["teacher", "alone", "distilled", "shuffled_within"]
    words = [str(folder / "student.py"), "--seeds", "1", "--smoke", "--work-dir", str(work), "--arms", *arms]
    assert cli.run("compare", words) == 0
    out = capsys.readouterr().out
    assert "MAE, K" in out
    without_wrong_words(out)
    summary = json.loads((work / "summary.json").read_text("utf-8"))
    assert summary["metric"] == "mae"
    assert "K of MAE" in summary["finding"]
    without_wrong_words((work / "summary.csv").read_text("utf-8"))
    lines = {(line["arm"], line["number"]): line["mean"] for line in csv.DictReader((work / "summary.csv").read_text("utf-8").splitlines())}
    assert float(lines["alone", "mae"]) > 0
    assert float(lines["distilled", "distance"]) >= 0
    assert lines["distilled", "gain"] == lines["distilled", "minus_alone"]
    html = (work / "report.html").read_text("utf-8")
    body = html[html.index("<main>") : html.index("<details>")]
    assert "Change of MAE" in body
    assert "warmth (0 to 20 K)" in body
    without_wrong_words(re.sub(r"<[^>]*>", "\n", re.sub(r'src="data:[^"]*"', "", body)))
    assert (work / "panels/contact_sheet.png").is_file()


def test_diagnose(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.run("diagnose", [str(folder / "student.py"), "--work-dir", str(tmp_path / "diagnosed")]) == 0
    without_wrong_words(capsys.readouterr().out)
    answers = json.loads((tmp_path / "diagnosed/diagnosis.json").read_text("utf-8"))["answers"]
    better = next(answer for answer in answers if "better" in answer["question"])
    assert better["reason"].startswith("MAE, K ")
    assert "points" not in better["reason"]
    tells = next(answer for answer in answers if "what its labels do not" in answer["question"])
    assert (tells["verdict"], "rows with numbers" in tells["reason"]) == ("unclear", True)


def test_visualize_and_predict(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    student, checkpoint = str(folder / "student.py"), str(folder / "run/best.pth")
    assert cli.run("visualize", [student, checkpoint, "--before", checkpoint, "--num", "2", "--no-teachers", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "contact_sheet.png").is_file()
    out = tmp_path / "answers.csv"
    assert cli.run("predict", [student, checkpoint, str(folder / "data/numbers/rgb"), "--whole-images", "--out", str(out)]) == 0
    lines = list(csv.DictReader(out.read_text("utf-8").splitlines()))
    assert list(lines[0]) == ["file", "warmth [K]", "error"]
    assert all(np.isfinite(float(line["warmth [K]"])) for line in lines)
    assert cli.run("predict", [student, checkpoint, str(folder / "data/numbers/rgb"), "--masks", str(tmp_path / "masks")]) == 2
    assert "masks are for a task that answers pixel by pixel; this config's task is Regression" in capsys.readouterr().err


def test_export(folder: Path, tmp_path: Path) -> None:
    words = [str(folder / "student.py"), str(folder / "run/best.pth"), "--out", str(tmp_path / "student.onnx")]
    assert cli.run("export", words) == 0
    card = json.loads((tmp_path / "student.json").read_text("utf-8"))
    assert card["numbers"] == ["warmth (0 to 20 K)"]
    assert "classes" not in card
    without_wrong_words((tmp_path / "student.md").read_text("utf-8"))
    session = onnxruntime.InferenceSession(tmp_path / "student.onnx", providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == ["numbers"]
    assert session.run(None, {"images": np.zeros((3, 3, 16, 16), np.uint8)})[0].shape == (3, 1)


def test_labels_of_another_kind_are_refused_before_training(folder: Path, tmp_path: Path) -> None:
    text = (
        (folder / "student.py")
        .read_text("utf-8")
        .replace('dict(type=numbers, root="numbers")', '(dict(type=Number, name="warmth", unit="K", range=(0, 30)),)')
    )
    config = runs.config_of(tmp_path, text.replace("from xkd.batch import View", "from xkd.batch import Number, View"))
    with pytest.raises(
        ValueError, match=r"numbers \['warmth \(0 to 30 K\)'\] are not those of the train data's .*\['warmth \(0 to 20 K\)'\]"
    ):
        runs.run_training(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
