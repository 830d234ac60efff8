"""ONE's gate by hand."""

from __future__ import annotations

import torch
from torch import Tensor

from xkd.ensembles import Gated


def bound(sources: int = 3, channels: int = 5) -> Gated:
    torch.manual_seed(0)
    way = Gated("rgb.trunk")
    way.bind((4,), sources, (channels, 2, 3), ("a", "b", "c", "d"))
    return way.double()


def test_a_softmax_of_the_pooled_reading_weighs_the_sources(logits: tuple[Tensor, ...], there: Tensor) -> None:
    way, reading = bound(), torch.randn(8, 5, 2, 3, dtype=torch.float64)
    output = way(logits, there, reading)
    scores = reading.mean((2, 3)) @ way.linear.weight.T + way.linear.bias
    normed = (scores - scores.mean(0)) / (scores.var(0, unbiased=False) + 1e-5).sqrt()
    for row in range(8):
        held = there[:, row].nonzero().flatten().tolist()
        gates = normed[row, held].clamp(min=0).softmax(0)
        expected = sum(gate * logits[k][row] for gate, k in zip(gates, held, strict=True))
        torch.testing.assert_close(output[row], expected)


def test_it_learns_and_takes_maps(there: Tensor) -> None:
    way = bound()
    maps = tuple(torch.randn(8, 4, 3, 3, dtype=torch.float64) for _ in range(3))
    way(maps, there, torch.randn(8, 5, 2, 3, dtype=torch.float64)).pow(2).sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in way.parameters())


def test_a_single_row_takes_the_statistics_so_far(logits: tuple[Tensor, ...]) -> None:
    way, reading = bound(), torch.randn(8, 5, dtype=torch.float64)
    everywhere = torch.ones(3, 8, dtype=torch.bool)
    way(logits, everywhere, reading)
    before = way.norm.running_mean.clone()
    one = way(tuple(z[:1] for z in logits), everywhere[:, :1], reading[:1])
    torch.testing.assert_close(way.norm.running_mean, before)
    torch.testing.assert_close(one, way.eval()(tuple(z[:1] for z in logits), everywhere[:, :1], reading[:1]))
