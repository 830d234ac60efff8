"""`xkd exits`: a table of exits, of one checkpoint or of several, their curve, and a folder that stops early."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import engine_runs as runs
import pytest

from xkd import cli
from xkd.deploy.segments import Times

EXIT = runs.PLAIN.replace(
    "weights=dict(type=Random))",
    'weights=dict(type=Random), taps=dict(low=dict(type=Tap, path="stem")),'
    ' heads=dict(first=dict(type=Head, tap="low", module=dict(type=PooledLinear))))',
)


def test_exits_of_one_and_of_several(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    config, run, edge = str(runs.write(tmp_path, exits=EXIT)), tmp_path / "run", tmp_path / "edge"
    result = runs.run_training(runs.load_config(config, {"train_cfg.max_epochs": 1}), run)
    command = [config, str(run), "--lose-at-most", "0.99", "--out", str(edge), "--page", str(tmp_path / "a b.html"), "--hand-on", "0.2"]
    assert cli.run("exits", command) == 0
    shown = capsys.readouterr().out
    for part in ("Exits (1 checkpoint; ms for one image", "Accuracy against cost", "may be lost on val, on test: accuracy", "2 segments"):
        assert part in shown
    plan, card = (json.loads((edge / f"{name}.json").read_text("utf-8")) for name in ("plan", "card"))
    assert [part["exit"] for part in plan["segments"]] == ["first", "output"]
    assert 0 <= plan["segments"][0]["threshold"] <= 1
    assert 0 <= plan["hand_on_below"] <= 1
    assert card["exits"]["first"]["threshold"] == plan["segments"][0]["threshold"]
    assert card["data"].endswith(", each by the exit at which it stops")
    page = (tmp_path / "a b.html").read_text("utf-8")
    assert page.count('<svg viewBox="0 0 100 100"') == 2
    assert "a b.html&#39; --hand-on" in page, "a command to be pasted"

    times = Times((1.0, 2.0), 1.5)
    monkeypatch.setattr("xkd.commands.exits.timed_chain", lambda student: (None, times))
    shutil.copy(result.checkpoint, tmp_path / "other.pth")
    both = [config, str(result.checkpoint), str(tmp_path / "other.pth")]
    assert cli.run("exits", both) == 0
    shown = capsys.readouterr().out
    assert "Exits (2 checkpoints" in shown
    assert "± 0.000" in shown
    assert cli.run("exits", [*both, "--out", str(edge)]) == 2
    assert "--out writes the folder of one checkpoint, got 2" in capsys.readouterr().err
    assert cli.run("exits", [config, str(run), "--lose-at-most", "0.99", "--json"]) == 0
    (exits,) = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in exits["exits"]] == ["first", "output"]
    assert all((one["right"] is None) == (one["stops"] == 0) for one in exits["exits"]), "JSON has no word for what is not a number"
    assert exits["curve"][0]["lose_at_most"] == 0
    assert "tested" not in exits
    assert cli.run("exits", [config, str(run), "--lose-at-most", "2"]) == 2
    assert "from 0 to below 1; got 2.0" in capsys.readouterr().err
