"""Weights by how near each network is to the label of a row.

Zhang, Chen, Wang, "Confidence-Aware Multi-Teacher Knowledge Distillation" (CA-MKD), ICASSP 2022, arXiv:2201.00007, equations 3 and 4. The
authors' code divides the sum by the number of teachers once more, which here is the term's weight.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from xkd.ensembles.entropy import Entropy
from xkd.ensembles.mixing import by_least, check_tau, mixture, positioned
from xkd.losses.logits import labelled_class


class Confidence(nn.Module):
    """Logits of sum_k w_k softmax(z_k / tau), w_k = (1 - softmax over k of CE_k) / (K - 1), CE_k the cross-entropy with the label.

    CE_k is at temperature 1. Rows and pixels without a label (-1) are weighed by `Entropy(tau)`.
    """

    of_classes = True
    least = 2  # a single source would always have the weight 1

    def __init__(self, tau: float = 1.0) -> None:
        super().__init__()
        check_tau(self, tau)
        self.tau = tau
        self.unlabelled = Entropy(tau)

    def forward(
        self, readings: tuple[Float[Tensor, "b k *grid"], ...], there: Bool[Tensor, "n b"], target: Shaped[Tensor, "b ..."]
    ) -> Float[Tensor, "b k *grid"]:
        label, known = labelled_class(self, readings[0], target)
        held = positioned(there, readings[0])
        losses = torch.stack([-(F.log_softmax(reading, dim=1) * label).sum(1) for reading in readings])
        shares = losses.masked_fill(~held, -torch.inf).softmax(0)
        weights = torch.where(known, by_least(shares, held), self.unlabelled.weights(readings, there))
        return mixture(readings, weights, self.tau)
