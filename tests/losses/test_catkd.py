from __future__ import annotations

import pytest
import torch
from agreement import assert_agree
from core_models import RGB_VIEW, TASK, THERMAL_VIEW, make_batch, unchecked
from torch import Tensor, nn

from xkd.graph.branch import Branch
from xkd.graph.distiller import Distiller
from xkd.graph.term import Term
from xkd.graph.weights import Random
from xkd.losses import CATKD, CrossEntropy
from xkd.taps import Tap


def maps(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def literal(student: Tensor, teacher: Tensor, normalize: bool) -> Tensor:
    """Quarters of maps of even sides, one row and one class at a time."""

    def quarters(of: Tensor) -> Tensor:
        height, width = of.shape[0] // 2, of.shape[1] // 2
        cells = [of[i * height : (i + 1) * height, j * width : (j + 1) * width].mean() for i in range(2) for j in range(2)]
        vector = torch.stack(cells)
        return vector / (vector**2).sum().sqrt() if normalize else vector

    pairs = [(quarters(student[b, k]), quarters(teacher[b, k])) for b in range(len(student)) for k in range(student.shape[1])]
    return torch.stack([((s - t) ** 2).mean() for s, t in pairs]).mean()


@pytest.mark.parametrize("normalize", [True, False])
def test_the_formula_on_grids_that_differ(normalize: bool) -> None:
    student, teacher = maps(2, 3, 4, 6), maps(2, 3, 2, 8)
    assert_agree(CATKD(2, normalize)(student, teacher), literal(student, teacher, normalize), student)


def test_each_class_has_its_own_length() -> None:
    teacher = maps(2, 3, 4, 4)
    scales = torch.tensor([1.0, 5.0, 0.1]).double()[None, :, None, None]
    assert CATKD()(teacher * scales, teacher).item() == pytest.approx(0, abs=1e-12)
    assert CATKD(normalize=False)(teacher * scales, teacher).item() > 0.01


def test_a_class_without_evidence_has_a_finite_gradient() -> None:
    student = torch.zeros(1, 2, 2, 2, requires_grad=True)
    CATKD()(student, torch.randn(1, 2, 2, 2)).backward()
    assert torch.isfinite(student.grad).all()


class Dense(nn.Module):
    """A class map at each position, averaged to logits."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(channels, 8, 3, 2, 1), nn.ReLU())
        self.classes = nn.Conv2d(8, 3, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.classes(self.stem(images)).mean((2, 3))


def test_it_trains_a_network_whose_classifier_comes_before_the_pooling() -> None:
    taps = {"classes": Tap("classes")}
    rgb = Branch(Dense(3), RGB_VIEW, Random(), taps)
    thermal = Branch(Dense(1), THERMAL_VIEW, Random(frozen=True), taps, frozen=True)
    terms = {"ce": Term(CrossEntropy(), "rgb.output", "batch.target"), "cat": Term(CATKD(), "rgb.classes", "thermal.classes", weight=5.0)}
    distiller = Distiller({"rgb": rgb, "thermal": thermal}, terms, "rgb", TASK)
    distiller.bind()
    batch, optimizer, values = make_batch(6), torch.optim.Adam(rgb.parameters(), 0.01), []
    for _ in range(20):
        optimizer.zero_grad()
        step = distiller(batch)
        step.loss.backward()
        optimizer.step()
        values.append(step.parts["cat"].item())
    assert values[-1] < 0.5 * values[0]


def test_what_cannot_be_compared_is_named() -> None:
    with unchecked():
        with pytest.raises(ValueError, match=r"CATKD compares class activation maps \(B, K, H, W\), got \(2, 3\) and \(2, 3\)"):
            CATKD()(maps(2, 3), maps(2, 3))
        with pytest.raises(ValueError, match=r"CATKD compares logits over the same classes .*\(2, 3, 2, 2\) and \(2, 4, 2, 2\)"):
            CATKD()(maps(2, 3, 4, 4), maps(2, 4, 4, 4))
        with pytest.raises(ValueError, match="CATKD pools maps to 3 x 3 cells, got smaller ones"):
            CATKD(3)(maps(2, 3, 4, 4), maps(2, 3, 4, 2))
    for size, normalize in ((1, True), (0, False)):
        with pytest.raises(ValueError, match=f"size must be at least 1, and 2 where maps are normalised, got {size}"):
            CATKD(size, normalize)
