"""`xkd export --precision int8`: calibrated on training rows, measured beside float, refused where too much is lost."""

from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from mmengine.config import Config

from xkd import cli
from xkd.data.manifest import Manifest
from xkd.deploy.card import ModelCard
from xkd.deploy.export import Network
from xkd.engine import int8 as rounding
from xkd.engine.config import load_config
from xkd.engine.int8 import Int8, calibration, in_int8, loss, spread
from xkd.engine.student import Student, load_student
from xkd.statistics.measures import Measure
from xkd.statistics.metrics import mean_score


@pytest.fixture
def student(trained: Path) -> Student:
    return load_student(load_config(trained / "student.py"), str(trained / "best.pth"))


def test_a_folder_in_int8(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [str(trained / "student.py"), str(trained / "best.pth"), "--out", str(tmp_path / "edge"), "--precision", "int8"]
    assert cli.run("export", [*command, "--lose-at-most", "0.5", "--calibrate-on", "9"]) == 0
    said = capsys.readouterr().out
    for part in ("val: accuracy", "test: accuracy", "one image, one thread", "in int8"):
        assert part in said
    card = json.loads((tmp_path / "edge" / "card.json").read_text("utf-8"))
    told = card["quantisation"]
    assert (card["precision"], told["calibrated_on"], told["for"]) == ("int8", 8, "processors")
    assert card["metrics"] == told["scores"]["test"]["int8"]
    assert told["scores"]["test"]["float32"]["accuracy"] == pytest.approx(card["metrics"]["accuracy"], abs=0.5)
    assert 0 < (tmp_path / "edge" / "model.onnx").stat().st_size - told["bytes"]["int8"] < 2000  # the card's own words
    assert "| test accuracy, float32 and int8 |" in (tmp_path / "edge" / "card.md").read_text("utf-8")


def test_it_needs_the_data(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [str(trained / "student.py"), str(trained / "best.pth"), "--out", "edge", "--precision", "int8"]
    assert cli.run("export", [*command, "--no-test"]) == 2
    assert "leave out --no-test" in capsys.readouterr().err
    assert cli.run("export", [*command, "--lose-at-most", "nan"]) == 2
    assert "a share, from 0 to below 1; got nan" in capsys.readouterr().err


def changed(
    monkeypatch: pytest.MonkeyPatch, student: Student, scores: dict[str, tuple[float, float]], times: tuple[float, float] = (2.0, 1.0)
) -> list[str]:
    """What is said where float and int8 score so on each split; the networks are empty."""
    said: list[str] = []
    card = Mock(spec=ModelCard)
    network = Network(b"float", card, 0.0, 1)
    monkeypatch.setattr(rounding, "calibration", lambda *_: [np.zeros((2, 3, 16, 16), np.uint8)])
    monkeypatch.setattr(rounding, "rounded", lambda *_: Network(b"int8", card, 0.0, 1))
    monkeypatch.setattr(rounding, "told", lambda small, facts, metrics: small)
    monkeypatch.setattr(rounding, "milliseconds", lambda *_: dict(zip(("float32", "int8"), times, strict=True)))
    monkeypatch.setattr(
        rounding, "_score", lambda config, student, split, content: {"accuracy": scores[split][0 if content == b"float" else 1]}
    )
    in_int8(Config(), student, Int8(), said.append)(network)  # what reads the config is replaced
    return said


@pytest.mark.parametrize(("split", "value"), [("val", 0.77), ("test", 0.789), ("test", float("nan"))])
def test_too_much_is_refused(split: str, value: float, student: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = {"val": (0.8, 0.8), "test": (0.8, 0.8)} | {split: (0.8, value)}
    with pytest.raises(ValueError, match=rf"int8 loses .* of accuracy on {split}, more than 0\.01 \(--lose-at-most\)"):
        changed(monkeypatch, student, scores)


def test_a_little_is_not(student: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    said = changed(monkeypatch, student, {"val": (0.8, 0.795), "test": (0.8, 0.85)})
    assert said[0] == "val: accuracy 0.8000 in float, 0.7950 in int8"
    assert not any("not faster" in line for line in said)
    assert any("not faster" in line for line in changed(monkeypatch, student, {"val": (0.8, 0.8), "test": (0.8, 0.8)}, (1.0, 1.5)))


def test_what_is_lost() -> None:
    share, error = Measure("accuracy", mean_score("a")), Measure("mae", mean_score("a"), unit="K", higher=False)
    assert loss(share, 0.8, 0.75) == pytest.approx(0.05)
    assert loss(share, 0.75, 0.8) == pytest.approx(-0.05)
    assert loss(error, 2.0, 2.5) == pytest.approx(0.25)


def test_rows_are_spread_over_classes() -> None:
    strata = [0] * 90 + [1] * 6 + [-1] * 4
    assert spread(strata, 9) == [0, 44, 89, 90, 92, 95, 96, 97, 99]
    assert spread(strata, 1000) == list(range(100))


def test_calibration_is_without_augmentation(trained: Path, student: Student, data_root: Path) -> None:
    config = load_config(trained / "student.py")
    batches = calibration(config, student, 9)
    assert sum(map(len, batches)) == 8  # two of each class, two without a label
    assert (batches[0].dtype, batches[0].shape[1:]) == (np.uint8, (3, 16, 16))
    np.testing.assert_array_equal(batches[0], calibration(config, student, 9)[0])


def test_a_class_without_rows_is_told(trained: Path, student: Student, own_data: Path) -> None:
    manifest = own_data / "manifest.csv"
    lines = manifest.read_text("utf-8").splitlines()
    manifest.write_text("\n".join(line for line in lines if ",bar," not in line) + "\n", "utf-8")
    assert any(row.split == "train" for row in Manifest.load(own_data).rows)
    with pytest.raises(ValueError, match="the train split has no row of class 'bar' to calibrate int8 on"):
        calibration(load_config(trained / "student.py"), student, 5)
