"""Checkpoints: plain data, what belongs into them, and that a failed write leaves the earlier file."""

from __future__ import annotations

import errno
import os
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import engine_runs as runs
import numpy as np
import pytest
import torch

from xkd.engine import hooks
from xkd.engine.hooks import StepHook
from xkd.engine.model import TaskMetric
from xkd.engine.train import free_or_fail


def test_every_checkpoint_is_plain_data(graph_run: Path) -> None:
    names = sorted(path.name for path in graph_run.glob("*.pth"))
    assert names[0] == "best.pth"
    assert names[1].startswith("best_val_macro_f1_epoch_")
    assert names[2:] == ["epoch_1.pth", "epoch_2.pth"]
    for name in names:
        assert torch.serialization.get_unsafe_globals_in_checkpoint(graph_run / name) == []
        content = runs.read(graph_run / name)
        assert set(content["message_hub"]) == {"log_scalars", "runtime_info", "resumed_keys"}
        told = content["meta"]["xkd"]
        assert told.pop("settings")["optim_wrapper.optimizer.lr"] == 3e-3
        assert 0 < told.pop("crops") < 0.2
        nothing: dict[str, dict[str, str]] = {key: {} for key in ("own_classes", "teachers", "changes", "shared")}
        assert told == {"student": "rgb", "classes": ["blank", "disc", "bar"], **nothing}


def test_numpy_scalars_become_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def plant(hook: StepHook, runner: Any, **_: Any) -> None:
        runner.message_hub.update_info("planted", np.float64(0.5))
        runner.message_hub.update_info("object", Path("a"))
        runner.optim_wrapper.optimizer.param_groups[0]["planted"] = np.float32(0.5)
        runner.param_schedulers[0].planted = [np.int64(3)]

    monkeypatch.setattr(StepHook, "after_train_iter", plant)
    runs.run_training(runs.config_of(tmp_path, runs.PLAIN, {"train_cfg.max_epochs": 1}), tmp_path / "run")
    content = runs.read(tmp_path / "run" / "epoch_1.pth")
    assert content["message_hub"]["runtime_info"]["planted"] == 0.5
    assert "object" not in content["message_hub"]["runtime_info"]
    assert content["optimizer"]["param_groups"][0]["planted"] == 0.5
    assert content["param_schedulers"][0]["planted"] == [3]
    runs.read(tmp_path / "run" / "best.pth")


def test_frozen_branches_stay_out_and_averages_stay_in(graph_run: Path) -> None:
    for path in graph_run.glob("*.pth"):
        state = runs.read(path)["state_dict"]
        assert {key.split(".")[2] for key in state if key.startswith("distiller.branches.")} == {"rgb", "average"}
        weight = "model.fc.weight"
        assert not torch.equal(state[f"distiller.branches.rgb.{weight}"], state[f"distiller.branches.average.{weight}"])


def test_the_average_follows_the_student(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []

    def record(hook: StepHook, runner: Any, **_: Any) -> None:
        distiller = hooks.distiller_of(runner)
        seen.append(distiller.branches["rgb"].model.fc.weight.detach().clone())
        distiller.after_step()

    monkeypatch.setattr(StepHook, "after_train_iter", record)
    config = runs.config_of(tmp_path, runs.GRAPH, {"train_cfg.max_epochs": 1})
    from xkd.engine.loaders import build_distiller

    expected = build_distiller(config.distiller, 0).branches["rgb"].model.fc.weight.detach().clone()
    runs.run_training(config, tmp_path / "run")
    for weight in seen:
        expected = 0.9 * expected + 0.1 * weight
    state = runs.read(tmp_path / "run" / "epoch_1.pth")["state_dict"]
    torch.testing.assert_close(state["distiller.branches.average.model.fc.weight"], expected)


@pytest.mark.parametrize("failing", [1, 2], ids=["while the better one is written", "while the last one is written"])
def test_a_full_disk_leaves_the_earlier_checkpoints(failing: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([0.1, 0.2])
    monkeypatch.setattr(TaskMetric, "compute_metrics", lambda *_: {"macro_f1": next(scores), "accuracy": 0.0})
    calls = iter(range(100))
    fsync = os.fsync

    def full(descriptor: int) -> None:
        if next(calls) == 1 + failing:  # two files in the first epoch, then the best and the last of the second
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"cannot write .*epoch_2\.pth: No space left on device; what was there is untouched"):
        runs.run_training(runs.config_of(tmp_path, runs.PLAIN), tmp_path / "run")
    held = {path.name for path in (tmp_path / "run").iterdir() if path.is_file()}
    assert {"epoch_1.pth", "best_val_macro_f1_epoch_1.pth"} <= held
    assert not [name for name in held if name.endswith(".tmp")]
    assert not {"epoch_2.pth", "best.pth", "result.json"} & held
    for name in held:
        if name.endswith(".pth"):
            runs.read(tmp_path / "run" / name)


def test_the_replaced_best_goes_once_the_new_one_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([0.1, 0.3, 0.2])
    monkeypatch.setattr(TaskMetric, "compute_metrics", lambda *_: {"macro_f1": next(scores), "accuracy": 0.0})
    result = runs.run_training(runs.config_of(tmp_path, runs.PLAIN), tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").glob("best_*.pth")] == ["best_val_macro_f1_epoch_2.pth"]
    assert result.best == 0.3
    assert runs.read(Path(result.checkpoint))["meta"]["epoch"] == 2


def test_too_little_space_is_said_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(2**30, 2**30 - 2**20, 2**20))
    with pytest.raises(OSError, match="has 1 MiB free, a run needs at least 64; nothing was written"):
        free_or_fail(tmp_path / "run")
