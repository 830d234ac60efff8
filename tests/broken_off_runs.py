"""Runs that end in the middle, and whether the run that goes on is the one that was never broken off."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import engine_runs as runs
import pytest

from xkd.engine.hooks import StepHook


def interrupted(config: Callable[[], Any], work_dir: Path, epoch: int) -> None:
    """A run that ends at the start of an epoch, as by a power cut."""
    seed = StepHook.before_train_epoch

    def stop(hook: StepHook, runner: Any) -> None:
        if runner.epoch == epoch:
            raise InterruptedError(f"stopped before epoch {epoch + 1}")
        seed(hook, runner)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StepHook, "before_train_epoch", stop)
        with pytest.raises(InterruptedError):
            runs.run_training(config(), work_dir)


def same_runs(first: Path, second: Path, last: str = "epoch_3.pth") -> None:
    """Weights, optimiser, schedules, running average, the best checkpoint and its score; not paths and times."""
    for name in (last, "best.pth"):
        one, two = runs.read(first / name), runs.read(second / name)
        for key in one.keys() - {"meta", "message_hub"}:
            assert runs.differences(one[key], two[key], key) == []
        assert {key: one["meta"][key] for key in ("epoch", "iter")} == {key: two["meta"][key] for key in ("epoch", "iter")}
        scores = [content["message_hub"]["runtime_info"]["best_score"] for content in (one, two)]
        assert scores[0] == scores[1]
    assert sorted(path.name for path in first.glob("*.pth")) == sorted(path.name for path in second.glob("*.pth"))
