from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.distributions import Normal, kl_divergence
from torch.nn import functional as F

from xkd.losses import L1, MSE, GaussianNLL, SmoothL1, VarianceKD

STUDENT, TEACHER = torch.tensor([[1.0, 2.0], [4.0, -2.0]]), torch.tensor([[2.0, 2.0], [1.0, 0.0]])


def test_distances_by_hand_in_units_of_the_scale() -> None:
    assert L1()(STUDENT, TEACHER).item() == pytest.approx((1 + 0 + 3 + 2) / 4)
    assert L1(scale=2.0)(STUDENT, TEACHER).item() == pytest.approx(6 / 4 / 2)
    assert MSE(scale=2.0)(STUDENT, TEACHER).item() == pytest.approx((1 + 9 + 4) / 4 / 4)
    assert SmoothL1(beta=1.5)(STUDENT, TEACHER).item() == pytest.approx((1 / 3 + (3 - 0.75) + (2 - 0.75)) / 4)


def test_the_likelihood_is_torchs() -> None:
    logarithms = torch.tensor([[0.3, -1.0], [0.0, 2.0]])
    value = GaussianNLL()(torch.cat([STUDENT, logarithms], 1), TEACHER)
    torch.testing.assert_close(value, F.gaussian_nll_loss(STUDENT, TEACHER, logarithms.exp()))


def test_an_unsure_teacher_counts_less() -> None:
    logarithms = torch.tensor([[0.3, -1.0], [0.0, 2.0]])
    teacher = torch.cat([TEACHER, logarithms], 1)
    deviation = (logarithms / 2).exp()
    expected = kl_divergence(Normal(TEACHER, deviation), Normal(STUDENT, deviation)).mean()
    torch.testing.assert_close(VarianceKD()(STUDENT, teacher), expected)
    torch.testing.assert_close(VarianceKD()(torch.cat([STUDENT, STUDENT], 1), teacher), expected)
    assert VarianceKD(least=3.0)(STUDENT, teacher) < expected


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: L1()(STUDENT, TEACHER[:, :1]), r"L1 compares the same numbers, got \(2, 2\) and \(2, 1\); GaussianNLL and"),
        (lambda: GaussianNLL()(STUDENT, TEACHER), "needs the student's 2 numbers and as many logarithms of variances"),
        (lambda: VarianceKD()(STUDENT, TEACHER[:, :1]), r"needs a teacher with numbers and as many variances, got \(2, 1\)"),
        (lambda: VarianceKD()(STUDENT[:, :1].repeat(1, 3), torch.cat([TEACHER, TEACHER], 1)), "compares the same numbers"),
        (lambda: L1(scale=0.0), "scale must be above 0, got 0"),
        (lambda: SmoothL1(beta=-1), "beta must be above 0"),
        (lambda: GaussianNLL()(STUDENT, TEACHER[:, 0].long()), r"GaussianNLL compares numbers \(B, D\) .*, got \(2, 2\) and \(2,\)"),
        (lambda: VarianceKD()(STUDENT, TEACHER[:, 0].long()), r"VarianceKD compares numbers \(B, D\) of whole images"),
        (lambda: VarianceKD(least=-1), "least must be 0 or more"),
    ],
)
def test_what_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
