"""`xkd exits`: a table of exits, of one checkpoint or of several."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import engine_runs as runs
import pytest

from xkd import cli

EXIT = runs.PLAIN.replace(
    "weights=dict(type=Random))",
    'weights=dict(type=Random), taps=dict(low=dict(type=Tap, path="stem")),'
    ' heads=dict(first=dict(type=Head, tap="low", module=dict(type=PooledLinear))))',
)


def test_exits_of_one_and_of_several(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = runs.write(tmp_path, exits=EXIT)
    result = runs.run_training(runs.load_config(config, {"train_cfg.max_epochs": 1}), tmp_path / "run")
    assert cli.run("exits", [str(config), str(tmp_path / "run")]) == 0
    shown = capsys.readouterr().out
    assert "Exits, 1 checkpoint " in shown
    assert "first" in shown
    assert "threshold, chosen on val: " in shown
    shutil.copy(result.checkpoint, tmp_path / "other.pth")
    assert cli.run("exits", [str(config), str(result.checkpoint), str(tmp_path / "other.pth"), "--lose-at-most", "0.5"]) == 0
    shown = capsys.readouterr().out
    assert "Exits, 2 checkpoints" in shown
    assert "± 0.000" in shown
    assert cli.run("exits", [str(config), str(tmp_path / "run"), "--lose-at-most", "0.99", "--json"]) == 0
    (exits,) = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in exits["exits"]] == ["first", "output"]
    assert all((one["right"] is None) == (one["stops"] == 0) for one in exits["exits"]), "JSON has no word for what is not a number"
    assert cli.run("exits", [str(config), str(tmp_path / "run"), "--lose-at-most", "2"]) == 2
    assert "from 0 to below 1; got 2.0" in capsys.readouterr().err
