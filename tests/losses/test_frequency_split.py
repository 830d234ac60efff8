from __future__ import annotations

import numpy as np
import pytest
import torch
from core_models import unchecked
from numpy.typing import NDArray

from xkd.losses import FrequencySplit

Array = NDArray[np.float64]


def of_row(features: Array, cutoff: float) -> tuple[Array, Array]:
    """Waves by their definition: the share of each cosine and sine, added up band by band."""
    size = len(features)
    place = np.arange(size)
    bands = [np.zeros(size), np.zeros(size)]
    for frequency in range(1, size // 2 + 1):
        twice = 1 if 2 * frequency == size else 2
        for wave in (np.cos, np.sin):
            angle = 2 * np.pi * frequency * place / size
            band = bands[frequency > max(1, int(cutoff * (size // 2 + 1)))]
            band += twice / size * (features @ wave(angle)) * wave(angle)
    slow, fast = (band / np.linalg.norm(band) for band in bands)
    return slow, np.sign(fast) * np.log(1 + abs(fast))


def of_map(features: Array, cutoff: float) -> tuple[Array, Array]:
    """The inverse transform of the box alone, by its definition."""
    centred = features - features.mean((1, 2), keepdims=True)
    unit = centred / np.linalg.norm(centred, axis=0)
    _, *grid = unit.shape
    slow = np.zeros(unit.shape, complex)
    y, x = np.mgrid[: grid[0], : grid[1]]
    reach = [max(1, int(side * cutoff / 2)) for side in grid]
    for down in range(-reach[0], reach[0]):
        for right in range(-reach[1], reach[1]):
            wave = np.exp(2j * np.pi * (down * y / grid[0] + right * x / grid[1]))
            slow += (unit * wave.conj()).sum((1, 2))[:, None, None] * wave / y.size
    return slow.real, np.log(1 + abs(unit - slow.real))


@pytest.mark.parametrize("cutoff", [0.25, 0.5])
@pytest.mark.parametrize(
    ("variant", "shape", "literal"), [("fd_cmkd", (8,), of_row), ("fd_cmkd", (9,), of_row), ("freqkd", (3, 8, 5), of_map)]
)
def test_the_formula(variant: str, shape: tuple[int, ...], literal: object, cutoff: float) -> None:
    assert callable(literal)
    student, teacher = (scale * torch.randn(4, *shape, dtype=torch.float64) for scale in (5, 0.2))
    slow = fast = 0.0
    for s, t in zip(student.numpy(), teacher.numpy(), strict=True):
        of_s, of_t = literal(s, cutoff), literal(t, cutoff)
        slow, fast = (part + ((a - b) ** 2).sum(0).mean() / 4 for part, a, b in zip((slow, fast), of_s, of_t, strict=True))
    assert fast > 1e-3
    for high in (0.0, 0.7):
        value = FrequencySplit(variant, cutoff, high)(student, teacher)
        assert value.item() == pytest.approx(slow + high * fast, rel=1e-9)


def test_the_gradient_of_the_split_over_features() -> None:  # the contract has that of maps
    student, teacher = torch.randn(3, 7, dtype=torch.float64, requires_grad=True), torch.randn(3, 7, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda of: FrequencySplit("fd_cmkd", high=1.0)(of, teacher), [student])


@pytest.mark.parametrize(("variant", "shape"), [("fd_cmkd", (12,)), ("freqkd", (3, 4, 4))])
def test_neither_sides_scale_or_offset_matters(variant: str, shape: tuple[int, ...]) -> None:
    student, teacher = (torch.randn(4, *shape, dtype=torch.float64) for _ in range(2))
    value = FrequencySplit(variant)(student, teacher).item()
    assert FrequencySplit(variant)(30 * student + 5, 0.1 * teacher - 2).item() == pytest.approx(value, rel=1e-9)


def test_maps_of_any_grid_are_averaged_before_their_features_are_split() -> None:
    student, teacher = torch.randn(4, 6, 5, 3, dtype=torch.float64), torch.randn(4, 6, 2, 2, dtype=torch.float64)
    loss = FrequencySplit("fd_cmkd")
    assert loss(student, teacher).item() == pytest.approx(loss(student.mean((2, 3)), teacher.mean((2, 3))).item(), rel=1e-12)


@pytest.mark.parametrize(("variant", "shape"), [("fd_cmkd", (4, 6)), ("freqkd", (4, 3, 4, 4)), ("freqkd", (4, 3, 1, 1))])
def test_what_is_constant_gives_a_finite_gradient(variant: str, shape: tuple[int, ...]) -> None:
    student = torch.full(shape, 0.5, requires_grad=True)
    FrequencySplit(variant)(student, torch.rand(shape)).backward()
    assert student.grad is not None
    assert student.grad.abs().max() < 10


def test_mistakes_name_what_is_legal() -> None:
    with unchecked(), pytest.raises(ValueError, match="variant must be 'freqkd' or 'fd_cmkd', got 'fft'"):
        FrequencySplit("fft")
    with pytest.raises(ValueError, match="cutoff is the share of frequencies that is slow, above 0 and below 1, got 1"):
        FrequencySplit(cutoff=1.0)
    with pytest.raises(ValueError, match="high is the weight of the fast part, 0 or more, got -1"):
        FrequencySplit(high=-1.0)
    with pytest.raises(ValueError, match=r"compares maps \(B, C, H, W\) of one shape, got .*; give the term a projector"):
        FrequencySplit()(torch.rand(2, 3, 4, 4), torch.rand(2, 3, 2, 2))
    with pytest.raises(ValueError, match=r"compares vectors \(B, D\) or maps of as many channels, got .*; give the term a projector"):
        FrequencySplit("fd_cmkd")(torch.rand(2, 6), torch.rand(2, 5))
    with pytest.raises(ValueError, match=r"splits 4 features or more, got \(2, 3\)"):
        FrequencySplit("fd_cmkd")(torch.rand(2, 3), torch.rand(2, 3))
