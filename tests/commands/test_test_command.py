"""`xkd test`: the student on its own sensor; the other sensor's files may be gone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from xkd import cli
from xkd.data.manifest import Manifest


def metrics_of(trained: Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, float]:
    assert cli.run("test", [str(trained / "student.py"), str(trained / "best.pth"), "--json", *more]) == 0
    metrics: dict[str, float] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return metrics


def test_the_other_sensors_files_are_not_needed(trained: Path, own_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = metrics_of(trained, capsys)
    assert set(before) == {"accuracy", "balanced_accuracy", "macro_f1"}
    shutil.rmtree(own_data / "thermal")
    (trained / "teacher.pth").rename(trained / "away.pth")
    try:
        assert metrics_of(trained, capsys) == before
    finally:
        (trained / "away.pth").rename(trained / "teacher.pth")
    shutil.rmtree(own_data / "rgb")
    assert cli.run("test", [str(trained / "student.py"), str(trained / "best.pth")]) == 2
    assert "no such file" in capsys.readouterr().err


def test_val_is_what_the_checkpoint_was_chosen_by(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = json.loads((trained / "student_run" / "result.json").read_text("utf-8"))
    assert metrics_of(trained, capsys, "--split", "val")["macro_f1"] == pytest.approx(chosen["best"], abs=1e-6)


def test_the_table_says_what_was_seen(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run("test", [str(trained / "student.py"), str(trained / "best.pth")]) == 0
    shown = capsys.readouterr().out
    assert "rgb on view 'rgb' alone, test split of" in shown
    assert "12 rows" in shown


def test_rows_that_cannot_be_read_are_told_and_left_out(trained: Path, own_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = next(row for row in Manifest.load(str(own_data)).rows if row.split == "test")
    (own_data / row.files["rgb"][0]).write_bytes(b"")
    command = [str(trained / "student.py"), str(trained / "best.pth"), "--cfg-options", "test_dataloader.dataset.on_broken="]
    assert cli.run("test", [*command[:-1], command[-1] + "skip"]) == 0
    shown = capsys.readouterr().out
    assert f"left out: row '{row.id}'" in shown
    assert "1 rows could not be read and were left out" in shown
    assert "measured on the 11 labelled ones" in shown
    assert cli.run("test", [*command[:-1], command[-1] + "stop"]) == 2


def test_other_classes_are_an_error(trained: Path, own_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("manifest.toml", "manifest.csv"):
        file = own_data / name
        file.write_text(file.read_text("utf-8").replace("disc", "ring"), "utf-8")
    assert cli.run("test", [str(trained / "student.py"), str(trained / "best.pth")]) == 2
    message = capsys.readouterr().err
    assert "['blank', 'disc', 'bar']" in message
    assert "['blank', 'ring', 'bar']" in message


def test_a_checkpoint_of_other_classes_is_an_error(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--cfg-options", "distiller.task.classes=('disc','blank','bar')"]
    assert cli.run("test", [str(trained / "student.py"), str(trained / "best.pth"), *options]) == 2
    assert "['disc', 'blank', 'bar']" in capsys.readouterr().err
