"""Exits of a trained student: what each answers, what it costs to reach, and where rows stop."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import engine_runs as runs
import pytest
import torch
from mmengine.config import Config

from xkd.deploy.segments import Times
from xkd.engine.student import load_student, load_with_heads
from xkd.engine.use import test as measure_student
from xkd.evidence.exit_folder import write_exit_folder
from xkd.evidence.exit_page import charts, lines, listings
from xkd.evidence.exits import Exits, flops_of_exits, load_exits, measure_exits
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


TIMES = Times((1.0, 2.0, 4.0), 3.5)


def measured(trained: tuple[Config, str], lose_at_most: float, hand_on: float | None = None) -> Exits:
    config, checkpoint = trained
    return measure_exits(config, load_exits(config, checkpoint), TIMES, lose_at_most, hand_on)


def test_the_deepest_exit_answers_as_the_student_does(trained: tuple[Config, str]) -> None:
    config, checkpoint = trained
    exits = measured(trained, 0.0)
    assert [of.name for of in exits.exits] == ["first", "second", "output"], "as the network reaches them"
    for split, accuracy in (("val", exits.exits[-1].accuracy_val), ("test", exits.exits[-1].accuracy)):
        assert accuracy == pytest.approx(measure_student(config, checkpoint, split=split).metrics["accuracy"])
    assert exits.chosen.val.accuracy >= exits.exits[-1].accuracy_val, "nothing may be lost on val"
    assert sum(of.stops for of in exits.exits) == pytest.approx(1)
    stopped = sum(of.stops * of.right for of in exits.exits if of.stops)
    assert stopped == pytest.approx(exits.chosen.test.accuracy) == pytest.approx(exits.tested.metrics["accuracy"])
    assert exits.chosen.test.flops == pytest.approx(sum(of.stops * of.flops for of in exits.exits))
    assert exits.chosen.test.milliseconds == pytest.approx(sum(of.stops * of.milliseconds for of in exits.exits))
    assert exits.milliseconds_without == 3.5
    assert exits.handed_on is None


def test_whoever_may_lose_more_pays_less(trained: tuple[Config, str]) -> None:
    exits = measured(trained, 0.99, 0.25)
    assert [point.lose_at_most for point in exits.curve] == [0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.99, 1]
    costs = [point.val.flops for point in exits.curve]
    assert costs == sorted(costs, reverse=True)
    assert exits.curve[-1].test.flops == exits.exits[0].flops, "all stop at the first"
    assert exits.saves
    assert all(math.isnan(of.right) == (of.stops == 0) for of in exits.exits)
    assert exits.handed_on is not None
    assert 0 < exits.handed_on.val <= 0.25
    table, curve = listings([exits, exits])
    assert [row[0] for row in table.rows] == ["first", "second", "output"]
    assert len(curve.rows) == len(exits.curve)
    assert any("± 0.000" in cell for cell in table.rows[0])
    assert "handed on to a larger model, below a confidence of" in lines([exits])[-1]
    time, work = charts([exits])
    assert time.lines["the network without exits, test"][0] == (3.5, pytest.approx(100 * exits.exits[-1].accuracy))
    assert len(time.lines["each exit alone, test"]) == len(work.lines["each exit alone, test"]) == 3


def test_exits_that_save_nothing_are_not_written(trained: tuple[Config, str], tmp_path: Path) -> None:
    exits = measured(trained, 0.0)
    idle = replace(exits, chosen=replace(exits.chosen, thresholds=(math.inf, math.inf)))
    with pytest.raises(ValueError, match=r"no exit saves anything where at most 0 of accuracy may be lost .* xkd export"):
        write_exit_folder(trained[0], load_exits(*trained), Mock(), idle, str(tmp_path / "edge"))
    assert "no image stops at first, second" in lines([idle])[1]
    assert "stopping early is no faster" not in "".join(lines([exits]))
    slow = replace(exits, chosen=replace(exits.chosen, val=replace(exits.chosen.val, milliseconds=3.6)))
    assert "stopping early is no faster than the network without exits on this machine" in lines([slow])[1]


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


def test_some_of_the_heads_alone(trained: tuple[Config, str]) -> None:
    config, checkpoint = trained
    student = load_exits(config, checkpoint, ["second"])
    assert list(flops_of_exits(student.branch, student.task)[0]) == ["second", "output"]
    with pytest.raises(KeyError, match=r"'rgb' has no head 'third'; it has \['first', 'second'\]"):
        load_exits(config, checkpoint, ["third"])


def test_what_has_no_exits(trained: tuple[Config, str], tmp_path: Path) -> None:
    checkpoint = trained[1]
    for lose, hand_on, said in ((1.5, None, "be lost is a share"), (0.0, 1.5, "be handed on is a share")):
        with pytest.raises(ValueError, match=rf"{said} of the rows, from 0 to below 1; got 1\.5"):
            measured(trained, lose, hand_on)
    plain = runs.config_of(tmp_path, runs.PLAIN)
    with pytest.raises(ValueError, match="the student 'rgb' has no exit: an exit is a head on a tap"):
        load_exits(plain, checkpoint)
    more = EXITS.replace("heads=dict(second=", "heads=dict(third=dict(type=Head, tap='low', module=dict(type=PooledLinear)), second=")
    with pytest.raises(ValueError, match=r"the heads of 'rgb': .* tensors match"):
        load_exits(runs.config_of(tmp_path, more), checkpoint)


def test_a_head_that_answers_something_else(trained: tuple[Config, str], monkeypatch: pytest.MonkeyPatch) -> None:
    student = load_exits(*trained)
    student.branch.shapes["first"] = torch.Size((1, 8, 8))
    monkeypatch.setattr("xkd.evidence.exits.load_with_heads", lambda *_: student)
    with pytest.raises(ValueError, match=r"head 'first' of 'rgb' gives \(1, 8, 8\), no answer as the output's \(3,\): .* --heads"):
        load_exits(*trained)
