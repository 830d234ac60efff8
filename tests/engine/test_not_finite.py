"""Steps that are not finite: left out, named with their term and samples, and the run stops or goes on as it was told."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import engine_runs as runs
import numpy as np
import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import Tensor, nn
from torch.optim import SGD, AdamW

from xkd.data.paired import PairedDataset
from xkd.data.sample import Sample
from xkd.engine.interval import IntervalInfoHook
from xkd.engine.model import TaskMetric
from xkd.engine.precision import StepOptimWrapper
from xkd.losses import CrossEntropy

SKIP = f"""{runs.GRAPH}
from xkd.engine.interval import IntervalInfoHook

default_hooks = dict(runtime_info=dict(not_finite="skip", most=4))
log_interval = 3
"""


@pytest.mark.parametrize("make", [lambda p: AdamW(p, fused=True), AdamW, lambda p: SGD(p, 0.1, momentum=0.9, fused=True)])
@pytest.mark.parametrize("clip", [None, {"max_norm": 1.0}, {"type": "value", "clip_value": 1.0}])
def test_a_step_that_is_not_finite_changes_nothing(make: Any, clip: dict[str, Any] | None) -> None:
    torch.manual_seed(0)
    network = nn.Linear(3, 2)
    wrapper = StepOptimWrapper(make(list(network.parameters())), clip_grad=clip and dict(clip))  # mmengine takes its type out
    images = torch.randn(4, 3)

    def step(factor: float) -> dict[str, Any]:
        wrapper.update_params(network(images).pow(2).mean() * factor)
        state = {key: value.clone() for key, value in network.state_dict().items()}
        moments = {k: {name: torch.as_tensor(v).clone() for name, v in held.items()} for k, held in wrapper.state_dict()["state"].items()}
        return {"state": state, "moments": moments}

    before = step(1.0)
    for factor in (torch.nan, torch.inf):
        assert runs.differences(step(factor), before) == []
        assert wrapper.norm is not None
        assert not wrapper.norm.isfinite()
    assert runs.differences(step(1.0), before)


def test_clipping_by_value_makes_no_infinite_gradient_finite() -> None:
    network = nn.Linear(3, 1, bias=False)
    wrapper = StepOptimWrapper(AdamW(network.parameters(), fused=True), clip_grad={"type": "value", "clip_value": 1.0})
    before = network.weight.detach().clone()
    wrapper.update_params((network.weight * torch.tensor([[torch.inf, 100.0, 0.5]])).sum())
    assert torch.equal(network.weight, before)
    wrapper.update_params((network.weight * torch.tensor([[300.0, 400.0, 0.0]])).sum())
    assert wrapper.norm == 500
    assert not torch.equal(network.weight, before)


def test_its_steps_are_those_of_mmengines_own_wrapper() -> None:
    weights = []
    for wrapper_type in (OptimWrapper, StepOptimWrapper):
        torch.manual_seed(0)
        network = nn.Linear(3, 2)
        wrapper = wrapper_type(AdamW(network.parameters(), fused=True), clip_grad={"max_norm": 0.1})
        for _ in range(3):
            wrapper.update_params(network(torch.randn(4, 3)).pow(2).mean())
        weights.append(network.weight)
    assert torch.equal(*weights)


def test_the_norm_is_no_number_before_the_log_interval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers: list[int] = []
    update, to_number = StepOptimWrapper.update_params, Tensor.__float__

    def watched(wrapper: StepOptimWrapper, *inputs: Any, **options: Any) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Tensor, "__float__", lambda tensor: (numbers.append(1), to_number(tensor))[1])
            update(wrapper, *inputs, **options)

    monkeypatch.setattr(StepOptimWrapper, "update_params", watched)
    runs.run_training(runs.config_of(tmp_path, runs.GRAPH, {"train_cfg.max_epochs": 1}), tmp_path / "run")
    assert numbers == []
    logged = [json.loads(line) for line in next((tmp_path / "run").glob("*/vis_data/scalars.json")).read_text().splitlines()]
    assert logged[0]["grad_norm"] > 0


def poison(monkeypatch: pytest.MonkeyPatch, calls: set[int]) -> None:
    """Cross-entropy is not a number at these calls; the first is the dry run's, and each epoch begins with a look at its gradients."""
    forward, counted = CrossEntropy.forward, iter(range(1000))

    def poisoned(loss: CrossEntropy, student: Tensor, target: Tensor) -> Tensor:
        value = forward(loss, student, target)
        return value * torch.nan if next(counted) in calls else value

    monkeypatch.setattr(CrossEntropy, "forward", poisoned)


def test_a_run_that_skips_goes_on_and_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poison(monkeypatch, {8, 9})  # steps 6 and 7, the second and third of epoch 2
    config = runs.config_of(tmp_path, SKIP)
    assert runs.run_training(config, tmp_path / "run").epochs == 3
    state = runs.read(tmp_path / "run" / "epoch_3.pth")["state_dict"]
    assert all(value.isfinite().all() for value in state.values())
    (log,) = (tmp_path / "run").glob("*/*.log")
    (line,) = [line for line in log.read_text().splitlines() if "ERROR" in line]
    assert "epoch 2, iteration 6: term ce, which compares rgb.output (3,) and batch.target (), is not finite" in line
    assert "the pixels of its samples are finite, all 6 are in " in line
    assert line.endswith("2 such steps of this interval were left out, 2 in all")
    with np.load(tmp_path / "run" / "not_finite" / "iteration_6.npz", allow_pickle=False) as written:
        assert written["view_rgb"].shape == (6, 3, 16, 16)
        assert len(set(written["id"])) == 6
        assert written["draw"].tolist() == [1] * 6
    logged = [json.loads(line) for line in next((tmp_path / "run").glob("*/vis_data/scalars.json")).read_text().splitlines()]
    assert max(entry.get("left_out", 0) for entry in logged) == 2
    assert all(np.isfinite(value) for entry in logged for value in entry.values())


def test_samples_whose_pixels_are_not_finite_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, broken_rows = PairedDataset.__getitem__, set()

    def broken(dataset: PairedDataset, key: Any) -> Sample:
        sample = whole(dataset, key)
        if sample.index == 2 and sample.draw == 1:
            sample.views["thermal"] = torch.full_like(sample.views["thermal"], torch.inf, dtype=torch.float32)
            broken_rows.add(sample.meta["id"])
        return sample

    monkeypatch.setattr(PairedDataset, "__getitem__", broken)
    config = runs.config_of(tmp_path, SKIP, {"default_hooks.runtime_info.not_finite": "skip"})
    runs.run_training(config, tmp_path / "run")
    (log,) = (tmp_path / "run").glob("*/*.log")
    (row,) = broken_rows
    assert re.search(rf"iteration \d: term kd, .*; {row} of its samples have pixels that are not finite, all \d are in", log.read_text())
    with pytest.raises(FloatingPointError, match=rf"term kd, which compares .*; {row} of its samples have pixels that are not finite"):
        runs.run_training(runs.config_of(tmp_path, runs.GRAPH), tmp_path / "strict")
    assert list((tmp_path / "strict" / "not_finite").glob("iteration_*.npz"))


def test_statistics_of_batch_norm_stay_finite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = PairedDataset.__getitem__

    def broken(dataset: PairedDataset, key: Any) -> Sample:
        sample = whole(dataset, key)
        if sample.index == 2 and sample.draw == 1:
            sample.views["rgb"] = torch.full_like(sample.views["rgb"], torch.nan, dtype=torch.float32)
        return sample

    monkeypatch.setattr(PairedDataset, "__getitem__", broken)
    whole_epoch = {"log_interval": 50, "train_dataloader.batch_size": 2}
    runs.run_training(runs.config_of(tmp_path, SKIP, whole_epoch), tmp_path / "run")
    (log,) = (tmp_path / "run").glob("*/*.log")
    assert "1 such steps of this interval were left out, 1 in all" in log.read_text(), "a running average takes no such statistics over"
    state = runs.read(tmp_path / "run" / "epoch_3.pth")["state_dict"]
    assert any("running_var" in name for name in state)
    assert all(value.isfinite().all() for value in state.values())


def test_too_many_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poison(monkeypatch, set(range(6, 1000)))
    with pytest.raises(FloatingPointError, match=r"epoch 3, iteration 9: term ce.*; 7 steps were left out, the last checkpoint is whole"):
        runs.run_training(runs.config_of(tmp_path, SKIP), tmp_path / "run")
    assert (tmp_path / "run" / "epoch_1.pth").is_file()


def test_a_policy_that_is_none() -> None:
    with pytest.raises(ValueError, match="not_finite is 'stop' or 'skip' and most 1 or more; got 'ignore' and 3"):
        IntervalInfoHook("ignore", 3)  # what is tested


def test_a_score_that_is_never_a_number_chooses_no_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TaskMetric, "compute_metrics", lambda *_: {"macro_f1": math.nan, "accuracy": 0.5})
    config = runs.config_of(tmp_path, runs.GRAPH, {"train_cfg.max_epochs": 1})
    with pytest.raises(ValueError, match=r"save_best='val/macro_f1' was not a number in any validation.*another of \['val/accuracy'"):
        runs.run_training(config, tmp_path / "run")
