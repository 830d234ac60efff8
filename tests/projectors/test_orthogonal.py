from __future__ import annotations

import pytest
import torch
from torch import Tensor

from xkd.grid import resize
from xkd.projectors import Orthogonal


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def bound(source: tuple[int, ...], target: tuple[int, ...]) -> Orthogonal:
    projector = Orthogonal()
    projector.bind(source, target)
    return projector


def distance_from_orthogonal(projector: Orthogonal) -> float:
    matrix = projector.projection.detach()
    product = matrix @ matrix.T if matrix.shape[0] < matrix.shape[1] else matrix.T @ matrix
    return float((product - torch.eye(len(product))).abs().max())


@pytest.mark.parametrize(("channels", "out_channels"), [(5, 12), (12, 12), (12, 5), (1, 5), (5, 1)])
def test_it_is_orthogonal_before_and_after_optimiser_steps(channels: int, out_channels: int) -> None:
    projector = bound((channels, 4, 6), (out_channels, 2, 3))
    before = projector.projection.detach().clone()
    assert distance_from_orthogonal(projector) < 1e-5
    optimizer = torch.optim.AdamW(projector.parameters(), 0.1, weight_decay=0.5)
    target = torch.randn(8, out_channels, 2, 3)
    for _ in range(20):
        optimizer.zero_grad()
        (projector(torch.randn(8, channels, 4, 6)) - target).pow(2).mean().backward()
        optimizer.step()
    assert distance_from_orthogonal(projector) < 1e-5
    assert (projector.projection - before).abs().max() > 0.05


def test_it_keeps_every_distance_and_angle_up_to_the_teachers_channels() -> None:
    projector, reading = bound((5,), (12,)), torch.randn(8, 5)
    torch.testing.assert_close(projector(reading) @ projector(reading).T, reading @ reading.T, rtol=1e-5, atol=1e-5)


def test_a_wider_student_keeps_what_its_projection_spans_and_is_free_across_it() -> None:
    projector, reading = bound((12,), (5,)), torch.randn(8, 12)
    matrix = projector.projection
    kept = reading @ matrix.T @ matrix
    torch.testing.assert_close(projector(kept), projector(reading), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(projector(kept).norm(dim=1), kept.norm(dim=1), rtol=1e-5, atol=1e-5)
    assert projector(reading - kept).abs().max() < 1e-5


def test_it_finds_a_rotation_that_exists() -> None:
    features, rotation = torch.randn(64, 6), torch.linalg.qr(torch.randn(10, 6)).Q
    projector = bound((6,), (10,))
    optimizer = torch.optim.Adam(projector.parameters(), 0.03)
    for _ in range(400):
        optimizer.zero_grad()
        loss = (projector(features) - features @ rotation.T).pow(2).mean()
        loss.backward()
        optimizer.step()
    assert loss.item() < 1e-6


def gram_schmidt(weight: Tensor) -> Tensor:
    """Columns one after the other, as in a textbook."""
    columns: list[Tensor] = []
    for column in weight.T:
        for earlier in columns:
            column = column - (earlier @ column) * earlier
        columns.append(column / column.norm())
    return torch.stack(columns, 1)


@pytest.mark.parametrize(("channels", "out_channels"), [(3, 7), (7, 3), (4, 4)])
def test_it_is_gram_schmidt_whatever_the_signs_of_the_weight(channels: int, out_channels: int) -> None:
    projector = bound((channels, 2, 3), (out_channels, 2, 3)).double()
    with torch.no_grad():
        projector.weight.normal_()
    weight = projector.weight.detach().clone().requires_grad_()
    matrix = gram_schmidt(weight) if out_channels >= channels else gram_schmidt(weight.T).T
    maps = torch.randn(2, channels, 2, 3, dtype=torch.float64)
    by_hand = torch.einsum("dc,bchw->bdhw", matrix, maps)
    torch.testing.assert_close(projector(maps), by_hand)
    by_hand.pow(3).sum().backward()
    projector(maps).pow(3).sum().backward()
    torch.testing.assert_close(projector.weight.grad, weight.grad)


def test_a_map_moves_to_the_teachers_grid() -> None:
    projector, maps = bound((3, 4, 6), (5, 2, 9)), torch.rand(2, 3, 4, 6)
    torch.testing.assert_close(projector(maps), torch.einsum("dc,bchw->bdhw", projector.projection, resize(maps, (2, 9))))


def test_a_map_is_averaged_before_it_meets_a_vector() -> None:
    projector, maps = bound((3, 4, 6), (5,)), torch.rand(2, 3, 4, 6)
    torch.testing.assert_close(projector(maps), maps.mean((2, 3)) @ projector.projection.T)


def test_under_autocast_the_matrix_itself_stays_single() -> None:
    projector = bound((24, 2, 2), (48, 2, 2))
    expected = projector.projection
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(projector.projection, expected)
        assert projector(torch.rand(2, 24, 2, 2)).dtype == torch.bfloat16


def test_a_vector_does_not_become_a_map() -> None:
    with pytest.raises(ValueError, match=r"Orthogonal projects maps to maps, vectors .*, got \(5,\) -> \(3, 2, 2\)"):
        Orthogonal().bind((5,), (3, 2, 2))
