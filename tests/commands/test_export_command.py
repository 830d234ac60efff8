"""`xkd export`: a model that runs without xkd, and a card with what was measured."""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from edge_folders import load_runner

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
    edge = tmp_path / "edge"
    assert cli.run("export", [*command[:2], "--no-test", "--out", str(edge)]) == 0
    assert f"on the device first: python {edge}/run.py check" in capsys.readouterr().out.replace("\n", " ")
    card = json.loads((edge / "card.json").read_text("utf-8"))
    assert (card["metrics"], card["data"]) == ({}, "")
    # its runner answers as xkd predict does, the damaged file included
    options = argparse.Namespace(
        what=[str(own_data / "rgb")], camera=None, video=None, masks="", whole_images=False, out=tmp_path / "a.csv"
    )
    run = load_runner(edge)
    assert run.table(run.Model(), options) == 1
    assert cli.run("predict", [*command[:2], str(own_data / "rgb"), "--out", str(tmp_path / "b.csv")]) == 1
    ours, theirs = (list(csv.reader((tmp_path / name).read_text("utf-8").splitlines())) for name in ("a.csv", "b.csv"))
    assert [line[:2] for line in ours] == [line[:2] for line in theirs]
    assert [bool(line[-1]) for line in ours] == [bool(line[-1]) for line in theirs]
    for our, their in zip(ours[1:], theirs[1:], strict=True):
        if not our[-1]:
            assert [float(cell) for cell in our[2:-1]] == pytest.approx([float(cell) for cell in their[2:-1]], abs=2e-4)


def test_the_place_is_looked_at_first(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("!", "utf-8")
    assert cli.run("export", [str(trained / "student.py"), str(trained / "best.pth"), "--out", str(tmp_path / "notes")]) == 2
    assert "is no folder that xkd export wrote" in capsys.readouterr().err
