"""A new scheme is a new config: each is built from nested dicts and trained in a plain loop for a few steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from core_models import CLASSES, CNN, RGB_VIEW, THERMAL_VIEW, changed, make_batch, state

from xkd.builder import build
from xkd.graph.branch import Branch, Head
from xkd.graph.distiller import Distiller
from xkd.graph.schedules import Ramp
from xkd.graph.term import Term
from xkd.graph.weights import EMA, Checkpoint, Random
from xkd.losses import AT, KD, AttentionCosine, CrossEntropy, FitNet
from xkd.projectors import Conv1x1, PooledLinear
from xkd.taps import Tap
from xkd.tasks import Classification

TAPS = {"mid": dict(type=Tap, path="stem"), "deep": dict(type=Tap, path="deep")}
STUDENT = dict(type=Branch, model=dict(type=CNN), view=RGB_VIEW, weights=dict(type=Random), taps=TAPS)
SUPERVISION = dict(type=Term, loss=dict(type=CrossEntropy), student="rgb.output", teacher="batch.target")


def learning(**changes: Any) -> dict[str, Any]:
    return {**STUDENT, **changes}


def edge(loss: Callable[..., Any], student: str, teacher: str, **more: Any) -> dict[str, Any]:
    return dict(type=Term, loss=dict(type=loss), student=student, teacher=teacher, **more)


def graph(branches: dict[str, Any], terms: dict[str, Any]) -> Distiller:
    task = dict(type=Classification, classes=CLASSES)
    config = dict(type=Distiller, branches=branches, terms=terms, student="rgb", task=task)
    torch.manual_seed(0)
    distiller: Distiller = build(config)
    distiller.bind()
    return distiller


def train(distiller: Distiller, steps: int = 12) -> list[float]:
    """Anyone's own loop; the loss of each step on the one batch."""
    batch, losses = make_batch(9), []
    optimizer = torch.optim.AdamW([p for p in distiller.parameters() if p.requires_grad], 5e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        step = distiller(batch)
        step.loss.backward()
        optimizer.step()
        distiller.after_step()
        losses.append(step.loss.item())
    return losses


def learners_change_and_frozen_do_not(distiller: Distiller) -> None:
    before = {name: state(branch) for name, branch in distiller.branches.items()}
    losses = train(distiller)
    assert losses[-1] < 0.8 * losses[0]
    for name, branch in distiller.branches.items():
        different = changed(branch, before[name])
        if branch.frozen and not isinstance(branch.weights, EMA):
            assert not different
        elif not branch.frozen:
            learned = {key for key, parameter in branch.named_parameters() if parameter.requires_grad}
            # a bias in front of batch normalisation has no effect, so its gradient is rounding alone
            assert learned - set(different) <= {"model.stem.0.bias", "model.deep.0.bias"}


@pytest.fixture
def teacher_file(tmp_path: Any) -> str:
    torch.save(CNN(1, width=20).state_dict(), tmp_path / "teacher.pth")
    return str(tmp_path / "teacher.pth")


def test_a_student_alone() -> None:
    learners_change_and_frozen_do_not(graph({"rgb": learning()}, {"ce": SUPERVISION}))


def test_one_frozen_teacher(teacher_file: str) -> None:
    thermal = learning(
        model=dict(type=CNN, channels=1, width=20), view=THERMAL_VIEW, weights=dict(type=Checkpoint, path=teacher_file), frozen=True
    )
    terms = {
        "ce": SUPERVISION,
        "kd": edge(KD, "rgb.output", "thermal.output", weight=0.5),
        "at": edge(AT, "rgb.mid", "thermal.mid", weight=dict(type=Ramp, weight=10.0, start=0, end=2)),
        "hint": edge(FitNet, "rgb.deep", "thermal.deep", projector=dict(type=Conv1x1, norm=True)),
    }
    learners_change_and_frozen_do_not(graph({"rgb": learning(), "thermal": thermal}, terms))


def test_two_frozen_teachers(teacher_file: str) -> None:
    thermal = learning(
        model=dict(type=CNN, channels=1, width=20), view=THERMAL_VIEW, weights=dict(type=Checkpoint, path=teacher_file), frozen=True
    )
    wide = learning(model=dict(type=CNN, width=32), weights=dict(type=Random, frozen=True), frozen=True)
    terms = {
        "ce": SUPERVISION,
        "thermal": edge(KD, "rgb.output", "thermal.output"),
        "wide": edge(KD, "rgb.output", "wide.output"),
        "look": edge(AttentionCosine, "rgb.deep", "wide.deep"),
    }
    distiller = graph({"rgb": learning(), "thermal": thermal, "wide": wide}, terms)
    learners_change_and_frozen_do_not(distiller)


def test_two_that_learn_from_each_other() -> None:
    thermal = learning(model=dict(type=CNN, channels=1), view=THERMAL_VIEW)
    terms = {
        "ce": SUPERVISION,
        "ce_thermal": edge(CrossEntropy, "thermal.output", "batch.target"),
        "to_rgb": edge(KD, "rgb.output", "thermal.output"),
        "to_thermal": edge(KD, "thermal.output", "rgb.output"),
    }
    learners_change_and_frozen_do_not(graph({"rgb": learning(), "thermal": thermal}, terms))


def test_each_of_two_learns_only_by_the_edges_that_end_in_it() -> None:
    thermal = learning(model=dict(type=CNN, channels=1), view=THERMAL_VIEW)
    distiller = graph({"rgb": learning(), "thermal": thermal}, {"to_rgb": edge(KD, "rgb.output", "thermal.output")})
    distiller(make_batch()).loss.backward()
    assert distiller.branches["rgb"].model.fc.weight.grad.abs().max() > 0
    assert distiller.branches["thermal"].model.fc.weight.grad is None


def test_a_branch_that_teaches_its_own_shallow_exit() -> None:
    branch = learning(heads={"exit": dict(type=Head, tap="mid", module=dict(type=PooledLinear))})
    terms = {
        "ce": SUPERVISION,
        "ce_exit": edge(CrossEntropy, "rgb.exit", "batch.target"),
        "self": edge(KD, "rgb.exit", "rgb.output"),
    }
    distiller = graph({"rgb": branch}, terms)
    learners_change_and_frozen_do_not(distiller)
    assert (distiller.eval().student(make_batch(9), distiller.task)["exit"].argmax(1) == make_batch(9).target).float().mean() > 0.6


def test_the_deep_output_is_not_pulled_by_its_shallow_exit() -> None:
    branch = learning(heads={"exit": dict(type=Head, tap="mid", module=dict(type=PooledLinear))})
    distiller = graph({"rgb": branch}, {"self": edge(KD, "rgb.exit", "rgb.output")})
    distiller(make_batch()).loss.backward()
    assert distiller.student.model.stem[0].weight.grad.abs().max() > 0
    assert distiller.student.model.fc.weight.grad is None
    assert distiller.student.model.deep[0].weight.grad is None


def test_a_mean_teacher() -> None:
    mean = learning(weights=dict(type=EMA, of="rgb", decay=0.8))
    distiller = graph({"rgb": learning(), "mean": mean}, {"ce": SUPERVISION, "consistent": edge(KD, "rgb.output", "mean.output")})
    student, average = distiller.branches["rgb"], distiller.branches["mean"]
    start = state(student)
    learners_change_and_frozen_do_not(distiller)
    way = (student.model.fc.weight - start["model.fc.weight"]).norm()
    lag = (student.model.fc.weight - average.model.fc.weight).norm()
    assert 0 < lag < way, "it lies between where the student was and where it is"
    assert not any(parameter.requires_grad for parameter in average.parameters())
