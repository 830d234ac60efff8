from __future__ import annotations

import pytest
import torch
from agreement import assert_agree
from core_models import unchecked
from torch import Tensor
from trained import distiller_with, value_of_a_step

from xkd.graph.term import Term
from xkd.losses import POD, PODFlat
from xkd.projectors import Conv1x1


def maps(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def literal(student: Tensor, teacher: Tensor) -> Tensor:
    """One row, one channel, one line at a time; equal shapes."""

    def profile(of: Tensor, row: int) -> Tensor:
        _, channels, height, width = of.shape
        lines = [(of[row, c, i] ** 2).sum() for c in range(channels) for i in range(height)]
        lines += [(of[row, c, :, j] ** 2).sum() for c in range(channels) for j in range(width)]
        vector = torch.stack(lines)
        return vector / (vector**2).sum().sqrt()

    distances = [((profile(student, row) - profile(teacher, row)) ** 2).sum().sqrt() for row in range(len(student))]
    return torch.stack(distances).mean()


def test_two_by_two_by_hand() -> None:
    """Squares [[1, 4], [0, 4]]: rows (5, 4), columns (1, 8), length sqrt(106); the teacher's [[1, 0], [0, 0]]: (1, 0, 1, 0) / sqrt(2)."""
    student, teacher = torch.tensor([[[[1.0, -2.0], [0.0, 2.0]]]]).double(), torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]]).double()
    cosine = (5 + 1) / (106 * 2) ** 0.5
    assert POD()(student, teacher).item() == pytest.approx((2 - 2 * cosine) ** 0.5, rel=1e-12)


def test_the_formula() -> None:
    student, teacher = maps(3, 2, 4, 5), maps(3, 2, 4, 5)
    assert_agree(POD()(student, teacher), literal(student, teacher), student)


def test_several_pairs_are_averaged() -> None:
    student, teacher = (maps(3, 2, 4, 5), maps(3, 6, 2, 2)), (maps(3, 2, 4, 5), maps(3, 6, 2, 2))
    expected = (literal(student[0], teacher[0]) + literal(student[1], teacher[1])) / 2
    assert_agree(POD()(student, teacher), expected, *student)


def test_the_larger_grid_is_averaged_down_before_it_is_squared() -> None:
    student, teacher = maps(2, 3, 4, 2), maps(2, 3, 2, 4)
    down = student.reshape(2, 3, 2, 2, 2).mean(3), teacher.reshape(2, 3, 2, 2, 2).mean(4)
    assert_agree(POD()(student, teacher), literal(*down), student)


def test_where_a_channel_is_active_matters_and_not_within_its_line_and_column_alone() -> None:
    """The same energy, moved along the diagonal: both profiles change. Exchanged among channels it is another one too."""
    one, other, channel = (torch.zeros(1, 2, 2, 2) for _ in range(3))
    one[0, 0, 0, 0] = other[0, 0, 1, 1] = channel[0, 1, 0, 0] = 1.0
    assert POD()(one, other).item() == pytest.approx(2**0.5)
    assert POD()(one, channel).item() == pytest.approx(2**0.5)


def test_equal_and_empty_maps_have_finite_gradients() -> None:
    for student in (torch.zeros(2, 2, 3, 3), torch.ones(2, 2, 3, 3)):
        student.requires_grad_()
        POD()(student, torch.ones(2, 2, 3, 3)).backward()
        assert torch.isfinite(student.grad).all()


@pytest.mark.parametrize(
    "term",
    [
        Term(POD(), ("rgb.mid", "rgb.mid"), ("thermal.mid", "thermal.mid")),
        Term(POD(), "rgb.deep", "thermal.deep", Conv1x1()),
    ],
    ids=["maps of equal channels", "through a projector"],
)
def test_a_step_of_a_distiller(term: Term) -> None:
    assert 0 < value_of_a_step(distiller_with(term)) < 2**0.5


def test_what_cannot_be_compared_is_named() -> None:
    with unchecked():
        with pytest.raises(ValueError, match=r"POD compares equal channels, got maps of \(2, 3, 4, 4\) and \(2, 5, 4, 4\)"):
            POD()(maps(2, 3, 4, 4), maps(2, 5, 4, 4))
        with pytest.raises(ValueError, match="POD compares as many readings of the student as of the teacher, got 2 and 1"):
            POD()((maps(2, 3, 4, 4), maps(2, 3, 4, 4)), maps(2, 3, 4, 4))
        with pytest.raises(ValueError, match=r"POD compares maps \(B, C, H, W\), got maps of \(2, 3\)"):
            POD()(maps(2, 3), maps(2, 3))
        with pytest.raises(ValueError, match="POD compares 2 positions or more"):
            POD()(maps(2, 3, 1, 1), maps(2, 3, 4, 4))


def test_the_flat_part_is_one_minus_the_cosine_of_pooled_features() -> None:
    student, teacher = maps(3, 4, 2, 2), maps(3, 4, 5, 5)
    cosine = torch.cosine_similarity(student.mean((2, 3)), teacher.mean((2, 3)))
    assert_agree(PODFlat()(student, teacher), (1 - cosine).mean(), student)
    assert PODFlat()(student.mean((2, 3)), 3 * student.mean((2, 3))).item() == pytest.approx(0, abs=1e-12)
    with pytest.raises(ValueError, match=r"PODFlat compares as many features of the same rows, got \(3, 4\) and \(3, 5\)"):
        PODFlat()(torch.ones(3, 4), torch.ones(3, 5))
