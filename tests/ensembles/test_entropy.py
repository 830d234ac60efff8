from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from xkd.ensembles import Entropy


@pytest.mark.parametrize("tau", [1.0, 3.0])
def test_weights_fall_with_the_share_of_the_entropy(logits: tuple[Tensor, ...], there: Tensor, tau: float) -> None:
    output = Entropy(tau)(logits, there)
    for row in range(8):
        held = [(z[row] / tau).softmax(0) for z, here in zip(logits, there[:, row], strict=True) if here]
        entropies = [-sum(float(p) * math.log(p) for p in one) for one in held]
        weights = [1.0] if len(held) == 1 else [1 - of / sum(entropies) for of in entropies]
        expected = sum(weight / sum(weights) * one for weight, one in zip(weights, held, strict=True))
        torch.testing.assert_close((output[row] / tau).softmax(0), expected, rtol=1e-10, atol=1e-14)


def test_the_surer_of_two_weighs_more_and_equal_ones_alike() -> None:
    both = torch.ones(2, 1, dtype=torch.bool)
    sure, unsure = torch.tensor([[9.0, 0, 0]]), torch.tensor([[1.0, 0, 0]])
    weights = Entropy().weights((sure, unsure), both)
    assert weights[0] > 0.9
    assert weights.sum() == pytest.approx(1)
    # so sure that a float knows no entropy: no division by zero, and no weight for nobody
    assert Entropy().weights((1e4 * sure, 1e4 * sure), both).tolist() == [[0.5], [0.5]]


def test_a_weight_of_exactly_zero_has_a_finite_gradient() -> None:
    sure, unsure = (torch.tensor([[1e4, 0, 0]], requires_grad=True), torch.tensor([[1.0, 0, 0]], requires_grad=True))
    Entropy()((sure, unsure), torch.ones(2, 1, dtype=torch.bool)).sum().backward()
    assert sure.grad is not None
    assert unsure.grad is not None
    assert (torch.cat([sure.grad, unsure.grad])).isfinite().all()
