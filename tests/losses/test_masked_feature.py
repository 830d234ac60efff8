from __future__ import annotations

import pytest
import torch
from core_models import make_batch, unchecked
from torch import Tensor

from xkd.graph.reading import Readings
from xkd.graph.term import Term
from xkd.losses import MaskedFeature


def literal(student: Tensor, teacher: Tensor, mask: Tensor) -> float:
    """Per row: sum of m * squared distance / sum of m, at the map's grid; mean over rows whose mask is not empty."""
    down, right = mask.shape[-2] // student.shape[-2], mask.shape[-1] // student.shape[-1]
    rows = []
    for s, t, m in zip(student, teacher, mask[:, 0], strict=True):
        above = below = 0.0
        for y in range(s.shape[1]):
            for x in range(s.shape[2]):
                share = float(m[y * down : (y + 1) * down, x * right : (x + 1) * right].mean())
                above += share * float(((s[:, y, x] - t[:, y, x]) ** 2).sum())
                below += share
        if below > 0:
            rows.append(above / below)
    return sum(rows) / len(rows)


@pytest.mark.parametrize("size", [(4, 6), (16, 24), (20, 30)])
def test_the_formula_for_masks_of_any_size(size: tuple[int, int]) -> None:
    student, teacher = torch.randn(4, 3, 4, 6, dtype=torch.float64), torch.randn(4, 3, 4, 6, dtype=torch.float64)
    mask = (torch.rand(4, 1, *size) > 0.7).double()
    mask[2] = 0
    assert MaskedFeature()(student, teacher, mask).item() == pytest.approx(literal(student, teacher, mask), rel=1e-12)


def test_a_batch_of_one_is_the_authors_code() -> None:
    student, teacher = torch.randn(1, 3, 4, 6, dtype=torch.float64, requires_grad=True), torch.randn(1, 3, 4, 6, dtype=torch.float64)
    mask = torch.rand(1, 1, 4, 6, dtype=torch.float64)
    theirs = ((student - teacher) ** 2 * mask).sum() / mask.sum()
    ours = MaskedFeature()(student, teacher, mask)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-12)
    (ours_gradient,), (theirs_gradient,) = torch.autograd.grad(ours, student), torch.autograd.grad(theirs, student)
    torch.testing.assert_close(ours_gradient, theirs_gradient, rtol=1e-12, atol=1e-15)


def test_nothing_outside_the_mask_counts_or_pulls() -> None:
    student, teacher = torch.randn(2, 3, 4, 4, requires_grad=True), torch.randn(2, 3, 4, 4)
    mask = torch.zeros(2, 1, 8, 8)
    mask[0, :, :4, :4] = 1
    value = MaskedFeature()(student, teacher, mask)
    (gradient,) = torch.autograd.grad(value, student)
    assert (gradient[0, :, :2, :2] != 0).all()
    assert not gradient[0, :, 2:].any()
    assert not gradient[0, :, :, 2:].any()
    assert not gradient[1].any(), "an empty mask"


def test_no_mask_at_all_is_a_zero_with_a_gradient_of_zero() -> None:
    student = torch.randn(2, 3, 4, 4, requires_grad=True)
    value = MaskedFeature()(student, torch.randn(2, 3, 4, 4), torch.zeros(2, 1, 8, 8))
    value.backward()
    assert value.item() == 0
    assert student.grad is not None
    assert not student.grad.any()


def test_the_larger_map_is_averaged_down() -> None:
    student, teacher = torch.randn(2, 3, 8, 4, dtype=torch.float64), torch.randn(2, 3, 4, 8, dtype=torch.float64)
    mask = (torch.rand(2, 1, 16, 16) > 0.5).double()
    down = student.reshape(2, 3, 4, 2, 4).mean(3), teacher.reshape(2, 3, 4, 4, 2).mean(4)
    assert MaskedFeature()(student, teacher, mask).item() == pytest.approx(literal(*down, mask), rel=1e-12)


@pytest.mark.parametrize("shape", [(2, 1, 8), (2, 3, 8, 8), (1, 1, 8, 8)])
def test_a_mask_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with unchecked(), pytest.raises(ValueError, match=r"MaskedFeature needs one mask \(1, H, W\) for each row.*\(2, 3, 4, 4\)"):
        MaskedFeature()(torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4), torch.rand(shape))


def test_unlike_channels_want_a_projector() -> None:
    with pytest.raises(ValueError, match=r"MaskedFeature compares equal channels.*\(2, 5, 4, 4\); give the term a projector"):
        MaskedFeature()(torch.rand(2, 3, 4, 4), torch.rand(2, 5, 4, 4), torch.rand(2, 1, 4, 4))


def test_a_term_gives_it_the_mask_of_the_rows_that_have_one() -> None:
    batch = make_batch(4)
    batch.masked[1] = False
    maps = {name: {"mid": torch.randn(4, 3, 4, 4)} for name in ("rgb", "thermal")}
    value = Term(MaskedFeature(), "rgb.mid", "thermal.mid")(Readings(maps, batch, {"rgb": "rgb", "thermal": "thermal"}), batch)
    kept = [0, 2, 3]
    assert value.item() == pytest.approx(MaskedFeature()(maps["rgb"]["mid"][kept], maps["thermal"]["mid"][kept], batch.mask[kept]).item())
