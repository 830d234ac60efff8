"""A gate that learns whom to believe in which row.

Lan, Zhu, Gong, "Knowledge Distillation by On-the-Fly Native Ensemble" (ONE), NeurIPS 2018, arXiv:1806.04606, equation 4 and the authors'
code (batch norm and a ReLU before the softmax). ONE's branches are heads on one trunk, which the gate reads; the ensemble has a term of its
own with the labels, and teaches each branch.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F


class Gated(nn.Module):
    """sum_k g_k z_k, g = softmax(relu(BN(Linear(pooled reading)))) over the sources that are there.

    `reading` names what the gate sees, (B, C) or (B, C, H, W), the reading of a branch that learns. The gate learns by the terms that have
    the ensemble on the student's side.
    """

    least = 2
    contract_arguments: ClassVar = {"reading": "rgb.trunk"}

    def __init__(self, reading: str) -> None:
        super().__init__()
        self.reading = reading
        self.trained = (reading,)
        self.linear: nn.Linear
        self.norm: nn.BatchNorm1d

    def bind(self, shape: tuple[int, ...], num_sources: int, reading: tuple[int, ...], classes: tuple[str, ...]) -> None:
        self.linear = nn.Linear(reading[0], num_sources)
        self.norm = nn.BatchNorm1d(num_sources)

    def forward(
        self, readings: tuple[Float[Tensor, "b k *grid"], ...], there: Bool[Tensor, "n b"], reading: Float[Tensor, "b c ..."]
    ) -> Float[Tensor, "b k *grid"]:
        pooled = reading.flatten(2).mean(2) if reading.ndim > 2 else reading
        gates = self._normed(self.linear(pooled)).relu().masked_fill(~there.T, -torch.inf).softmax(1)
        shape = (pooled.shape[0], *[1] * (readings[0].ndim - 1))
        return torch.stack([gate.reshape(shape) * one for gate, one in zip(gates.T, readings, strict=True)]).sum(0)

    def _normed(self, scores: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
        if len(scores) > 1 or not self.training:
            normed: Tensor = self.norm(scores)
            return normed
        # a single row, all that a batch may have left, has no statistics of its own
        norm = self.norm
        return F.batch_norm(scores, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
