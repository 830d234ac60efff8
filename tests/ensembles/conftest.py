"""Logits of three networks for eight rows, in which the networks are there in turn."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor


@pytest.fixture
def logits() -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(8, 4, generator=generator, dtype=torch.float64) * 2 for _ in range(3))


@pytest.fixture
def there() -> Tensor:
    """Rows 0 and 1 have all three, then each pair, then each alone."""
    return torch.tensor([[1, 1, 1, 1, 0, 1, 0, 0], [1, 1, 1, 0, 1, 0, 1, 0], [1, 1, 0, 1, 1, 0, 0, 1]], dtype=torch.bool)


@pytest.fixture
def target() -> Tensor:
    return torch.tensor([0, 1, 2, 3, 0, 1, 2, -1])
