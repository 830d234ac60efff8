"""CA-MKD's weights by hand."""

from __future__ import annotations

import math

import pytest
import torch
from core_models import unchecked
from torch import Tensor

from xkd.ensembles import Confidence, Entropy


@pytest.mark.parametrize("tau", [1.0, 4.0])
def test_weights_fall_with_the_cross_entropy(logits: tuple[Tensor, ...], there: Tensor, target: Tensor, tau: float) -> None:
    output = Confidence(tau)(logits, there, target)
    for row in range(7):
        held = [z[row] for z, here in zip(logits, there[:, row], strict=True) if here]
        losses = [-math.log(float(z.softmax(0)[target[row]])) for z in held]  # at temperature 1
        shares = [math.exp(loss) / sum(map(math.exp, losses)) for loss in losses]
        weights = [1.0] if len(held) == 1 else [(1 - share) / (len(held) - 1) for share in shares]
        assert sum(weights) == pytest.approx(1)
        expected = sum(weight * (z / tau).softmax(0) for weight, z in zip(weights, held, strict=True))
        torch.testing.assert_close((output[row] / tau).softmax(0), expected, rtol=1e-10, atol=1e-14)


def test_rows_without_a_label_go_by_entropy(logits: tuple[Tensor, ...], there: Tensor) -> None:
    nobody_knows = torch.full((8,), -1)
    torch.testing.assert_close(Confidence(2.0)(logits, there, nobody_knows), Entropy(2.0)(logits, there))


def test_each_pixel_has_its_own_label(logits: tuple[Tensor, ...], there: Tensor, target: Tensor) -> None:
    pixels = tuple(torch.stack([one, one], 2)[..., None] for one in logits)
    labels = torch.stack([target, torch.full((8,), -1)], 1)[..., None]
    output = Confidence()(pixels, there, labels)
    torch.testing.assert_close(output[:, :, 0, 0], Confidence()(logits, there, target))
    torch.testing.assert_close(output[:, :, 1, 0], Entropy()(logits, there))


def test_several_labels_have_no_cross_entropy(logits: tuple[Tensor, ...], there: Tensor) -> None:
    with unchecked(), pytest.raises(ValueError, match="Confidence needs class indices"):
        Confidence()(logits, there, torch.ones(8, 4))
