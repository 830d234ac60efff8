from __future__ import annotations

from typing import Any

import pytest
import torch
from agreement import assert_agree
from core_models import make_batch, unchecked
from torch import Tensor
from torchdistill.losses.mid_level import FSPLoss

from xkd.graph.reading import Readings
from xkd.graph.term import Term
from xkd.losses import FSP


def maps(rows: int, *shape: int) -> Tensor:
    return torch.randn(rows, *shape, dtype=torch.float64, requires_grad=True)


def literal(student: tuple[Tensor, Tensor], teacher: tuple[Tensor, Tensor]) -> Tensor:
    """mean over rows, c, d of (G_s - G_t)^2, G[c, d] = the mean over positions of shallow[c] deep[d]; equal grids."""

    def gram(pair: tuple[Tensor, Tensor], row: int, c: int, d: int) -> Tensor:
        return (pair[0][row, c] * pair[1][row, d]).sum() / pair[0][row, c].numel()

    entries = [(row, c, d) for row in range(len(student[0])) for c in range(student[0].shape[1]) for d in range(student[1].shape[1])]
    return torch.stack([(gram(student, *entry) - gram(teacher, *entry)) ** 2 for entry in entries]).mean()


def test_the_formula() -> None:
    student, teacher = (maps(2, 3, 4, 5), maps(2, 6, 4, 5)), (maps(2, 3, 7, 2), maps(2, 6, 7, 2))
    assert_agree(FSP()(student, teacher), literal(student, teacher), *student)


def test_the_larger_grid_of_a_pair_is_averaged_down() -> None:
    student, teacher = (maps(2, 3, 8, 4), maps(2, 6, 4, 2)), (maps(2, 3, 6, 6), maps(2, 6, 3, 6))
    pooled = (
        (student[0].reshape(2, 3, 4, 2, 2, 2).mean((3, 5)), student[1]),
        (teacher[0].reshape(2, 3, 3, 2, 6).mean(3), teacher[1]),
    )
    assert_agree(FSP()(student, teacher), literal(*pooled), *student)


def test_the_gram_matrices_equal_torchdistills() -> None:
    """Where grids are equal. Its loss is another one: norms in place of squares, and it max-pools the larger grid."""
    student, teacher = (maps(4, 5, 6, 6), maps(4, 7, 6, 6)), (maps(4, 5, 3, 9), maps(4, 7, 3, 9))
    theirs = (FSPLoss.compute_fsp_matrix(*student) - FSPLoss.compute_fsp_matrix(*teacher)).pow(2).mean()
    assert_agree(FSP()(student, teacher), theirs, *student)


def test_a_term_with_two_readings_on_each_side_serves_it() -> None:
    batch = make_batch(4)
    batch.present["thermal"][2] = False
    captures = {branch: {"shallow": maps(4, 3, 8, 8).float(), "deep": maps(4, 6, 4, 4).float()} for branch in ("rgb", "thermal")}
    readings = Readings(captures, batch, {"rgb": "rgb", "thermal": "thermal"})
    value = Term(FSP(), ("rgb.shallow", "rgb.deep"), ("thermal.shallow", "thermal.deep"))(readings, batch)
    kept = [0, 1, 3]
    student, teacher = ((captures[branch]["shallow"][kept], captures[branch]["deep"][kept]) for branch in ("rgb", "thermal"))
    assert value.item() == pytest.approx(FSP()(student, teacher).item(), rel=1e-6)


@pytest.mark.parametrize(
    ("student", "teacher", "message"),
    [
        (maps(2, 3, 4, 4), maps(2, 3, 4, 4), "FSP compares pairs of maps, shallow and deep: give the term two readings on each side"),
        ((maps(2, 3, 4, 4),), (maps(2, 3, 4, 4),), "two readings on each side"),
        (
            (maps(2, 3, 4, 4), maps(2, 6, 4, 4)),
            (maps(2, 3, 4, 4), maps(2, 1, 4, 4)),
            r"FSP compares pairs of maps with equal channels, got \(shallow, deep\) \(3, 6\) and \(3, 1\)",
        ),
        (
            (maps(2, 3, 4, 4), maps(2, 6, 4, 4)),
            (maps(1, 3, 4, 4), maps(1, 6, 4, 4)),
            r"FSP compares equal numbers of rows, got \(2, 3, 6\) and \(1, 3, 6\)",
        ),
        ((maps(2, 3), maps(2, 6)), (maps(2, 3), maps(2, 6)), r"FSP compares maps \(B, C, H, W\), got \[\(2, 3\), \(2, 6\)\]"),
    ],
    ids=["tensors", "single", "channels", "rows", "vectors"],
)
def test_what_is_no_pair_or_has_other_channels(student: Any, teacher: Any, message: str) -> None:
    with unchecked(), pytest.raises(ValueError, match=message):
        FSP()(student, teacher)


def test_pairs_of_unlike_rows_are_named() -> None:
    one, three = (torch.rand(rows, 4, 6, 6) for rows in (1, 3))
    with pytest.raises(ValueError, match=r"FSP compares equal numbers of rows, got \(1, 4, 6, 6\) and \(3, 4, 6, 6\)"):
        FSP()((one, three), (three, three))
