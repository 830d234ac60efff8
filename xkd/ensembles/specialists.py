"""A generalist that knows all classes, and specialists that each tell a few confusable ones apart.

Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015, arXiv:1503.02531, section 5, equation 5: the distribution q of
all classes that is nearest to what all of them say. A specialist does not say how its "rest" divides, so there its divergence is that of
the sums. The paper descends by gradients; here the minimum, which is the only one, is found by the updates of expectation-maximisation:
each specialist's probability of the rest is divided as q divides it, then q is the mean of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


class Specialists(nn.Module):
    """log q, q the least of KL(p_g, q) + sum over m of KL(p_m, q) in each row; over specialists that know a class the generalist names.

    The first source is the generalist, then one for each of `subsets`, the names of the classes that it tells apart; all are logits (B, K)
    of the task's classes (a network with one class "rest" by `ClassMap(to={"rest": (...)})`). `oversampled` says for each of them how many
    times as often as by chance its training saw its classes beside the rest, 1.0 for not at all: the logit of its rest grows by the
    logarithm. A specialist is asked where one of the generalist's `likeliest` classes is its own, and where the generalist is absent.
    `steps` updates: each leaves at most M / (M + 1) of the way to the minimum, M specialists being asked.
    """

    own: Tensor
    of_classes = True
    least = 2
    contract_arguments: ClassVar = {"subsets": (("a", "b"), ("c",)), "oversampled": (1.0, 1.0)}
    contract_exempt = ("alone",)  # a specialist alone does not say how its rest divides

    def __init__(self, subsets: tuple[tuple[str, ...], ...], oversampled: tuple[float, ...], likeliest: int = 1, steps: int = 50) -> None:
        super().__init__()
        if len(oversampled) != len(subsets) or not all(rate > 0 for rate in oversampled):
            raise ValueError(f"oversampled is a number above 0 for each of the {len(subsets)} subsets (1.0: not at all), got {oversampled}")
        if not subsets or any(not subset for subset in subsets):
            raise ValueError(f"subsets name the classes of each specialist, got {subsets}")
        if likeliest < 1 or steps < 1:
            raise ValueError(f"likeliest and steps must be 1 or more, got {likeliest} and {steps}")
        self.subsets, self.oversampled, self.likeliest, self.steps = subsets, oversampled, likeliest, steps
        self.register_buffer("own", torch.zeros(len(subsets), 0, dtype=torch.bool), persistent=False)  # (M, K)

    def bind(self, shape: tuple[int, ...], num_sources: int, reading: tuple[int, ...], classes: tuple[str, ...]) -> None:
        if num_sources != 1 + len(self.subsets):
            raise ValueError(f"Specialists has {len(self.subsets)} subsets, so {1 + len(self.subsets)} sources, the generalist first")
        if len(shape) != 1:
            raise ValueError(f"Specialists answers for whole images, by logits (K,), and these are {shape}")
        self.own = torch.stack([_columns(subset, classes) for subset in self.subsets]).to(self.own.device)

    def forward(self, readings: tuple[Float[Tensor, "b k"], ...], there: Bool[Tensor, "n b"]) -> Float[Tensor, "b k"]:
        general = readings[0].softmax(1) * there[0].unsqueeze(1)
        named = torch.zeros_like(there[0].unsqueeze(1).expand_as(general))
        named = named.scatter(1, readings[0].topk(min(self.likeliest, general.shape[1]), dim=1).indices, True)
        asked = there[1:] & (_meets(named, self.own) | ~there[0])
        answers = [self._answer(m, logits) for m, logits in enumerate(readings[1:])]
        own = general + torch.stack([use.unsqueeze(1) * mine for use, (mine, _) in zip(asked, answers, strict=True)]).sum(0)
        rests = torch.cat([use.unsqueeze(1) * rest for use, (_, rest) in zip(asked, answers, strict=True)], dim=1)  # (B, M)
        outside = (~self.own).to(general.dtype)
        total = own.sum(1, keepdim=True) + rests.sum(1, keepdim=True)
        q, tiny = torch.full_like(general, 1 / general.shape[1]), torch.finfo(general.dtype).tiny
        for _ in range(self.steps):
            q = (own + q * ((rests / (q @ outside.T).clamp(min=tiny)) @ outside)) / total
        return q.clamp(min=tiny).log()

    def _answer(self, m: int, logits: Float[Tensor, "b k"]) -> tuple[Float[Tensor, "b k"], Float[Tensor, "b 1"]]:
        """A specialist's probabilities of its own classes, 0 for the others, and of the rest."""
        rest = logits.masked_fill(self.own[m], -torch.inf).logsumexp(1, keepdim=True)
        rest = rest + torch.tensor(self.oversampled[m]).log().item()
        own = logits.masked_fill(~self.own[m], -torch.inf)
        probabilities = torch.cat([own, rest], dim=1).softmax(1)
        return probabilities[:, :-1], probabilities[:, -1:]


def _meets(named: Bool[Tensor, "b k"], own: Bool[Tensor, "m k"]) -> Bool[Tensor, "m b"]:
    return (own.unsqueeze(1) & named).any(2)


def _columns(subset: Sequence[str], classes: Sequence[str]) -> Bool[Tensor, " k"]:
    if unknown := [name for name in subset if name not in classes]:
        raise ValueError(f"Specialists names the class '{unknown[0]}'; the task has {list(classes)}")
    if set(subset) == set(classes):
        raise ValueError(f"Specialists: the subset {list(subset)} holds all classes, so nothing is the rest")
    return torch.tensor([name in subset for name in classes])
