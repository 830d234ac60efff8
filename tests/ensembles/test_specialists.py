"""Hinton's equation 5, against the least value on a grid over the simplex."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
import torch
from torch import Tensor

from xkd.ensembles import Specialists

CLASSES = ("a", "b", "c")


def bound(
    subsets: tuple[tuple[str, ...], ...], oversampled: tuple[float, ...], classes: tuple[str, ...] = CLASSES, **more: Any
) -> Specialists:
    way = Specialists(subsets, oversampled, **more)
    way.bind((len(classes),), 1 + len(subsets), (), classes)
    return way


def divergence(general: Tensor, answers: list[tuple[list[int], Tensor]], q: Tensor) -> Tensor:
    """KL(p_g, q) + sum KL(p_m, q) for rows q (..., K); a specialist's answer is its own classes' probabilities, then the rest's."""
    value = (general * (general.log() - q.log())).sum(-1)
    for own, p in answers:
        others = [k for k in range(q.shape[-1]) if k not in own]
        coarse = torch.cat([q[..., own], q[..., others].sum(-1, keepdim=True)], -1)
        value = value + (p * (p.log() - coarse.log())).sum(-1)
    return value


def test_it_is_the_least_on_a_grid_over_the_simplex() -> None:
    step = 400
    grid = (
        torch.tensor([(i, j, step - i - j) for i, j in itertools.product(range(1, step), repeat=2) if i + j < step], dtype=torch.float64)
        / step
    )
    generator = torch.Generator().manual_seed(1)
    for _ in range(5):
        logits = [torch.randn(1, 3, generator=generator, dtype=torch.float64) for _ in range(3)]
        way = bound((("a", "b"), ("c",)), (1.0, 3.0), likeliest=3)  # both are asked
        q = way(tuple(logits), torch.ones(3, 1, dtype=torch.bool)).exp()[0]
        assert q.sum() == pytest.approx(1)
        first, second = (one[0].softmax(0) for one in logits[1:])
        rest = torch.logsumexp(logits[2][0, :2], 0) + torch.tensor(3.0).log()
        second = torch.stack([logits[2][0, 2], rest]).softmax(0)
        answers = [([0, 1], first), ([2], second)]
        general = logits[0][0].softmax(0)
        values = divergence(general, answers, grid)
        assert divergence(general, answers, q) <= values.min() + 1e-12
        torch.testing.assert_close(q, grid[values.argmin()], atol=2 / step, rtol=0)


def test_the_gradient_vanishes_on_the_simplex_at_many_classes() -> None:
    classes = tuple("abcdefgh")
    way = bound((("a", "b", "c"), ("c", "d"), ("e",)), (1.0, 2.0, 0.5), classes, likeliest=8, steps=200)
    logits = [torch.randn(4, 8, dtype=torch.float64) for _ in range(4)]
    z = way(tuple(logits), torch.ones(4, 4, dtype=torch.bool)).detach().requires_grad_()
    answers = [
        ([classes.index(name) for name in subset], torch.cat(way._answer(m, logits[1 + m]), 1)) for m, subset in enumerate(way.subsets)
    ]
    answers = [(own, torch.cat([p[:, own], p[:, -1:]], 1)) for own, p in answers]
    (gradient,) = torch.autograd.grad(divergence(logits[0].softmax(1), answers, z.softmax(1)).sum(), z)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-8, rtol=0)


def test_a_specialist_is_asked_where_the_generalist_names_one_of_its_classes() -> None:
    way = bound((("a", "b"),), (1.0,))
    general = torch.tensor([[2.0, 0, 0], [0, 0, 2.0]])
    special = torch.tensor([[0.0, 3, 0], [0, 3, 0]])
    output = way((general, special), torch.ones(2, 2, dtype=torch.bool))
    torch.testing.assert_close(output[1], general[1].log_softmax(0), rtol=1e-5, atol=1e-6)
    assert output[0, 1] > general[0].log_softmax(0)[1] + 0.5
    absent = way((general, special), torch.tensor([[True, True], [False, True]]))
    torch.testing.assert_close(absent[0], general[0].log_softmax(0), rtol=1e-5, atol=1e-6)
    alone = way((general, special), torch.tensor([[False, False], [True, True]]))
    torch.testing.assert_close(alone[1], special[1].log_softmax(0), rtol=1e-4, atol=1e-5)


def test_a_rest_that_was_seen_too_seldom_is_corrected() -> None:
    """A specialist whose own classes were sampled 4 times as often answers as one of the true frequencies once its rest weighs 4 times."""
    truth = torch.tensor([[0.2, 0.1, 0.7]], dtype=torch.float64)
    seen = torch.tensor([[0.8, 0.4, 0.7]], dtype=torch.float64)
    own, rest = bound((("a", "b"),), (4.0,))._answer(0, seen.log())
    torch.testing.assert_close(torch.cat([own[:, :2], rest], 1), truth)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: Specialists((("a",),), ()), "oversampled is a number above 0 for each of the 1 subsets"),
        (lambda: Specialists((("a",),), (0.0,)), "oversampled is a number above 0"),
        (lambda: Specialists((), ()), "subsets name the classes of each specialist"),
        (lambda: bound((("x",),), (1.0,)), "Specialists names the class 'x'; the task has ['a', 'b', 'c']"),
        (lambda: bound((CLASSES,), (1.0,)), "holds all classes, so nothing is the rest"),
        (
            lambda: Specialists((("a",),), (1.0,)).bind((3,), 3, (), CLASSES),
            "Specialists has 1 subsets, so 2 sources, the generalist first",
        ),
        (
            lambda: Specialists((("a",),), (1.0,)).bind((3, 4, 4), 2, (), CLASSES),
            r"answers for whole images, by logits (K,), and these are (3, 4, 4)",
        ),
        (lambda: Specialists((("a",),), (1.0,), likeliest=0), "likeliest and steps must be 1 or more"),
    ],
)
def test_mistakes(made: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        made()
