"""On a GPU every command computes there, and says what it says on the processor."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from xkd import cli
from xkd.engine import student as students
from xkd.engine.config import load_config
from xkd.engine.student import load_student

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")]


def test_a_loaded_network_is_on_it(trained: Path) -> None:
    assert load_student(load_config(trained / "student.py"), str(trained / "best.pth")).branch.mean.device.type == "cuda"


def test_its_metrics_are_those_of_the_processor(trained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    command = [str(trained / "student.py"), str(trained / "best.pth"), "--json"]
    metrics = []
    for device in ("cuda", "cpu"):
        monkeypatch.setattr(students, "get_device", lambda device=device: device)
        assert cli.run("test", command) == 0
        metrics.append(json.loads(capsys.readouterr().out.splitlines()[-1]))
    assert metrics[0] == pytest.approx(metrics[1], abs=0.09)  # one of twelve rows may stand on the border of two classes


@pytest.mark.parametrize(
    "command",
    [
        ["predict", "{trained}/student.py", "{trained}/best.pth", "{data}/rgb", "--out", "{out}/answers.csv"],
        ["visualize", "{trained}/student.py", "{trained}/best.pth", "--num", "2", "--out", "{out}/panels"],
        ["export", "{trained}/student.py", "{trained}/best.pth", "--out", "{out}/student.onnx"],
        ["compare", "{trained}/student.py", "--seeds", "1", "--smoke", "--work-dir", "{out}/compare"],
        ["diagnose", "{trained}/student.py", "--work-dir", "{out}/diagnose"],
        ["detect-boxes", "{data}", "--sensor", "rgb", "--size", "32", "32", "--steps", "2", "--out", "{out}/boxes"],
    ],
    ids=lambda command: command[0],
)
def test_every_command_runs_on_it(command: list[str], trained: Path, data_root: Path, tmp_path: Path) -> None:
    name, *arguments = (word.format(trained=trained, data=data_root, out=tmp_path) for word in command)
    assert cli.run(name, arguments) == 0
