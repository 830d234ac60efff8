"""`xkd export`: a model that runs without xkd, and a card with what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from xkd import cli
from xkd.data.manifest import Manifest


def test_the_card_has_what_xkd_test_measures(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "student.onnx"
    command = [str(trained / "student.py"), str(trained / "best.pth")]
    assert cli.run("test", [*command, "--json"]) == 0
    measured = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert cli.run("export", [*command, "--out", str(out)]) == 0
    assert "largest difference of a probability from PyTorch on" in capsys.readouterr().out
    card = json.loads(out.with_suffix(".json").read_text("utf-8"))
    assert card["metrics"] == pytest.approx(measured)
    assert "test split, measured on 12 labelled rows of 12" in card["data"]
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    (logits, _) = session.run(None, {session.get_inputs()[0].name: np.zeros((2, 3, 16, 16), np.uint8)})
    assert logits.shape == (2, 3)


def test_without_the_data(trained: Path, own_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = next(row for row in Manifest.load(own_data).rows if row.split == "test")
    (own_data / row.files["rgb"][0]).write_bytes(b"")
    out = tmp_path / "student.onnx"
    command = [str(trained / "student.py"), str(trained / "best.pth"), "--out", str(out)]
    assert cli.run("export", command) == 2
    assert row.id in capsys.readouterr().err
    assert cli.run("export", [*command, "--cfg-options", "test_dataloader.dataset.on_broken=skip"]) == 2
    assert "the card would be of 11 rows alone" in capsys.readouterr().err
    assert not out.exists()
    assert cli.run("export", [*command, "--no-test"]) == 0
    card = json.loads(out.with_suffix(".json").read_text("utf-8"))
    assert (card["metrics"], card["data"]) == ({}, "")
