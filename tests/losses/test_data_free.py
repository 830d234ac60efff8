"""What a generator learns from its judge, by the formulas of the authors' code in float64."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from xkd.losses import Activation, EvenClasses, NormStatistics, OwnClass

LOGITS = torch.randn((6, 4), generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_the_class_is_the_judges_own_or_the_one_that_was_asked_for() -> None:
    own = -LOGITS.log_softmax(1).amax(1).mean()
    torch.testing.assert_close(OwnClass()(LOGITS, LOGITS), own, rtol=1e-12, atol=0.0)
    asked = torch.tensor([3, 1, 0, 2, 2, 1])
    torch.testing.assert_close(OwnClass()(LOGITS, F.one_hot(asked, 4).double()), F.cross_entropy(LOGITS, asked), rtol=1e-12, atol=0.0)
    with pytest.raises(ValueError, match=r"OwnClass compares logits over the same classes and positions, got \(6, 4\) and \(6, 3\)"):
        OwnClass()(LOGITS, LOGITS[:, :3])


def test_even_classes_is_the_information_entropy_loss_but_for_a_constant() -> None:
    share = LOGITS.softmax(1).mean(0)
    torch.testing.assert_close(EvenClasses()(LOGITS, LOGITS), (share * share.log()).sum() + math.log(4), rtol=1e-12, atol=0.0)
    certain = 50.0 * torch.eye(4, dtype=torch.float64)
    assert EvenClasses()(certain, certain).item() == pytest.approx(0, abs=1e-12)
    assert EvenClasses()(certain[:1], certain).item() == pytest.approx(math.log(4))


def test_activation_is_minus_the_mean_of_magnitudes() -> None:
    assert Activation()(LOGITS, LOGITS).item() == pytest.approx(-LOGITS.abs().mean().item(), rel=1e-12)


def test_norm_statistics_is_the_distance_of_mean_and_variance_added_up_over_layers() -> None:
    generator = torch.Generator().manual_seed(1)
    images = [torch.randn((5, channels, 3, 2), generator=generator, dtype=torch.float64) for channels in (4, 2)]
    known = [torch.rand((2, channels), generator=generator, dtype=torch.float64) for channels in (4, 2)]
    rows = [
        torch.stack([of.mean((2, 3)), of.square().mean((2, 3)), *(each.expand(5, -1) for each in running)], 1)
        for of, running in zip(images, known, strict=True)
    ]
    reading = torch.stack([F.pad(row, (0, 4 - row.shape[2])) for row in rows], 1)
    expected = sum(
        torch.norm(running[1] - of.transpose(0, 1).flatten(1).var(1, unbiased=False), 2) + torch.norm(running[0] - of.mean((0, 2, 3)), 2)
        for of, running in zip(images, known, strict=True)
    )
    assert NormStatistics()(reading, reading).item() == pytest.approx(float(expected), rel=1e-12)
