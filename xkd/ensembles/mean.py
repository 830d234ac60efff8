"""The mean of the networks' probabilities: the plain ensemble.

Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015, arXiv:1503.02531, section 1, as the soft target of a student.
With sum_k w_k p_k as the target, the gradient is that of the mean of the divergences from each teacher (AVER in You et al., KDD 2017).
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from xkd.ensembles.mixing import check_tau, equal_weights, mixture


class Mean(nn.Module):
    """Logits of the mean of softmax(z / tau) over the sources that are there; take the tau of the loss.

    `tau=math.inf` is its limit, up to a constant in each row: the mean of the values themselves. That serves logits whose classes are
    not exclusive, maps and features too.
    """

    def __init__(self, tau: float = 1.0) -> None:
        super().__init__()
        check_tau(self, tau)
        self.tau = tau

    @property
    def of_classes(self) -> bool:
        return not math.isinf(self.tau)

    def forward(self, readings: tuple[Float[Tensor, "b k *grid"], ...], there: Bool[Tensor, "n b"]) -> Float[Tensor, "b k *grid"]:
        weights = equal_weights(there, readings[0])
        if self.of_classes:
            return mixture(readings, weights, self.tau)
        return torch.stack([weight.unsqueeze(1) * reading for weight, reading in zip(weights, readings, strict=True)]).sum(0)
