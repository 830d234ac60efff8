from __future__ import annotations

import pytest
import torch
from core_models import unchecked

from xkd.losses import FitNet


def test_the_formula() -> None:
    student, teacher = torch.randn(3, 4, 2, 5, dtype=torch.float64), torch.randn(3, 4, 2, 5, dtype=torch.float64)
    squares = [(a - b) ** 2 for a, b in zip(student.flatten().tolist(), teacher.flatten().tolist(), strict=True)]
    assert FitNet()(student, teacher).item() == pytest.approx(sum(squares) / len(squares), rel=1e-12)


@pytest.mark.parametrize("shape", [(3, 1, 2, 5), (3, 4, 1, 1), (3, 4, 2, 4), (3, 4)])
def test_unlike_shapes_are_refused_even_where_torch_would_broadcast(shape: tuple[int, ...]) -> None:
    with unchecked(), pytest.raises(ValueError, match=r"equal shapes.*\(3, 4, 2, 5\)"):
        FitNet()(torch.rand(3, 4, 2, 5), torch.rand(shape))
