"""Every projector that xkd exports keeps the contract."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import xkd.projectors
from xkd.projectors import Projector

PROJECTORS = [getattr(xkd.projectors, name) for name in xkd.projectors.__all__ if name != "Projector"]
CASES = [((3, 4, 6), (5, 4, 6)), ((3, 4, 6), (5, 8, 2)), ((6, 1, 1), (2, 3, 3)), ((3, 4, 6), (5,)), ((7,), (2,))]


def served(projector: type[nn.Module]) -> list[tuple[nn.Module, tuple[int, ...], tuple[int, ...]]]:
    found = []
    for source, target in CASES:
        built = projector()
        try:
            built.bind(source, target)
        except ValueError:
            continue
        found.append((built, source, target))
    return found


@pytest.mark.parametrize("projector", PROJECTORS, ids=lambda projector: projector.__name__)
def test_it_gives_the_target_shape_and_a_gradient_to_every_parameter_and_to_the_student(projector: type[nn.Module]) -> None:
    torch.manual_seed(0)
    cases = served(projector)
    assert cases, "it serves none of the usual shapes"
    for built, source, target in cases:
        assert isinstance(built, Projector)
        reading = torch.rand(4, *source, requires_grad=True)
        projected = built(reading)
        assert projected.shape == (4, *target)
        projected.pow(2).sum().backward()
        assert reading.grad.abs().max() > 0
        assert all(parameter.grad is not None for parameter in built.parameters())
