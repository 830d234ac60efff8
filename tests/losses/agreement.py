"""Whether two ways to compute a loss agree, in float64: value and gradient, 1e-9 relative."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor


def assert_agree(ours: Tensor, theirs: Tensor, *students: Tensor) -> None:
    assert ours.dtype == theirs.dtype == torch.float64
    assert abs(theirs.item()) > 1e-9, "nothing is compared"
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-9)
    given, wanted = (torch.autograd.grad(loss, students, retain_graph=True) for loss in (ours, theirs))
    for one, other in zip(given, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9 * float(other.abs().max()))
