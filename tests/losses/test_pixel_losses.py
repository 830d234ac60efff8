"""Losses on numbers of pixels, some of them unknown: against plain float64 arithmetic on the known ones alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from core_models import RGB_VIEW, make_batch, unchecked
from torch import Tensor, nn

from xkd.batch import Batch
from xkd.graph.reading import Readings
from xkd.graph.term import Term
from xkd.losses import MSE, EdgeSmoothL1, PixelL1, ScaleInvariantLog

LOSSES = [PixelL1(scale=2.0), ScaleInvariantLog(0.85), EdgeSmoothL1(beta=0.5, scale=2.0, levels=3)]


def maps(unknown: float = 0.4, rows: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn((rows, 2, 9, 12), generator=generator, dtype=torch.float64).exp() for _ in range(2))
    lost = torch.rand(teacher.shape, generator=generator) < unknown
    return student, teacher.masked_fill(lost, torch.nan)


def known_errors(student: Tensor, teacher: Tensor) -> list[float]:
    pairs = zip(student.flatten().tolist(), teacher.flatten().tolist(), strict=True)
    return [ours - theirs for ours, theirs in pairs if theirs == theirs]


def test_absolute_errors_of_known_pixels_in_units_of_the_scale() -> None:
    student, teacher = maps()
    errors = known_errors(student, teacher)
    assert PixelL1(scale=2.0)(student, teacher).item() == pytest.approx(sum(map(abs, errors)) / len(errors) / 2, rel=1e-12)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_scale_invariant_log_is_eigens_equation_4_of_each_image(share: float) -> None:
    student, teacher = maps()
    teacher[1] = torch.nan
    teacher[2, 0, 0, :3] = 0.0  # no return
    values = []
    for ours, theirs in zip(student.numpy(), teacher.numpy(), strict=True):
        known = theirs > 0
        d = np.log(ours[known]) - np.log(theirs[known])
        if len(d):
            values.append(np.sum(d**2) / len(d) - share / len(d) ** 2 * np.sum(d) ** 2)
    assert len(values) == 2
    assert ScaleInvariantLog(share)(student, teacher).item() == pytest.approx(np.mean(values), rel=1e-12)


def test_a_common_factor_costs_nothing_at_a_share_of_one() -> None:
    student, _ = maps()
    assert ScaleInvariantLog(1.0)(student, 3 * student).item() == pytest.approx(0, abs=1e-12)
    assert ScaleInvariantLog(0.5)(student, 3 * student).item() == pytest.approx(0.5 * np.log(3) ** 2)


def test_edges_are_differences_of_errors_between_known_neighbours() -> None:
    student, teacher = maps()
    errors, expected = ((student - teacher) / 2).numpy(), 0.0
    for step in (1, 2, 4):
        grid = errors[..., ::step, ::step]
        for axis in (2, 3):
            steps = np.diff(grid, axis=axis)
            expected += 0.5 * np.abs(steps[~np.isnan(steps)]).mean()
    plain = np.abs(errors[~np.isnan(errors)])
    smooth = np.where(plain < 0.5, plain**2 / (2 * 0.5), plain - 0.25).mean()
    assert EdgeSmoothL1(beta=0.5, scale=2.0, levels=3)(student, teacher).item() == pytest.approx(smooth + expected, rel=1e-12)
    assert EdgeSmoothL1(beta=0.5, scale=2.0, edges=0.0)(student, teacher).item() == pytest.approx(smooth, rel=1e-12)


def test_an_error_that_all_pixels_share_has_no_edges() -> None:
    student, teacher = maps(unknown=0.0)
    shifted = teacher + 3
    assert EdgeSmoothL1(edges=7.0)(shifted, teacher).item() == pytest.approx(2.5)
    assert EdgeSmoothL1(edges=7.0)(student, teacher) > EdgeSmoothL1(edges=0.0)(student, teacher)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_what_nobody_knows_changes_neither_the_value_nor_the_gradient(loss: nn.Module) -> None:
    student, teacher = maps()
    student.requires_grad_()
    value = loss(student, teacher)
    (gradient,) = torch.autograd.grad(value, student)
    unknown = teacher.isnan()
    assert gradient.isfinite().all()
    assert (gradient[unknown] == 0).all()
    assert (gradient[~unknown] != 0).any()
    other = torch.where(unknown, 5.0, student.detach())
    assert loss(other, teacher).item() == pytest.approx(value.item(), rel=1e-12)
    assert torch.autograd.gradcheck(lambda s: loss(s, teacher[:1, :, :4, :4]), student.detach()[:1, :, :4, :4].requires_grad_())


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_where_nothing_is_known_the_loss_is_zero_and_so_is_its_gradient(loss: nn.Module) -> None:
    student, teacher = maps(unknown=1.1)
    student.requires_grad_()
    value = loss(student, teacher)
    assert value.item() == 0
    assert (torch.autograd.grad(value, student)[0] == 0).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PixelL1()(torch.ones(2, 1, 4, 4), torch.ones(2, 1, 4, 2)), r"on one grid, .* got \(2, 1, 4, 4\) and \(2, 1, 4, 2\)"),
        (lambda: EdgeSmoothL1()(torch.ones(2, 1, 4, 4), torch.ones(2, 2, 4, 4)), "EdgeSmoothL1 compares numbers of pixels on one grid"),
        (lambda: ScaleInvariantLog()(-torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2)), r"above 0, the student gives -1: use Dense\(ratios"),
        (lambda: PixelL1(scale=0), "scale must be above 0, got 0"),
        (lambda: ScaleInvariantLog(1.5), "share is 0 to 1, got 1.5"),
        (lambda: EdgeSmoothL1(levels=0), "levels 1 or more; got beta=1.0, scale=1.0, edges=0.5, levels=0"),
    ],
)
def test_what_is_refused(call: Callable[[], object], message: str) -> None:
    with unchecked(), pytest.raises(ValueError, match=message):
        call()


def term_on(loss: nn.Module, teacher: str = "batch.target") -> tuple[Term, Readings, Batch]:
    target = torch.rand(2, 1, 8, 8).masked_fill(torch.rand(2, 1, 8, 8) < 0.5, torch.nan)
    batch = make_batch(2, target=target)
    readings = Readings({"rgb": {"output": torch.rand(2, 1, 8, 8), "other": target}}, batch, {"rgb": RGB_VIEW.name})
    return Term(loss, "rgb.output", teacher), readings, batch


def test_a_term_lets_unknown_pixels_of_a_target_through_where_the_loss_takes_them() -> None:
    term, readings, batch = term_on(PixelL1())
    assert term(readings, batch).isfinite()
    term, readings, batch = term_on(MSE())
    with unchecked(), pytest.raises(ValueError, match=r"'batch.target' \(2, 1, 8, 8\) is not finite"):
        term(readings, batch)


def test_a_network_that_diverged_is_no_unknown_pixel() -> None:
    term, readings, batch = term_on(PixelL1(), "rgb.other")
    with pytest.raises(ValueError, match=r"'rgb.other' \(2, 1, 8, 8\) is not finite"):
        term(readings, batch)
