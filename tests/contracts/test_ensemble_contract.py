"""Every way to combine readings that xkd exports keeps the contract. A new one is collected by itself; it may declare, as class attributes,

- `contract_arguments`: what its constructor must be given; its classes here are a, b and c, its sources three;
- `contract_exempt`: names of the tests below that its definition cannot keep.
"""

from __future__ import annotations

import inspect
import re
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import xkd.ensembles
from xkd.ensembles.bound import Bound

WAYS = [getattr(xkd.ensembles, name) for name in xkd.ensembles.__all__]
CLASSES = ("a", "b", "c")
THERE = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 0, 1, 0], [1, 0, 0, 0, 1]], dtype=torch.bool)  # rows 2 to 4 have one source each
TARGET = torch.tensor([0, 1, 2, 1, -1])


def collected(test: str) -> pytest.MarkDecorator:
    kept = [way for way in WAYS if test not in getattr(way, "contract_exempt", ())]
    return pytest.mark.parametrize("way", kept, ids=lambda way: way.__name__)


def built(way: type[nn.Module], dtype: torch.dtype = torch.float64) -> nn.Module:
    torch.manual_seed(0)
    made = way(**getattr(way, "contract_arguments", {}))
    if isinstance(made, Bound):
        made.bind((len(CLASSES),), len(THERE), (5, 2, 2) if "reading" in inspect.signature(made.forward).parameters else (), CLASSES)
    return made.to(dtype).eval()


def sources(dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(5, 3, generator=generator, dtype=dtype) for _ in THERE)


def combined(made: nn.Module, readings: tuple[Tensor, ...], there: Tensor = THERE, rows: Any = slice(None)) -> Tensor:
    reading = torch.randn((5, 5, 2, 2), generator=torch.Generator().manual_seed(1), dtype=readings[0].dtype)
    fields = {"target": TARGET, "reading": reading}
    extras = [fields[name][rows] for name in list(inspect.signature(made.forward).parameters)[2:]]
    output: Tensor = made(tuple(one[rows] for one in readings), there[:, rows], *extras)
    return output


def test_the_folder_exports_every_way_it_holds() -> None:
    held = {
        name
        for module_name, module in sys.modules.items()
        if module_name.startswith("xkd.ensembles.")
        for name, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, nn.Module) and value.__module__ == module_name
    }
    assert held == {way.__name__ for way in WAYS}


@collected("shape")
def test_it_gives_one_finite_reading_of_the_sources_shape_in_their_precision(way: type[nn.Module]) -> None:
    for dtype in (torch.float64, torch.float32):
        output = combined(built(way, dtype), sources(dtype))
        assert output.shape == (5, 3)
        assert output.dtype == dtype
        assert output.isfinite().all()


@collected("rows")
def test_each_row_stands_for_itself(way: type[nn.Module]) -> None:
    made, readings, order = built(way), sources(), torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(combined(made, readings, rows=order), combined(made, readings)[order], rtol=1e-10, atol=1e-12)


@collected("absent")
def test_what_is_absent_has_no_weight_and_no_gradient(way: type[nn.Module]) -> None:
    made = built(way)
    readings = tuple(one.requires_grad_() for one in sources())
    others = tuple(torch.where(here[:, None], one, 7.0) for one, here in zip(readings, THERE, strict=True))
    torch.testing.assert_close(combined(made, others), combined(made, readings), rtol=1e-10, atol=1e-12)
    gradients = torch.autograd.grad(combined(made, readings).sin().sum(), readings)
    for gradient, here in zip(gradients, THERE, strict=True):
        assert not gradient[~here].any()
        assert gradient[here].any(), "and gradients go on to the sources that are there"


@collected("gradcheck")
def test_its_gradient_is_that_of_its_value(way: type[nn.Module]) -> None:
    made, leaves = built(way), [one.requires_grad_() for one in sources()]
    assert torch.autograd.gradcheck(lambda *readings: combined(made, readings), leaves)


@collected("alone")
def test_a_source_that_is_alone_in_a_row_is_the_answer(way: type[nn.Module]) -> None:
    readings = sources()
    output = combined(built(way), readings).softmax(1)
    for row, source in ((2, 0), (3, 1), (4, 2)):
        torch.testing.assert_close(output[row], readings[source][row].softmax(0))


@collected("alike")
def test_sources_that_agree_are_left_as_they_are(way: type[nn.Module]) -> None:
    one = sources()[0]
    output = combined(built(way), (one, one, one), torch.ones_like(THERE))
    torch.testing.assert_close(output.softmax(1), one.softmax(1))


@collected("citation")
def test_its_file_says_where_it_comes_from(way: type[nn.Module]) -> None:
    module = sys.modules[way.__module__]
    assert re.search(r"arXiv:\d{4}\.\d{4,5}|(CVPR|ICCV|ECCV|ICLR|ICML|NeurIPS|AAAI|WACV|BMVC) \d{4}", module.__doc__ or "")
