from __future__ import annotations

from typing import Literal

import pytest
import torch
from core_models import unchecked
from torch import Tensor, nn

from xkd.losses import MGD


def bound(loss: MGD, student: Tensor, teacher: Tensor) -> MGD:
    loss.bind(tuple(student.shape[1:]), tuple(teacher.shape[1:]))
    return loss.to(student.dtype)


def conv3(image: Tensor, layer: nn.Conv2d) -> Tensor:
    """A 3x3 convolution with a border of zeros, one output at a time."""
    channels, height, width = image.shape
    padded = image.new_zeros(channels, height + 2, width + 2)
    padded[:, 1:-1, 1:-1] = image
    out = image.new_zeros(len(layer.weight), height, width)
    for k in range(len(out)):
        for y in range(height):
            for x in range(width):
                out[k, y, x] = (padded[:, y : y + 3, x : x + 3] * layer.weight[k]).sum() + layer.bias[k]
    return out


def literal(loss: MGD, student: Tensor, teacher: Tensor, kept: Tensor) -> float:
    first, _, second = loss.generator
    total = 0.0
    for s, t, k in zip(student, teacher, kept, strict=True):
        if isinstance(loss.align, nn.Conv2d):
            s = torch.einsum("dc,chw->dhw", loss.align.weight[:, :, 0, 0], s) + loss.align.bias[:, None, None]
        total += float(((conv3(conv3(s * k, first).clamp(min=0), second) - t) ** 2).sum())
    return loss.alpha * total / len(student)


@pytest.mark.parametrize(("masked", "share", "shape"), [("channels", 0.4, (2, 3, 1, 1)), ("positions", 0.65, (2, 1, 4, 5))])
@pytest.mark.parametrize("channels", [3, 6])
def test_the_formula_of_the_authors_code(
    masked: Literal["channels", "positions"], share: float, shape: tuple[int, ...], channels: int
) -> None:
    student, teacher = torch.randn(2, channels, 4, 5, dtype=torch.float64), torch.randn(2, 3, 4, 5, dtype=torch.float64)
    loss = bound(MGD(masked, share, 1e-2), student, teacher)
    torch.manual_seed(5)
    kept = torch.rand(shape) >= share
    assert 0 < kept.sum() < kept.numel()
    torch.manual_seed(5)
    with torch.no_grad():
        assert loss(student, teacher).item() == pytest.approx(literal(loss, student, teacher, kept), rel=1e-10)


@pytest.mark.parametrize(("loss", "share"), [(MGD(), 0.15), (MGD("positions", 0.65, 2e-5), 0.65)], ids=["channels", "positions"])
def test_the_share_that_is_masked(loss: MGD, share: float) -> None:
    student = torch.ones(8, 64, 8, 8)
    loss.bind((64, 8, 8), (64, 8, 8))
    seen: list[Tensor] = []
    loss.generator.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    loss(student, student)
    (masked,) = seen
    assert float((masked == 0).float().mean()) == pytest.approx(share, abs=0.08)
    per_channel = masked.flatten(2)
    whole = (per_channel == per_channel[:, :, :1]).all()
    assert bool(whole) == (loss.masked == "channels")


def test_the_defaults_are_the_authors_for_classification() -> None:
    assert (MGD().masked, MGD().share, MGD().alpha) == ("channels", 0.15, 7e-5)


def test_masks_follow_torchs_generator_and_differ_from_step_to_step() -> None:
    student, teacher = torch.randn(2, 8, 4, 4), torch.randn(2, 8, 4, 4)
    loss = bound(MGD(share=0.5), student, teacher)
    torch.manual_seed(1)
    first, second = loss(student, teacher).item(), loss(student, teacher).item()
    torch.manual_seed(1)
    assert loss(student, teacher).item() == first
    assert first != second


def test_every_layer_learns() -> None:
    student, teacher = torch.randn(2, 4, 4, 4), torch.randn(2, 8, 4, 4)
    loss = bound(MGD(), student, teacher)
    loss(student, teacher).backward()
    assert len(list(loss.parameters())) == 6
    assert all(parameter.grad.abs().max() > 0 for parameter in loss.parameters())


def test_the_larger_map_is_averaged_down() -> None:
    student, teacher = torch.randn(2, 3, 8, 4, dtype=torch.float64), torch.randn(2, 3, 4, 8, dtype=torch.float64)
    loss = bound(MGD(share=0.0), student, teacher)
    down = student.reshape(2, 3, 4, 2, 4).mean(3), teacher.reshape(2, 3, 4, 4, 2).mean(4)
    with torch.no_grad():
        assert loss(student, teacher).item() == pytest.approx(literal(loss, *down, torch.ones(2, 1, 1, 1)), rel=1e-10)


def test_it_must_be_sized_first() -> None:
    with pytest.raises(ValueError, match=r"MGD has no layers yet: call bind\(\)"):
        MGD()(torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4))
    with pytest.raises(ValueError, match=r"MGD compares maps.*\(3, 4, 4\) and \(5,\)"):
        MGD().bind((3, 4, 4), (5,))


def test_legal_choices_are_named() -> None:
    with unchecked(), pytest.raises(ValueError, match="masked must be 'channels' or 'positions', got 'pixels'"):
        MGD("pixels")
    with pytest.raises(ValueError, match=r"share.*\[0, 1\), got 1.0"):
        MGD(share=1.0)
