"""Runs whose student is changed: begun with a float run's file, tested with its own, told apart by their fingerprints."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import engine_runs as runs
import pytest
import torch
from core_models import RGB_VIEW, TASK, make_batch, rgb_branch

from xkd.changes import Folded, Rounded
from xkd.changes.rounded import inputs_of, unseen
from xkd.engine import hooks
from xkd.engine.describe import describe
from xkd.engine.fingerprint import fingerprint
from xkd.engine.hooks import SyncStatisticsHook
from xkd.engine.loaders import build_distiller
from xkd.engine.stages import teacher_config
from xkd.engine.student import load_student
from xkd.graph.weights import Checkpoint, Trained

SHORT = {"train_cfg.max_epochs": 1, "param_scheduler": []}
FEW = [dict(type=Folded), dict(type=Rounded, weights=4)]


def test_a_rounded_run_begins_with_a_float_one_and_is_tested_as_it_learned(tmp_path: Path) -> None:
    whole = runs.run_training(runs.config_of(tmp_path, runs.PLAIN, SHORT), tmp_path / "whole")
    begins = {"distiller.branches.rgb.weights": dict(type=Checkpoint, path=whole.checkpoint), "distiller.branches.rgb.changes": FEW}
    still = {**SHORT, **begins, "optim_wrapper.optimizer.lr": 0.0}
    config = runs.config_of(tmp_path, runs.PLAIN, still)
    done = runs.run_training(config, tmp_path / "rounded")
    student = load_student(config, done.checkpoint)
    assert unseen(student.branch.model) == []
    plain = load_student(runs.config_of(tmp_path, runs.PLAIN), whole.checkpoint).branch
    Folded()(plain.model, torch.zeros(2, 3, *RGB_VIEW.size))
    for name in ("stem.0", "deep.0", "fc"):  # a rate of zero only lets it see its ranges
        held: Any = student.branch.model.get_submodule(name)
        of: Any = plain.model.get_submodule(name)
        torch.testing.assert_close(held.parametrizations.weight.original, of.weight)
    config.distiller.branches.rgb.changes[1].weights = 3
    with pytest.raises(ValueError, match=r"best\.pth.* was changed, changes=\[Folded\(\), Rounded\(weights=4.*give it the same"):
        load_student(config, done.checkpoint)


def test_bits_make_another_run_and_stand_in_the_table(tmp_path: Path) -> None:
    of = [runs.config_of(tmp_path, runs.PLAIN, {"distiller.branches.rgb.changes": [*FEW[:1], dict(FEW[1], weights=n)]}) for n in (3, 4)]
    assert len({fingerprint(config, 0, (), {}) for config in of}) == 2
    cells = list(describe(build_distiller(of[0].distiller, 0)).columns[0].cells)
    assert cells[0] == "rgb (learns, view rgb, Folded(), Rounded(weights=3, activations=8, observe=100))"


def test_a_teacher_is_trained_as_it_was_before_its_changes(tmp_path: Path) -> None:
    trained = {"distiller.branches.thermal.weights": dict(type=Trained), "distiller.branches.thermal.changes": FEW[:1]}
    config = runs.config_of(tmp_path, runs.GRAPH, trained)
    assert "changes" not in teacher_config(config, "thermal").distiller.branches.thermal


def test_ranges_are_those_of_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[float, str]] = []
    monkeypatch.setattr(hooks, "all_reduce", lambda tensor, op: asked.append((float(tensor), op)))
    branch = rgb_branch(changes=[Rounded()])
    branch.train()(make_batch(), TASK)
    SyncStatisticsHook().after_train_epoch(SimpleNamespace(model=branch))
    grids = inputs_of(branch).values()
    assert asked == [pair for grid in grids for pair in ((float(grid.low), "min"), (float(grid.high), "max"))]
