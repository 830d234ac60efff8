"""The mean of probabilities by hand; its gradient as a target is that of the mean of the divergences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from xkd.ensembles import Mean
from xkd.losses import KD


@pytest.mark.parametrize("tau", [1.0, 4.0])
def test_the_mean_of_the_softened_probabilities_of_those_that_are_there(logits: tuple[Tensor, ...], there: Tensor, tau: float) -> None:
    output = Mean(tau)(logits, there)
    for row in range(8):
        held = [np.exp(z[row].numpy() / tau) for z, here in zip(logits, there[:, row], strict=True) if here]
        expected = np.mean([one / one.sum() for one in held], 0)
        np.testing.assert_allclose((output[row] / tau).softmax(0).numpy(), expected, rtol=1e-12)
        np.testing.assert_allclose(output[row].numpy(), tau * np.log(expected), rtol=1e-10)


def test_without_a_temperature_it_is_the_mean_of_the_values(logits: tuple[Tensor, ...], there: Tensor) -> None:
    output = Mean(math.inf)(logits, there)
    torch.testing.assert_close(output[0], (logits[0][0] + logits[1][0] + logits[2][0]) / 3)
    torch.testing.assert_close(output[2], (logits[0][2] + logits[1][2]) / 2)
    torch.testing.assert_close(output[7], logits[2][7])
    maps = tuple(torch.randn(8, 5, 2, 3, dtype=torch.float64) for _ in range(3))
    torch.testing.assert_close(Mean(math.inf)(maps, there)[4], (maps[1][4] + maps[2][4]) / 2)


def test_a_large_temperature_comes_near_it_but_for_a_constant(logits: tuple[Tensor, ...], there: Tensor) -> None:
    near, limit = Mean(1e5)(logits, there), Mean(math.inf)(logits, there)
    torch.testing.assert_close(near - near.mean(1, keepdim=True), limit - limit.mean(1, keepdim=True), atol=1e-3, rtol=0)


def test_as_a_target_it_has_the_gradient_of_the_mean_divergence(logits: tuple[Tensor, ...]) -> None:
    student = torch.randn(8, 4, dtype=torch.float64, requires_grad=True)
    everywhere = torch.ones(3, 8, dtype=torch.bool)
    (mixed,) = torch.autograd.grad(KD(4.0)(student, Mean(4.0)(logits, everywhere)), student)
    (each,) = torch.autograd.grad(torch.stack([KD(4.0)(student, one) for one in logits]).mean(), student)
    torch.testing.assert_close(mixed, each, rtol=1e-10, atol=1e-14)


def test_pixels_are_mixed_one_by_one(logits: tuple[Tensor, ...], there: Tensor) -> None:
    pixels = tuple(torch.stack([one, one.flip(0)], 2)[..., None] for one in logits)
    torch.testing.assert_close(Mean()(pixels, there)[:, :, 0, 0], Mean()(logits, there))


def test_probabilities_too_small_for_a_float_are_not_lost() -> None:
    sure = torch.tensor([[0.0, 500.0, 0.0]]), torch.tensor([[0.0, 500.0, 100.0]])
    output = Mean()(sure, torch.ones(2, 1, dtype=torch.bool))
    assert output.isfinite().all()
    assert output[0, 2] - output[0, 1] == pytest.approx(-400 - math.log(2))


def test_a_single_source_passes_its_whole_gradient_on() -> None:
    z = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(Mean()((z,), torch.ones(1, 2, dtype=torch.bool)).sin().sum(), z)
    torch.testing.assert_close(gradient, torch.autograd.grad(z.log_softmax(1).sin().sum(), z)[0])


def test_mistakes() -> None:
    with pytest.raises(ValueError, match="Mean: tau must be positive, got 0"):
        Mean(0)
