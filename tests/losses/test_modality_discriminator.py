from __future__ import annotations

import math

import pytest
import torch
from core_models import TASK, make_batch, rgb_branch, thermal_branch, unchecked
from torch import Tensor, nn

from xkd.graph.distiller import Distiller
from xkd.graph.term import Term
from xkd.losses import CrossEntropy, ModalityDiscriminator
from xkd.projectors import Conv1x1
from xkd.taps import Tap


def bound(student: Tensor, teacher: Tensor, strength: float = 1.0) -> ModalityDiscriminator:
    loss = ModalityDiscriminator(16, strength)
    loss.bind(tuple(student.shape[1:]), tuple(teacher.shape[1:]))
    return loss.to(student.dtype)


@torch.no_grad()
def literal(loss: ModalityDiscriminator, student: Tensor, teacher: Tensor) -> float:
    """-log D(teacher) - log(1 - D(student)), each a mean over its vectors."""

    def d(vector: Tensor) -> float:
        for layer in loss.layers[:-1]:
            vector = layer.weight @ vector + layer.bias if isinstance(layer, nn.Linear) else torch.where(vector > 0, vector, 0.2 * vector)
        return 1 / (1 + math.exp(-float(loss.layers[-1].weight @ vector + loss.layers[-1].bias)))

    fooled, recognised = [-math.log(d(v)) for v in teacher], [-math.log(1 - d(v)) for v in student]
    return sum(fooled) / len(fooled) + sum(recognised) / len(recognised)


def test_the_formula() -> None:
    student, teacher = torch.randn(5, 3, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    loss = bound(student, teacher)
    assert loss(student, teacher).item() == pytest.approx(literal(loss, student, teacher), rel=1e-12)


def test_maps_are_told_apart_position_by_position_on_the_common_grid() -> None:
    student, teacher = torch.randn(2, 3, 4, 2, dtype=torch.float64), torch.randn(2, 3, 2, 4, dtype=torch.float64)
    loss = bound(student, teacher)
    down = student.reshape(2, 3, 2, 2, 2).mean(3), teacher.reshape(2, 3, 2, 2, 2).mean(4)
    as_rows = [maps.permute(0, 2, 3, 1).reshape(-1, 3) for maps in down]
    assert loss(student, teacher).item() == pytest.approx(literal(loss, *as_rows), rel=1e-12)


@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_the_students_gradient_is_reversed_and_the_discriminators_is_not(strength: float) -> None:
    student, teacher = torch.randn(5, 3, dtype=torch.float64, requires_grad=True), torch.randn(5, 3, dtype=torch.float64)
    loss = bound(student, teacher, strength)
    gradients = torch.autograd.grad(loss(student, teacher), [student, *loss.parameters()])
    plain = nn.functional.softplus(-loss.layers(teacher)).mean() + nn.functional.softplus(loss.layers(student)).mean()
    wanted = torch.autograd.grad(plain, [student, *loss.parameters()])
    torch.testing.assert_close(gradients[0], -strength * wanted[0])
    for ours, theirs in zip(gradients[1:], wanted[1:], strict=True):
        torch.testing.assert_close(ours, theirs)


def test_the_student_is_pushed_towards_the_teachers_features() -> None:
    teacher = 2 + 0.5 * torch.randn(64, 4)
    student = (-2 + 0.5 * torch.randn(64, 4)).requires_grad_()
    loss = bound(student, teacher)
    optimiser = torch.optim.Adam(loss.parameters(), lr=1e-2)
    for _ in range(40):  # a discriminator that has begun to tell them apart
        optimiser.zero_grad()
        loss(student, teacher).backward()
        optimiser.step()
    (gradient,) = torch.autograd.grad(loss(student, teacher), student)
    assert gradient.abs().max() > 0
    towards = (teacher - student).detach()
    assert ((-gradient * towards).sum(1) > 0).all(), "a descent moves each row towards the teacher's"


def test_one_optimiser_brings_the_students_features_to_the_teachers() -> None:
    source, teacher = torch.randn(128, 2), torch.randn(128, 2) + torch.tensor([3.0, -2.0])
    offset = nn.Parameter(torch.zeros(2))
    loss = bound(source, teacher)
    optimiser = torch.optim.Adam([{"params": [offset], "lr": 0.02}, {"params": loss.parameters(), "lr": 5e-3}])
    for _ in range(500):
        optimiser.zero_grad()
        loss(source + offset, teacher).backward()
        optimiser.step()
    gap = (source + offset).mean(0) - teacher.mean(0)
    assert gap.norm().item() < 0.7, "it began at 3.6"


def test_in_a_distiller_it_is_sized_before_the_optimiser_and_reaches_the_student_alone() -> None:
    taps = {"deep": Tap("deep")}
    terms = {
        "ce": Term(CrossEntropy(), "rgb.output", "batch.target", weight=0.0),
        "fool": Term(ModalityDiscriminator(), "rgb.deep", "thermal.deep", Conv1x1()),
    }
    distiller = Distiller({"rgb": rgb_branch(taps), "thermal": thermal_branch(taps, frozen=True)}, terms, "rgb", TASK)
    distiller.bind()
    discriminator = distiller.terms["fool"].loss
    assert {id(p) for p in discriminator.parameters()} <= {id(p) for p in distiller.parameters()}
    assert len(list(discriminator.parameters())) == 6
    distiller(make_batch(6)).loss.backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in discriminator.parameters())
    assert all(parameter.grad.abs().max() > 0 for parameter in distiller.branches["rgb"].model.deep[0].parameters())
    assert all(parameter.grad is None for parameter in distiller.branches["thermal"].parameters())


def test_certainty_stays_finite() -> None:
    student, teacher = torch.full((2, 3), -1e4, requires_grad=True), torch.full((2, 3), 1e4)
    value = bound(student, teacher)(student, teacher)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(student.grad).all()


def test_it_must_be_sized_first_for_features_of_one_length() -> None:
    with pytest.raises(ValueError, match=r"ModalityDiscriminator has no layers yet: call bind\(\)"):
        ModalityDiscriminator()(torch.rand(2, 3), torch.rand(2, 3))
    for source, target in (((3,), (5,)), ((3, 4, 4), (3,)), ((3, 4), (3, 4))):
        with pytest.raises(ValueError, match=r"features of one length.*give the term a projector"):
            ModalityDiscriminator().bind(source, target)
    with unchecked(), pytest.raises(ValueError, match=r"equal numbers of rows, got \(4, 3\) and \(3, 3\)"):
        bound(torch.rand(4, 3), torch.rand(3, 3))(torch.rand(4, 3), torch.rand(3, 3))
    with pytest.raises(ValueError, match="must be positive"):
        ModalityDiscriminator(strength=0.0)
