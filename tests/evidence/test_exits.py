"""Exits of a trained student: what each answers, what it costs to reach, and where rows stop."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import engine_runs as runs
import numpy as np
import pytest
import torch
from mmengine.config import Config

from xkd.engine.student import load_student, load_with_heads
from xkd.engine.use import test as measure_student
from xkd.evidence.exits import choose_threshold, flops_of_exits, measure_exits, stopping
from xkd.graph.distiller import count_flops

EXITS = f"""{runs.HEAD}
from xkd.projectors import OFAHead

distiller = dict(
    type=Distiller, student="rgb", task=task,
    branches=dict(rgb=dict(
        type=Branch, model=dict(type=CNN), view=rgb, weights=dict(type=Random),
        taps=dict(late=dict(type=Tap, path="deep"), low=dict(type=Tap, path="stem")),
        heads=dict(second=dict(type=Head, tap="late", module=dict(type=PooledLinear)),
            first=dict(type=Head, tap="low", module=dict(type=OFAHead, grid=2))),
    )),
    terms=dict(
        ce=dict(type=Term, loss=dict(type=CrossEntropy), student="rgb.output", teacher="batch.target"),
        ce_first=dict(type=Term, loss=dict(type=CrossEntropy), student="rgb.first", teacher="batch.target"),
        to_second=dict(type=Term, loss=dict(type=KD), student="rgb.second", teacher="rgb.output"),
    ),
)
train_dataloader.update(dict(dataset=dict(type=PairedDataset, root="tiny", split="train", views=[rgb], augment=dict(type=Augment))))
"""


@pytest.fixture(scope="module")
def trained(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, str]:
    """A config with two exits, and its checkpoint."""
    folder = tmp_path_factory.mktemp("exits")
    config = runs.config_of(folder, EXITS, {"train_cfg.max_epochs": 2})
    return config, str(runs.run_training(config, folder / "run").checkpoint)


def test_a_row_stops_at_the_first_exit_that_is_sure_enough() -> None:
    sure = np.array([[0.9, 0.5, 0.4, 0.8], [0.3, 0.8, 0.5, 0.9], [0.2, 0.2, 0.2, 0.2]])
    assert stopping(sure, 0.8).tolist() == [0, 1, 2, 0]
    assert stopping(sure, 0.0).tolist() == [0, 0, 0, 0]
    assert stopping(sure, 1.01).tolist() == stopping(sure, math.inf).tolist() == [2, 2, 2, 2]


def test_the_cheapest_threshold_that_loses_no_more_is_chosen() -> None:
    sure = np.array([[0.9, 0.8, 0.7, 0.6], [1.0, 1.0, 1.0, 1.0]])
    right = np.array([[True, True, False, True], [True, True, True, False]])
    cost = np.array([1.0, 4.0])
    assert choose_threshold(sure, right, cost, 0.0) == 0.6, "what it loses in one row it gains in another"
    right[0, 3] = False
    assert choose_threshold(sure, right, cost, 0.0) == 0.8
    assert choose_threshold(sure, right, cost, 0.25) == 0.6
    right[0] = False
    assert choose_threshold(sure, right, cost, 0.0) == math.inf


def test_nothing_is_cheaper_than_what_was_chosen() -> None:
    rng = np.random.default_rng(0)
    sure, cost = rng.random((3, 60)), np.array([1.0, 2.0, 5.0])
    right = rng.random((3, 60)) < np.array([[0.6], [0.7], [0.8]])
    chosen = choose_threshold(sure, right, cost, 0.1)

    def outcome(threshold: float) -> tuple[float, float]:
        at = [next((k for k in range(2) if sure[k, row] >= threshold), 2) for row in range(60)]
        return float(np.mean([right[k, row] for row, k in enumerate(at)])), float(np.mean([cost[k] for k in at]))

    every = [outcome(float(threshold)) for threshold in (*sure.flatten(), 2.0)]
    legal = [spent for accuracy, spent in every if accuracy >= right[2].mean() - 0.1 - 1e-12]
    assert outcome(chosen)[0] >= right[2].mean() - 0.1 - 1e-12
    assert outcome(chosen)[1] == min(legal)


def test_the_deepest_exit_answers_as_the_student_does(trained: tuple[Config, str]) -> None:
    config, checkpoint = trained
    exits = measure_exits(config, checkpoint, 0.0)
    assert [of.name for of in exits.exits] == ["first", "second", "output"], "as the network reaches them"
    for split, accuracy in (("val", exits.exits[-1].accuracy_val), ("test", exits.exits[-1].accuracy)):
        assert accuracy == pytest.approx(measure_student(config, checkpoint, split=split).metrics["accuracy"])
    assert exits.accuracy_val >= exits.exits[-1].accuracy_val, "nothing may be lost on val"
    assert sum(of.stops for of in exits.exits) == pytest.approx(1)
    stopped = sum(of.stops * of.right for of in exits.exits if of.stops)
    assert stopped == pytest.approx(exits.accuracy)
    assert exits.flops == pytest.approx(sum(of.stops * of.flops for of in exits.exits))


def test_whoever_may_lose_much_stops_at_the_first(trained: tuple[Config, str]) -> None:
    exits = measure_exits(*trained, 0.99)
    assert exits.exits[0].stops > 0.5, "all but rows of which it is less sure than of any on val"
    assert exits.exits[0].flops <= exits.flops
    assert all(math.isnan(of.right) == (of.stops == 0) for of in exits.exits)


def test_heads_are_those_that_were_trained(trained: tuple[Config, str]) -> None:
    config, checkpoint = trained
    kept = torch.load(checkpoint, weights_only=True)["state_dict"]
    modules: Any = load_with_heads(config, checkpoint).branch.heads
    heads = modules.state_dict()
    assert heads
    assert all(torch.equal(value, kept[f"distiller.branches.rgb.heads.{name}"]) for name, value in heads.items())


def test_what_an_image_pays_until_each_exit(trained: tuple[Config, str]) -> None:
    config, checkpoint = trained
    student = load_with_heads(config, checkpoint)
    flops, without = flops_of_exits(student.branch, student.task)
    stem = 2 * 3 * 9 * 10 * 8 * 8  # 3x3 convolution from 3 channels to 10 on 8x8 positions
    # two separable convolutions, from 8x8 to 4x4 and on to 20 channels, then once more to 2x2 and 40; the classifier
    halvings = sum(2 * (9 * c + c * c + 9 * c + 2 * c * c) * side**2 for c, side in ((10, 4), (20, 2)))
    first = stem + halvings + 2 * 40 * 3
    deep = 2 * 10 * 9 * 12 * 4 * 4
    classifier = 2 * 12 * 3
    assert flops == {"first": first, "second": first + deep + classifier, "output": first + deep + 2 * classifier}
    assert without == stem + deep + classifier == count_flops(load_student(config, checkpoint).branch, student.task)


def test_a_student_without_heads_has_no_exits(trained: tuple[Config, str], tmp_path: Path) -> None:
    config, checkpoint = trained
    with pytest.raises(ValueError, match=r"a share of the rows, from 0 to below 1; got 1\.5"):
        measure_exits(config, checkpoint, 1.5)
    plain = runs.config_of(tmp_path, runs.PLAIN)
    with pytest.raises(ValueError, match="the student 'rgb' has no exit: an exit is a head on a tap"):
        measure_exits(plain, checkpoint, 0.0)
    more = EXITS.replace("heads=dict(second=", "heads=dict(third=dict(type=Head, tap='low', module=dict(type=PooledLinear)), second=")
    with pytest.raises(ValueError, match=r"the heads of 'rgb': .* tensors match"):
        measure_exits(runs.config_of(tmp_path, more), checkpoint, 0.0)
