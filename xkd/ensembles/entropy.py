"""Weights by how sure each network is of a row, without a label.

Entropy-based weighting of several teachers: Kwon et al., "Adaptive Knowledge Distillation Based on Entropy", ICASSP 2020, in the form that
Zhang et al., ICASSP 2022, arXiv:2201.00007, compare with (EBKD): a weight falls with the share of its entropy in the sum of all.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from xkd.ensembles.mixing import by_least, check_tau, mixture, positioned


class Entropy(nn.Module):
    """Logits of sum_k w_k softmax(z_k / tau), w_k proportional to 1 - H_k / sum of H, H_k the entropy of softmax(z_k / tau)."""

    of_classes = True

    def __init__(self, tau: float = 1.0) -> None:
        super().__init__()
        check_tau(self, tau)
        self.tau = tau

    def forward(self, readings: tuple[Float[Tensor, "b k *grid"], ...], there: Bool[Tensor, "n b"]) -> Float[Tensor, "b k *grid"]:
        return mixture(readings, self.weights(readings, there), self.tau)

    def weights(self, readings: tuple[Float[Tensor, "b k *grid"], ...], there: Bool[Tensor, "n b"]) -> Float[Tensor, "n b *grid"]:
        """Of each source in each row or pixel; 0 where it is absent."""
        logs = torch.stack([F.log_softmax(reading / self.tau, dim=1) for reading in readings])
        held = positioned(there, readings[0])
        entropies = -(logs.exp() * logs).sum(2) * held
        total = entropies.sum(0)
        # where all are as sure as a float can be, all weigh alike
        shares = torch.where(total > 0, entropies / total.where(total > 0, 1), held / held.sum(0))
        return by_least(shares, held)
