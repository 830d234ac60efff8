from __future__ import annotations

import math

import pytest
import torch
from agreement import assert_agree
from core_models import TASK, changed, make_batch, rgb_branch, state, thermal_branch, unchecked
from torch import Tensor, nn

from xkd.graph.distiller import Distiller
from xkd.graph.term import Term
from xkd.losses import OFD, CrossEntropy
from xkd.losses.ofd import margin
from xkd.projectors import Conv1x1
from xkd.taps import Tap


def bound(channels: int) -> OFD:
    loss = OFD()
    loss.bind((channels, 4, 4), (channels, 4, 4))
    return loss.double()


def literal_margin(mean: float, std: float) -> float:
    below = math.erfc(mean / std / math.sqrt(2)) / 2
    if below <= 0.001:
        return -3 * std
    return mean - std * math.exp(-((mean / std) ** 2) / 2) / math.sqrt(2 * math.pi) / below


def literal(student: Tensor, teacher: Tensor) -> Tensor:
    """Element by element, in the three cases of the paper; margins from this batch. torchdistill has no OFD."""
    margins = [literal_margin(of.mean().item(), of.std(correction=0).item()) for of in teacher.movedim(1, 0)]
    total = student.new_zeros(())
    for row in range(len(student)):
        for channel, m in enumerate(margins):
            for s, t in zip(student[row, channel].flatten(), teacher[row, channel].flatten().tolist(), strict=True):
                if t > 0 or (t > m and s > t):
                    total = total + (s - t) ** 2
                elif t <= m and s > m:
                    total = total + (s - m) ** 2
    return total / len(student)


def test_the_formula_and_its_gradient() -> None:
    shift = torch.tensor([-1.0, 0.0, 1.0, 8.0], dtype=torch.float64)[:, None, None]
    student = 2 * torch.randn(3, 4, 3, 2, dtype=torch.float64) + shift
    teacher = torch.randn(3, 4, 3, 2, dtype=torch.float64) + shift
    student.requires_grad_()
    assert_agree(bound(4)(student, teacher), literal(student, teacher), student)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (-2.0, 0.5), (1.5, 0.7), (3.0, 1.0), (3.2, 1.0), (50.0, 1.0), (-50.0, 1.0)])
def test_the_margin_is_the_mean_of_what_is_negative(mean: float, std: float) -> None:
    of = margin(*torch.tensor([[mean], [std]], dtype=torch.float64)).item()
    assert of == pytest.approx(literal_margin(mean, std), rel=1e-9)
    drawn = mean + std * torch.randn(200_000, dtype=torch.float64)
    if (drawn < 0).sum() > 10_000:
        assert of == pytest.approx(drawn[drawn < 0].mean().item(), rel=0.03)


def test_a_channel_that_never_changes_has_a_margin() -> None:
    assert margin(torch.tensor([-2.0, 0.0, 2.0]), torch.zeros(3)).tolist() == [-2, 0, 0]


def test_after_a_batch_norm_the_margin_is_that_of_its_shift_and_scale() -> None:
    norm = nn.BatchNorm2d(5).double()
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    teacher = norm(3 + 7 * torch.randn(64, 5, 4, 4, dtype=torch.float64)).detach()
    loss = bound(5)
    loss(teacher, teacher)
    wanted = [literal_margin(shift, abs(scale)) for shift, scale in zip(norm.bias.tolist(), norm.weight.tolist(), strict=True)]
    assert margin(loss.mean, loss.variance.sqrt()).tolist() == pytest.approx(wanted, rel=1e-5)


def test_statistics_are_those_of_all_rows_seen() -> None:
    loss = bound(3)
    batches = [place + torch.randn(rows, 3, 2, 5, dtype=torch.float64) for place, rows in enumerate((4, 1, 7))]
    for teacher in batches:
        loss(teacher, teacher)
    everything = torch.cat(batches)
    assert loss.num_rows.item() == 12
    torch.testing.assert_close(loss.mean, everything.mean((0, 2, 3)), rtol=1e-9, atol=0)
    torch.testing.assert_close(loss.variance, everything.var((0, 2, 3), correction=0), rtol=1e-9, atol=0)


@pytest.mark.parametrize("how", ["eval", "no_grad"])
def test_nothing_is_remembered_outside_of_training(how: str) -> None:
    student, teacher, others = (torch.randn(4, 3, 2, 2, dtype=torch.float64) for _ in range(3))
    loss = bound(3)
    before = state(loss)
    loss.train(how != "eval")
    with torch.set_grad_enabled(how != "no_grad"):
        assert loss(student, teacher).item() == pytest.approx(literal(student, teacher).item(), rel=1e-9), "its own, where none are known"
    assert changed(loss, before) == []
    loss.train()
    loss(student, others)
    learned = state(loss)
    loss.train(how != "eval")
    with torch.set_grad_enabled(how != "no_grad"):
        loss(student, teacher)
    assert changed(loss, learned) == []
    held = bound(3)
    held.load_state_dict(learned)
    assert held.eval()(student, teacher).item() == loss.eval()(student, teacher).item()
    assert held(student, teacher).item() != pytest.approx(literal(student, teacher).item(), rel=1e-3), "those of the rows seen"


def test_a_step_that_is_not_finite_is_not_remembered() -> None:
    loss = bound(3)
    student, teacher = torch.randn(2, 3, 2, 2, dtype=torch.float64), torch.randn(2, 3, 2, 2, dtype=torch.float64)
    loss(student, teacher)
    before = state(loss)
    loss(student, teacher.clone().fill_(torch.nan))
    assert changed(loss, before) == []


def test_the_teachers_margin_comes_before_the_common_grid() -> None:
    student, teacher = torch.randn(2, 3, 2, 4, dtype=torch.float64), torch.randn(2, 3, 4, 4, dtype=torch.float64)
    loss = bound(3)
    loss(student, teacher)
    raised = torch.maximum(teacher, margin(loss.mean, loss.variance.sqrt())[:, None, None])
    target = raised.reshape(2, 3, 2, 2, 4).mean(3)
    counts = (target > 0) | (student > target)
    assert loss(student, teacher).item() == pytest.approx(((student - target)[counts] ** 2).sum().item() / 2, rel=1e-9)


def test_in_a_distiller_it_reads_batch_norms_before_their_activation() -> None:
    taps = {"before": Tap("deep.1")}
    terms = {
        "ce": Term(CrossEntropy(), "rgb.output", "batch.target"),
        "ofd": Term(OFD(), "rgb.before", "thermal.before", Conv1x1(norm=True), weight=1e-3),
    }
    distiller = Distiller({"rgb": rgb_branch(taps), "thermal": thermal_branch(taps, frozen=True)}, terms, "rgb", TASK)
    distiller.bind()
    loss = distiller.terms["ofd"].loss
    assert loss.num_rows == 0, "the dry run leaves no trace"
    batch = make_batch(6)
    batch.present["thermal"][2] = False
    step = distiller(batch)
    step.loss.backward()
    assert step.parts["ofd"] > 0
    assert loss.num_rows == 5
    assert distiller.terms["ofd"].projector.layers[0].weight.grad.abs().max() > 0
    assert distiller.branches["rgb"].model.deep[0].weight.grad.abs().max() > 0
    assert {"terms.ofd.loss.mean", "terms.ofd.loss.variance", "terms.ofd.loss.num_rows"} <= set(distiller.state_dict())


def test_what_it_refuses() -> None:
    with pytest.raises(ValueError, match=r"OFD has no statistics yet: call bind\(\)"):
        OFD()(torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4))
    with pytest.raises(ValueError, match=r"OFD compares maps \(C, H, W\), got \(3,\) and \(3,\); tap a layer before the pooling"):
        OFD().bind((3,), (3,))
    loss = bound(5)
    with unchecked(), pytest.raises(ValueError, match=r"OFD compares equal channels.*give the term a projector"):
        loss(torch.rand(2, 3, 4, 4).double(), torch.rand(2, 5, 4, 4).double())
