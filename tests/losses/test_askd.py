from __future__ import annotations

import pytest
import timm
import torch
from agreement import assert_agree
from core_models import RGB, TASK, make_batch, unchecked
from torch import Tensor
from torch.nn import functional as F

from xkd.batch import View
from xkd.graph.branch import Branch
from xkd.graph.distiller import Distiller
from xkd.graph.term import Term
from xkd.graph.weights import Random
from xkd.losses import ASKD, CrossEntropy
from xkd.taps import Tap


def maps(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def literal(student: Tensor, teacher: Tensor) -> Tensor:
    """The authors' three lines for one block's map."""
    return (1.0 - F.cosine_similarity(student.flatten(1), teacher.flatten(1))).mean()


@pytest.mark.parametrize("shape", [(3, 6, 1, 1), (3, 6), (3, 1, 4, 5), (3, 2, 4, 5)], ids=str)
def test_the_formula(shape: tuple[int, ...]) -> None:
    student, teacher = maps(*shape), maps(*shape)
    assert_agree(ASKD()(student, teacher), literal(student, teacher), student)


def test_several_pairs_are_averaged() -> None:
    student, teacher = (maps(3, 6, 1, 1), maps(3, 1, 4, 5)), (maps(3, 6), maps(3, 1, 4, 5))
    expected = (literal(student[0], teacher[0]) + literal(student[1], teacher[1])) / 2
    assert_agree(ASKD()(student, teacher), expected, *student)


def test_the_larger_grid_is_averaged_down() -> None:
    student, teacher = maps(2, 1, 2, 3), maps(2, 1, 4, 6)
    assert_agree(ASKD()(student, teacher), literal(student, teacher.reshape(2, 1, 2, 2, 3, 2).mean((3, 5))), student)


def test_opposite_maps_are_at_two_and_an_empty_one_has_no_gradient() -> None:
    teacher = torch.randn(2, 4)
    assert ASKD()(-3 * teacher, teacher).item() == pytest.approx(2)
    student = torch.zeros(2, 4, requires_grad=True)
    ASKD()(student, teacher).backward()
    assert torch.isfinite(student.grad).all()


def cbam(size: tuple[int, int], frozen: bool) -> Branch:
    """A timm network with CBAM, read before its gates in the second and the last stage."""
    gates = {f"{of}{stage}": f"layer{stage}.0.se.{of}.gate" for stage in (2, 4) for of in ("channel", "spatial")}
    taps = {name: Tap(path, side="input", layout="NCHW") for name, path in gates.items()}
    model = timm.create_model("test_resnet", block_args={"attn_layer": "cbam"}, zero_init_last=False, num_classes=3)
    return Branch(model, View(f"rgb_{size[0]}", RGB, size), Random(frozen), taps, frozen=frozen)


def test_a_student_of_low_resolution_learns_the_maps_of_cbam() -> None:
    low, high = cbam((64, 96), frozen=False), cbam((128, 192), frozen=True)
    names = ("channel2", "spatial2", "channel4", "spatial4")
    look = Term(ASKD(), tuple(f"low.{name}" for name in names), tuple(f"high.{name}" for name in names), weight=5.0)
    terms = {"ce": Term(CrossEntropy(), "low.output", "batch.target"), "look": look}
    distiller = Distiller({"low": low, "high": high}, terms, "low", TASK)
    distiller.bind()
    batch = make_batch(4, views=(low.view, high.view))
    optimizer, values = torch.optim.SGD(low.parameters(), 0.02), []
    for _ in range(8):
        optimizer.zero_grad()
        step = distiller(batch)
        step.loss.backward()
        optimizer.step()
        values.append(step.parts["look"].item())
    assert low.model.layer4[0].se.channel.fc2.weight.grad.abs().max() > 0
    assert low.model.layer4[0].se.spatial.conv.conv.weight.grad.abs().max() > 0
    assert values[-1] < values[0] - 0.05


def test_what_cannot_be_compared_is_named() -> None:
    with unchecked():
        with pytest.raises(ValueError, match=r"ASKD compares equal channels, got maps of \(2, 3, 1, 1\) and \(2, 5, 1, 1\)"):
            ASKD()(maps(2, 3), maps(2, 5))
        with pytest.raises(ValueError, match=r"ASKD compares the same rows, got maps of \(2, 1, 4, 4\) and \(1, 1, 4, 4\)"):
            ASKD()(maps(2, 1, 4, 4), maps(1, 1, 4, 4))
        with pytest.raises(ValueError, match="ASKD compares as many readings of the student as of the teacher, got 1 and 2"):
            ASKD()(maps(2, 3), (maps(2, 3), maps(2, 3)))
        with pytest.raises(ValueError, match=r"ASKD compares maps of two values or more, got \(2, 1, 4, 4\) and \(2, 1, 1, 1\)"):
            ASKD()(maps(2, 1, 4, 4), maps(2, 1, 1, 1))
