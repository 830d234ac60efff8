from __future__ import annotations

import pytest
import torch
from agreement import assert_agree
from core_models import unchecked
from torch import Tensor
from trained import distiller_with, value_of_a_step

from xkd.graph.term import Term
from xkd.losses import IRG

Side = tuple[Tensor, ...]


def reading(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def side(rows: int = 4, channels: int = 3) -> Side:
    """A map, one with twice the channels on a quarter of the grid, and a vector of as many channels as the first."""
    return reading(rows, channels, 4, 4), reading(rows, 2 * channels, 2, 2), reading(rows, channels)


def unit(vector: Tensor) -> Tensor:
    return vector / (vector**2).sum().sqrt()


def edges(of: Tensor) -> Tensor:
    distances = torch.stack([torch.stack([((one - other) ** 2).sum() for other in of]) for one in of])
    return distances / distances.max()


def changes(of: Side) -> list[Tensor]:
    """The map is pooled by 2 x 2 and meets pairs of the second's channels; those are averaged over positions for the vector."""
    first = of[0].reshape(len(of[0]), -1, 2, 2, 2, 2).mean((3, 5))
    second = (of[1][:, 0::2] + of[1][:, 1::2]) / 2
    neighbours = [(first, second), (second.mean((2, 3)), of[2])]
    moved = [torch.stack([((unit(a) - unit(b)) ** 2).sum() for a, b in zip(*pair, strict=True)]) for pair in neighbours]
    return [each / each.max() for each in moved]


def literal(student: Side, teacher: Side) -> Tensor:
    rows = zip(student[-1], teacher[-1], strict=True)
    vertex = torch.stack([((unit(one) - unit(other)) ** 2).mean() for one, other in rows]).mean()
    edge = torch.stack([((edges(s) - edges(t)) ** 2).mean() for s, t in zip(student, teacher, strict=True)]).mean()
    flow = torch.stack([((s - t) ** 2).mean() for s, t in zip(changes(student), changes(teacher), strict=True)]).mean()
    return 0.1 * vertex + 5 * edge + 5 * flow


def test_the_formula() -> None:
    student, teacher = side(), side()
    assert_agree(IRG()(student, teacher), literal(student, teacher), *student)


@pytest.mark.parametrize("part", ["vertex", "edge", "flow"])
def test_each_weight_is_of_its_part(part: str) -> None:
    student, teacher = side(), side()
    alone = {"vertex": 0.0, "edge": 0.0, "flow": 0.0, part: {"vertex": 0.1, "edge": 5.0, "flow": 5.0}[part]}
    others = [IRG(**{**alone, part: 0.0, other: 1.0})(student, teacher) for other in alone if other != part]
    whole, weights = IRG()(student, teacher), [{"vertex": 0.1}.get(other, 5.0) for other in alone if other != part]
    rest = sum(weight * value for weight, value in zip(weights, others, strict=True))
    assert (IRG(**alone)(student, teacher) + rest).item() == pytest.approx(whole.item(), rel=1e-12)


def test_edges_of_three_rows_by_hand() -> None:
    """Rows 0, 1 and 3: squared distances 1, 9, 4, over 9; the teacher's 0, 1, 1: 1, 1, 0."""
    student = torch.tensor([[0.0], [1.0], [3.0]]).double()
    teacher = torch.tensor([[0.0], [1.0], [1.0]]).double()
    expected = 2 * ((1 / 9 - 1) ** 2 + 0 + (4 / 9) ** 2) / 9
    assert IRG(0.0, 1.0, 0.0)((student, student), (teacher, teacher)).item() == pytest.approx(expected, rel=1e-12)


def test_scale_of_a_layer_is_no_edge_and_no_flow() -> None:
    student, teacher = side(), side()
    scaled = (3 * student[0], 0.1 * student[1], 7 * student[2])
    assert IRG()(scaled, teacher).item() == pytest.approx(IRG()(student, teacher).item(), rel=1e-10)


def test_networks_of_other_grids_and_widths() -> None:
    student = (reading(4, 7, 5, 3), reading(4, 12, 3, 2), reading(4, 10))
    teacher = (reading(4, 20, 9, 9), reading(4, 16), reading(4, 6))
    loss = IRG()
    loss.bind(tuple(tuple(each.shape[1:]) for each in student), tuple(tuple(each.shape[1:]) for each in teacher))
    loss.double()(student, teacher).backward()
    assert all(each.grad.abs().max() > 0 for each in student)
    assert loss.projector[0].weight.shape == (6, 10)
    assert loss.projector[0].weight.grad.abs().max() > 0


def test_a_single_row_and_equal_rows_have_a_vertex_alone() -> None:
    for student, teacher in (
        (side(1), side(1)),
        (tuple(torch.ones(3, *each.shape[1:]).double().requires_grad_() for each in side()), side(3)),
    ):
        value = IRG()(student, teacher)
        gradients = torch.autograd.grad(value, student, allow_unused=True, materialize_grads=True)
        assert all(torch.isfinite(gradient).all() for gradient in gradients)
    student, teacher = side(1), side(1)
    assert IRG()(student, teacher).item() == pytest.approx(IRG(0.1, 0.0, 0.0)(student, teacher).item())


@pytest.mark.parametrize("last", ["deep", "output"])
def test_a_step_of_a_distiller(last: str) -> None:
    """The deep maps of unlike channels are pooled by nobody, so that they cannot be the last; logits need no projector."""
    names = ("mid", "deep", last)
    term = Term(IRG(), tuple(f"rgb.{name}" for name in names), tuple(f"thermal.{name}" for name in names))
    if last == "deep":
        with pytest.raises(ValueError, match=r"term 'it' cannot compare .*IRG reads maps .* a vector as the last, got \[\(10, 8, 8\),"):
            distiller_with(term)
    else:
        assert value_of_a_step(distiller_with(term)) > 0


def test_what_cannot_be_compared_is_named() -> None:
    with unchecked():
        with pytest.raises(ValueError, match=r"IRG reads maps .*at least two on each side.* got \[\(3,\)\]"):
            IRG()(reading(2, 3), reading(2, 3))
        with pytest.raises(ValueError, match="IRG compares as many readings of the student as of the teacher, got 3 and 2"):
            IRG()(side(), side()[1:])
        with pytest.raises(ValueError, match=r"IRG compares equal numbers of rows, got \(4, 3, 4, 4\) and \(2, 3, 4, 4\)"):
            IRG()(side(), side(2))
        with pytest.raises(ValueError, match=r"IRG has no projector for last readings \(4, 3\) and \(4, 5\): call bind"):
            IRG()(side(), side(channels=5))
    for wrong in ((-1.0, 1.0, 1.0), (0.0, 0.0, 0.0)):
        with pytest.raises(ValueError, match="vertex, edge and flow are weights of 0 or more, not all 0, got"):
            IRG(*wrong)
