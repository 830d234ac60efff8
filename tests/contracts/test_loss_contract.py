"""Every loss that xkd exports keeps the contract. A new loss is collected by itself; it may declare, as class attributes,

- `contract_inputs`: a function (generator) -> the tensors of its parameters, where the shapes below do not suit it;
- `contract_shapes`: where a side has several readings, the shape of each without its rows;
- `contract_teacher_shapes`: those of the teacher's side, where they are others than the student's;
- `contract_arguments`: what its constructor must be given;
- `contract_exempt`: names of the tests below that its definition cannot keep (random masks, a memory).
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from core_models import RGB_VIEW, THERMAL_VIEW, make_batch
from torch import Tensor, nn

import xkd.losses
from xkd.graph.reading import Readings
from xkd.graph.term import Term
from xkd.losses.learned import LearnedLoss

LOSSES = [getattr(xkd.losses, name) for name in xkd.losses.__all__]
SHAPES = {  # by annotation
    "b c h w": (3, 4, 4),
    "b d i j": (5, 2, 4),  # the second of a pair
    "b *shape": (3, 4, 4),
    "b k": (3,),
    "b k *grid": (3,),
    "b d": (3,),
    "b *features": (3,),
}
ROWS = 4

Input = Tensor | tuple[Tensor, ...]  # a term with several readings passes a tuple


def each(change: Callable[[Tensor], Tensor], value: Input) -> Input:
    return tuple(map(change, value)) if isinstance(value, tuple) else change(value)


def parts(value: Input) -> tuple[Tensor, ...]:
    return value if isinstance(value, tuple) else (value,)


def shapes_of(value: Input) -> tuple[Any, ...]:
    """As a term tells a loss: of one reading its shape without rows, of several a tuple of shapes."""
    return tuple(shapes_of(part) for part in value) if isinstance(value, tuple) else tuple(value.shape[1:])


def one_or_all(several: list[Tensor]) -> Input:
    return several[0] if len(several) == 1 else tuple(several)


def inputs(loss: type[nn.Module]) -> list[Input]:
    """Student, teacher (or target, mask) and extras in float64, as the parameters' names ask."""
    generator = torch.Generator().manual_seed(0)
    if hasattr(loss, "contract_inputs"):
        return list(loss.contract_inputs(generator))
    named = re.findall(r"""["'](b [^"']*)["']""", str(inspect.signature(loss.forward).parameters["student"].annotation))
    assert named, "the student's side is annotated with its dimensions"
    of_student = getattr(loss, "contract_shapes", None) or [SHAPES[dimensions] for dimensions in named]
    fields = {
        "target": torch.arange(ROWS) % 3,
        "mask": (torch.rand((ROWS, 1, 8, 8), generator=generator) > 0.5).double(),
        "index": torch.arange(ROWS),
    }
    if loss is xkd.losses.BinaryCrossEntropy:
        fields["target"] = (torch.rand((ROWS, 3), generator=generator) > 0.5).double()
    names = list(inspect.signature(loss.forward).parameters)[1:]

    def noise(name: str) -> Input:
        shapes = getattr(loss, "contract_teacher_shapes", of_student) if name == "teacher" else of_student
        return one_or_all([torch.randn((ROWS, *shape), generator=generator, dtype=torch.float64) for shape in shapes])

    return [fields[name] if name in fields else noise(name) for name in names]


def built(loss: type[nn.Module], tensors: list[Input]) -> nn.Module:
    """With the same weights, memory and draws each time, in the precision of the student's side."""
    torch.manual_seed(0)
    made = loss(**getattr(loss, "contract_arguments", {}))
    if isinstance(made, LearnedLoss):
        made.bind(*[shapes_of(value) for value in tensors[:2]])
    return made.to(parts(tensors[0])[0].dtype)


def value_of(loss: type[nn.Module], *tensors: Input) -> Tensor:
    value: Tensor = built(loss, list(tensors))(*tensors)
    return value


def in_single(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def collected(test: str) -> pytest.MarkDecorator:
    kept = [loss for loss in LOSSES if test not in getattr(loss, "contract_exempt", ())]
    return pytest.mark.parametrize("loss", kept, ids=lambda loss: loss.__name__)


def test_the_folder_exports_every_loss_it_holds() -> None:
    held = {
        name
        for module_name, module in sys.modules.items()
        if module_name.startswith("xkd.losses.")
        for name, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, nn.Module) and value.__module__ == module_name and not name.startswith("_")
    }
    assert held == {loss.__name__ for loss in LOSSES}
    assert all(issubclass(loss, nn.Module) for loss in LOSSES)


@collected("scalar")
def test_it_is_a_finite_scalar_in_the_precision_it_is_given(loss: type[nn.Module]) -> None:
    tensors = inputs(loss)
    value = value_of(loss, *tensors)
    assert value.shape == ()
    assert torch.isfinite(value)
    assert value.dtype == torch.float64
    single = [each(in_single, tensor) for tensor in tensors]
    assert value_of(loss, *single).dtype == torch.float32
    assert value_of(loss, *single).item() == pytest.approx(value.item(), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16], ids=str)
@collected("scalar")
def test_half_precision_is_computed_in_float32(loss: type[nn.Module], half: torch.dtype) -> None:
    given = [each(lambda t: t.to(half) if t.is_floating_point() else t, tensor) for tensor in inputs(loss)]
    wide = [each(in_single, tensor) for tensor in given]
    made = built(loss, wide)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value: Tensor = made(*given)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(value_of(loss, *wide).item(), rel=1e-6)


# along one random direction, where a wrong entry is one of many and must not be lost among them; or entry by entry
DIRECTION, ENTRIES = {"fast_mode": True, "atol": 1e-8, "rtol": 1e-5}, {}


@pytest.mark.parametrize("along", [DIRECTION, pytest.param(ENTRIES, marks=pytest.mark.slow)], ids=["direction", "entries"])
@collected("gradcheck")
def test_its_gradient_is_that_of_its_value(loss: type[nn.Module], along: dict[str, Any]) -> None:
    student, *others = inputs(loss)
    leaves = [reading.requires_grad_() for reading in parts(student)]
    assert torch.autograd.gradcheck(lambda *s: value_of(loss, one_or_all(list(s)), *others), leaves, **along)


@collected("permutation")
def test_the_order_of_rows_does_not_matter(loss: type[nn.Module]) -> None:
    tensors, order = inputs(loss), torch.tensor([2, 0, 3, 1])
    permuted = [each(lambda t: t[order], tensor) for tensor in tensors]
    assert value_of(loss, *permuted).item() == pytest.approx(value_of(loss, *tensors).item(), rel=1e-12)


@collected("mean")
def test_it_is_a_mean_over_rows_so_that_repeating_them_changes_nothing(loss: type[nn.Module]) -> None:
    tensors = inputs(loss)
    twice = [each(lambda t: torch.cat([t, t]), tensor) for tensor in tensors]
    assert value_of(loss, *twice).item() == pytest.approx(value_of(loss, *tensors).item(), rel=1e-12)


@collected("one_row")
def test_a_single_row_gives_a_finite_value_and_gradient(loss: type[nn.Module]) -> None:
    """What is left of a batch may be one row: a run must not end there. A loss on relations among rows is 0 then."""
    student, *others = [each(lambda t: t[:1], tensor) for tensor in inputs(loss)]
    leaves = [reading.requires_grad_() for reading in parts(student)]
    value = value_of(loss, student, *others)
    assert torch.isfinite(value)
    assert all(torch.isfinite(gradient).all() for gradient in torch.autograd.grad(value, leaves))
    if re.search("for a single row", loss.__doc__ or ""):
        assert value.item() == pytest.approx(0, abs=1e-12)


@collected("zero")
def test_it_is_zero_where_its_docstring_says_so(loss: type[nn.Module]) -> None:
    claim = re.search(r"[Zz]ero if (equal|proportional)", loss.__doc__ or "")
    student, *others = inputs(loss)
    if claim is None:
        assert value_of(loss, student, *others).item() > 0
        return
    scale = 3.0 if claim.group(1) == "proportional" else 1.0
    assert value_of(loss, student, each(lambda t: scale * t, student), *others[1:]).item() == pytest.approx(0, abs=1e-12)
    assert value_of(loss, student, *others).item() > 1e-6, "unlike readings must not be zero"


@collected("student_only")
def test_in_a_term_the_gradient_reaches_the_student_alone(loss: type[nn.Module]) -> None:
    names = list(inspect.signature(loss.forward).parameters)[1:]
    tensors = [each(in_single, tensor) for tensor in inputs(loss)]
    fields = dict(zip(names, tensors, strict=True))
    batch = make_batch(ROWS, **{name: fields[name] for name in ("target", "mask") if name in fields})
    student = {f"tap{place}": reading.requires_grad_() for place, reading in enumerate(parts(tensors[0]))}
    teacher = {f"tap{place}": torch.randn(reading.shape, requires_grad=True) for place, reading in enumerate(parts(tensors[1]))}
    readings = Readings({"rgb": student, "thermal": teacher}, batch, {"rgb": RGB_VIEW.name, "thermal": THERMAL_VIEW.name})
    source = f"batch.{names[1]}" if names[1] in ("target", "mask") else tuple(f"thermal.{tap}" for tap in teacher)
    Term(built(loss, tensors), tuple(f"rgb.{tap}" for tap in student), source)(readings, batch).backward()
    for reading in student.values():
        assert reading.grad is not None
        assert reading.grad.abs().max() > 0
    assert all(reading.grad is None for reading in teacher.values())


@collected("citation")
def test_its_file_says_where_it_comes_from(loss: type[nn.Module]) -> None:
    module = sys.modules[loss.__module__]
    if module.__name__ == "xkd.losses.cross_entropy":
        return  # older than the papers
    assert re.search(r"arXiv:\d{4}\.\d{4,5}|(CVPR|ICCV|ECCV|ICLR|ICML|NeurIPS|AAAI|WACV|BMVC) \d{4}", module.__doc__ or "")


@collected("parameters")
def test_whatever_it_learns_is_a_parameter(loss: type[nn.Module]) -> None:
    made = built(loss, inputs(loss))
    registered = {id(tensor) for tensor in [*made.parameters(), *made.buffers()]}
    loose = [
        name
        for name, value in vars(made).items()
        if isinstance(value, list | tuple | dict) and not name.startswith("_")
        for item in value
        if isinstance(item, Tensor) and id(item) not in registered
    ]
    assert not loose, "tensors in a plain list never reach the optimiser"
