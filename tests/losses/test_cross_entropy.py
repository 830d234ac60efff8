from __future__ import annotations

import math

import pytest
import torch
from core_models import unchecked
from torch.nn import functional as F

from xkd.losses import BinaryCrossEntropy, CrossEntropy

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 1.0]], dtype=torch.float64)
TARGET = torch.tensor([0, 2])


def log_p(row: int, k: int) -> float:
    z = LOGITS[row].tolist()
    return z[k] - math.log(sum(math.exp(v) for v in z))


def test_the_formula() -> None:
    assert CrossEntropy()(LOGITS, TARGET).item() == pytest.approx(-(log_p(0, 0) + log_p(1, 2)) / 2, rel=1e-12)


def test_label_smoothing_spreads_its_share_over_all_classes() -> None:
    smooth = [sum(log_p(row, k) for k in range(3)) / 3 for row in range(2)]
    expected = -(0.9 * (log_p(0, 0) + log_p(1, 2)) + 0.1 * sum(smooth)) / 2
    assert CrossEntropy(label_smoothing=0.1)(LOGITS, TARGET).item() == pytest.approx(expected, rel=1e-12)


def test_class_weights_give_the_weighted_mean() -> None:
    expected = -(1.0 * log_p(0, 0) + 4.0 * log_p(1, 2)) / 5
    assert CrossEntropy(weight=(1, 2, 4))(LOGITS, TARGET).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0])
def test_label_smoothing_is_a_share(smoothing: float) -> None:
    with pytest.raises(ValueError, match=r"label_smoothing must be in \[0, 1\)"):
        CrossEntropy(label_smoothing=smoothing)


def test_logits_of_another_branch_are_not_taken_for_labels() -> None:
    with unchecked(), pytest.raises(ValueError, match=r"class indices or probabilities; use KD"):
        CrossEntropy()(LOGITS, LOGITS)


def test_soft_targets_are_class_probabilities() -> None:
    soft = torch.tensor([[0.25, 0.0, 0.75], [0.0, 1.0, 0.0]])
    expected = -(0.25 * log_p(0, 0) + 0.75 * log_p(0, 2) + log_p(1, 1)) / 2
    assert CrossEntropy()(LOGITS, soft).item() == pytest.approx(expected, rel=1e-12)
    for wrong in (soft * 2, torch.tensor([[1.5, -0.5, 0.0], [0.0, 1.0, 0.0]]), torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])):
        with pytest.raises(ValueError, match="class indices or probabilities"):
            CrossEntropy()(LOGITS, wrong)


def test_pixels_without_a_label_do_not_count() -> None:
    logits = torch.stack([LOGITS.T, LOGITS.T.flip(1)], 2)[None]  # (1, 3, 2, 2)
    target = torch.tensor([[[0, -1], [-1, -1]]])
    assert CrossEntropy()(logits, target).item() == pytest.approx(-log_p(0, 0), rel=1e-12)


@pytest.mark.parametrize("weight", [(), (1.0, 2.0, 3.0)])
def test_where_nothing_is_known_it_is_zero(weight: tuple[float, ...]) -> None:
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    loss = CrossEntropy(weight=weight)(logits, torch.full((2, 4, 4), -1))
    loss.backward()
    assert loss == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_weights_and_unknown_pixels_together(smoothing: float) -> None:
    logits, weight = torch.randn(2, 3, 4, 4), (1.0, 2.0, 3.0)
    target = torch.arange(32).reshape(2, 4, 4) % 4 - 1
    expected = F.cross_entropy(logits, target, torch.tensor(weight), ignore_index=-1, label_smoothing=smoothing)
    torch.testing.assert_close(CrossEntropy(smoothing, weight)(logits, target), expected)


def test_several_labels_per_image_and_the_weight_of_positives() -> None:
    target = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])

    def expected(weight: list[float]) -> float:
        p = LOGITS.sigmoid().tolist()
        terms = [
            -(weight[k] * y * math.log(p[row][k]) + (1 - y) * math.log(1 - p[row][k]))
            for row, ys in enumerate(target.tolist())
            for k, y in enumerate(ys)
        ]
        return sum(terms) / len(terms)

    assert BinaryCrossEntropy()(LOGITS, target).item() == pytest.approx(expected([1.0, 1.0, 1.0]), rel=1e-12)
    assert BinaryCrossEntropy(weight=(2.0, 1.0, 3.0))(LOGITS, target).item() == pytest.approx(expected([2.0, 1.0, 3.0]), rel=1e-12)


def test_class_weights_are_no_part_of_a_checkpoint() -> None:
    assert not CrossEntropy(weight=(1.0, 2.0)).state_dict()
