"""Every projector that xkd exports keeps the contract."""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Callable

import pytest
import torch
from torch import nn

import xkd.projectors
from xkd.projectors import Projector

HEADS = ("AttentionMask",)  # a mask is of no teacher's shape and has no gradient
PROJECTORS = [getattr(xkd.projectors, name) for name in xkd.projectors.__all__ if name not in ("Projector", *HEADS)]
SHAPES = [(3, 4, 6), (5, 4, 6), (5, 8, 2), (6, 1, 1), (2, 3, 3), (2, 7, 1), (5,), (7,), (2,)]
CASES = list(itertools.product(SHAPES, SHAPES))  # non-square and 1x1 grids, more and fewer channels, vectors, equal shapes


def served(projector: type[nn.Module]) -> list[tuple[nn.Module, tuple[int, ...], tuple[int, ...]]]:
    cases = []
    for source, target in CASES:
        built = projector()
        try:
            built.bind(source, target)
        except ValueError:
            continue
        cases.append((built, source, target))
    return cases


def each(test: Callable[[type[nn.Module]], None]) -> Callable[[type[nn.Module]], None]:
    return pytest.mark.parametrize("projector", PROJECTORS, ids=lambda projector: projector.__name__)(test)


@each
def test_it_gives_the_target_shape_and_a_gradient_to_every_parameter_and_to_the_student(projector: type[nn.Module]) -> None:
    torch.manual_seed(0)
    cases = served(projector)
    assert cases, "it serves none of these shapes"
    for built, source, target in cases:
        assert isinstance(built, Projector)
        reading = torch.rand(4, *source, requires_grad=True)
        projected = built(reading)
        assert projected.shape == (4, *target)
        projected.pow(2).sum().backward()
        assert reading.grad.abs().max() > 0
        assert all(parameter.grad is not None for parameter in built.parameters())


@each
def test_a_map_is_served_on_any_grid_or_not_at_all(projector: type[nn.Module]) -> None:
    grids: dict[tuple[int, ...], set[tuple[int, ...]]] = {}
    for _, source, target in served(projector):
        grids.setdefault((len(source), len(target)), set()).add(source[1:])
    assert all(sizes == {shape[1:] for shape in SHAPES if len(shape) == rank} for (rank, _), sizes in grids.items() if rank == 3)


@each
def test_shapes_that_it_refuses_are_both_named(projector: type[nn.Module]) -> None:
    for source, target in [*CASES, ((3, 4), (3, 4)), ((3, 4), (2,)), ((2,), (3, 4))]:
        message = refusal(projector, source, target)
        if message:
            assert message.startswith(f"{projector.__name__} ")
            assert f"{source} -> {target}" in message
        else:
            assert len(source) in (1, 3) or projector is xkd.projectors.Identity


def refusal(projector: type[nn.Module], source: tuple[int, ...], target: tuple[int, ...]) -> str:
    """What it says of shapes that it does not serve; nothing of those that it does."""
    try:
        projector().bind(source, target)
    except ValueError as error:
        return str(error)
    return ""


@each
def test_its_state_is_all_that_a_checkpoint_needs(projector: type[nn.Module]) -> None:
    assert not projector().state_dict(), "nothing exists before the shapes are known"
    for built, source, target in served(projector):
        again = projector()
        again.bind(source, target)
        again.load_state_dict(built.state_dict())
        reading = torch.rand(4, *source)
        assert torch.equal(again.eval()(reading), built.eval()(reading))


@each
def test_doubles_stay_doubles(projector: type[nn.Module]) -> None:
    for built, source, _ in served(projector):
        assert built.double()(torch.rand(4, *source, dtype=torch.float64)).dtype == torch.float64


@each
def test_its_file_says_where_it_comes_from(projector: type[nn.Module]) -> None:
    if projector.__name__ in ("Identity", "Resize", "MLP", "PooledLinear"):
        return  # of no one paper
    assert re.search(r"arXiv:\d{4}\.\d{4,5}", sys.modules[projector.__module__].__doc__ or "")
