"""Every loss that xkd exports keeps the contract. A new loss is collected by itself; it may declare, as class attributes,

- `contract_inputs`: a function (generator) -> the tensors of its parameters, where the shapes below do not suit it;
- `contract_exempt`: names of the tests below that its definition cannot keep (random masks, a memory).
"""

from __future__ import annotations

import inspect
import re
import sys

import pytest
import torch
from core_models import RGB_VIEW, THERMAL_VIEW, make_batch
from torch import Tensor, nn

import xkd.losses
from xkd.term import Readings, Term

LOSSES = [getattr(xkd.losses, name) for name in xkd.losses.__all__]
SHAPES = {"b c h w": (3, 4, 4), "b *shape": (3, 4, 4), "b k": (3,), "b k *grid": (3,), "b d": (3,), "b *features": (3,)}  # by annotation
ROWS = 4


def inputs(loss: type[nn.Module]) -> list[Tensor]:
    """Student, teacher (or target, mask) and extras in float64, as the parameters' names ask."""
    generator = torch.Generator().manual_seed(0)
    if hasattr(loss, "contract_inputs"):
        return list(loss.contract_inputs(generator))
    said = re.search(r"""["'](b [^"']*)["']""", str(inspect.signature(loss.forward).parameters["student"].annotation))
    assert said is not None, "the student's side is annotated with its dimensions"
    shape = (ROWS, *SHAPES[said[1]])
    fields = {
        "target": torch.arange(ROWS) % 3,
        "mask": (torch.rand((ROWS, 1, 8, 8), generator=generator) > 0.5).double(),
        "index": torch.arange(ROWS),
    }
    if loss is xkd.losses.BinaryCrossEntropy:
        fields["target"] = (torch.rand((ROWS, 3), generator=generator) > 0.5).double()
    names = list(inspect.signature(loss.forward).parameters)[1:]
    return [fields[name] if name in fields else torch.randn(shape, generator=generator, dtype=torch.float64) for name in names]


def made(loss: type[nn.Module], tensors: list[Tensor]) -> nn.Module:
    """The loss with its defaults, layers and all, alike in every call."""
    torch.manual_seed(0)
    built = loss()
    if hasattr(built, "bind"):
        built.bind(tuple(tensors[0].shape[1:]), tuple(tensors[1].shape[1:]))
    return built.to(tensors[0].dtype)


def collected(test: str) -> pytest.MarkDecorator:
    kept = [loss for loss in LOSSES if test not in getattr(loss, "contract_exempt", ())]
    return pytest.mark.parametrize("loss", kept, ids=lambda loss: loss.__name__)


def test_the_folder_exports_every_loss_it_holds() -> None:
    held = {
        name
        for module_name, module in sys.modules.items()
        if module_name.startswith("xkd.losses.")
        for name, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, nn.Module) and value.__module__ == module_name
    }
    assert held == {loss.__name__ for loss in LOSSES}
    assert all(issubclass(loss, nn.Module) for loss in LOSSES)


@collected("scalar")
def test_it_is_a_finite_scalar_in_the_precision_it_is_given(loss: type[nn.Module]) -> None:
    tensors = inputs(loss)
    value = made(loss, tensors)(*tensors)
    assert value.shape == ()
    assert torch.isfinite(value)
    assert value.dtype == torch.float64
    single = [t.float() if t.is_floating_point() else t for t in tensors]
    assert made(loss, single)(*single).dtype == torch.float32
    assert made(loss, single)(*single).item() == pytest.approx(value.item(), rel=1e-4, abs=1e-6)


@collected("gradcheck")
def test_its_gradient_is_that_of_its_value(loss: type[nn.Module]) -> None:
    student, *others = inputs(loss)
    assert torch.autograd.gradcheck(lambda s: made(loss, [s, *others])(s, *others), student.requires_grad_())


@collected("permutation")
def test_the_order_of_rows_does_not_matter(loss: type[nn.Module]) -> None:
    tensors, order = inputs(loss), torch.tensor([2, 0, 3, 1])
    built = made(loss, tensors)
    assert built(*[t[order] for t in tensors]).item() == pytest.approx(built(*tensors).item(), rel=1e-12)


@collected("mean")
def test_it_is_a_mean_over_rows_so_that_repeating_them_changes_nothing(loss: type[nn.Module]) -> None:
    tensors = inputs(loss)
    built = made(loss, tensors)
    assert built(*[torch.cat([t, t]) for t in tensors]).item() == pytest.approx(built(*tensors).item(), rel=1e-12)


@collected("zero")
def test_it_is_zero_where_its_docstring_says_so(loss: type[nn.Module]) -> None:
    said = re.search(r"[Zz]ero if (equal|proportional)", loss.__doc__ or "")
    student, *others = inputs(loss)
    built = made(loss, [student, *others])
    if said is None:
        assert built(student, *others).item() > 0
        return
    scale = 3.0 if said.group(1) == "proportional" else 1.0
    assert built(student, scale * student, *others[1:]).item() == pytest.approx(0, abs=1e-12)
    assert built(student, *others).item() > 1e-6, "unlike readings must not be zero"


@collected("student_only")
def test_in_a_term_the_gradient_reaches_the_student_alone(loss: type[nn.Module]) -> None:
    names = list(inspect.signature(loss.forward).parameters)[1:]
    tensors = [t.float() if t.is_floating_point() else t for t in inputs(loss)]
    fields = dict(zip(names, tensors, strict=True))
    student, teacher = tensors[0].requires_grad_(), torch.randn(tensors[0].shape, requires_grad=True)
    batch = make_batch(ROWS, **{name: fields[name] for name in ("target", "mask") if name in fields})
    source = f"batch.{names[1]}" if names[1] in ("target", "mask") else "thermal.output"
    readings = Readings(
        {"rgb": {"output": student}, "thermal": {"output": teacher}}, batch, {"rgb": RGB_VIEW.name, "thermal": THERMAL_VIEW.name}
    )
    Term(made(loss, tensors), "rgb.output", source)(readings, batch).backward()
    assert student.grad is not None
    assert student.grad.abs().max() > 0
    assert teacher.grad is None


@collected("citation")
def test_its_file_says_where_it_comes_from(loss: type[nn.Module]) -> None:
    module = sys.modules[loss.__module__]
    if module.__name__ == "xkd.losses.cross_entropy":
        return  # older than the papers
    assert re.search(r"arXiv:\d{4}\.\d{4,5}|(CVPR|ICCV|ECCV|ICLR|ICML|NeurIPS|AAAI|WACV|BMVC) \d{4}", module.__doc__ or "")


@collected("parameters")
def test_whatever_it_learns_is_a_parameter(loss: type[nn.Module]) -> None:
    built = made(loss, inputs(loss))
    registered = {id(tensor) for tensor in [*built.parameters(), *built.buffers()]}
    loose = [
        name
        for name, value in vars(built).items()
        if isinstance(value, list | tuple | dict) and not name.startswith("_")
        for item in value
        if isinstance(item, Tensor) and id(item) not in registered
    ]
    assert not loose, "tensors in a plain list never reach the optimiser"
