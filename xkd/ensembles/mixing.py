"""What the ways to combine share: a mixture of softened probabilities as logits, and weights over the sources that are there."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F


def check_tau(way: nn.Module, tau: float) -> None:
    if not tau > 0:
        raise ValueError(f"{type(way).__name__}: tau must be positive, got {tau}")


def mixture(
    readings: tuple[Float[Tensor, "b k *grid"], ...], weights: Float[Tensor, "n b *grid_or_ones"], tau: float
) -> Float[Tensor, "b k *grid"]:
    """tau * log(sum_n w_n softmax(z_n / tau)): logits that at temperature tau have the weighted mean of the probabilities.

    KL divergence to that mean has the gradient of the weighted mean of the divergences, since they differ by what the student does not
    enter. Nothing overflows or is lost where a probability is too small for a float, and a weight of exactly 0 has a gradient.
    """
    logs = torch.stack([F.log_softmax(reading / tau, dim=1) for reading in readings])
    weights = weights.unsqueeze(2)
    top = logs.detach().masked_fill(weights == 0, -torch.inf).amax(0)
    above = logs - top
    # of a source without weight the exponential may be infinite; not by clamp, whose gradient at its bound is 0
    mixed = (weights * above.masked_fill(above > 0, 0).exp()).sum(0)
    return tau * (mixed.log() + top)


def equal_weights(there: Bool[Tensor, "n b"], like: Float[Tensor, "b k *grid"]) -> Float[Tensor, "n b *ones"]:
    """One over the number of sources that are there, 0 for the others; broadcasts over the positions of `like`."""
    held = positioned(there, like).to(like.dtype)
    return held / held.sum(0)


def positioned(there: Bool[Tensor, "n b"], like: Float[Tensor, "b k *grid"]) -> Bool[Tensor, "n b *ones"]:
    """With a dimension of 1 for each of the positions of `like`."""
    return there.reshape(*there.shape, *[1] * (like.ndim - 2))


def by_least(shares: Float[Tensor, "n b *grid"], there: Bool[Tensor, "n b *ones"]) -> Float[Tensor, "n b *grid"]:
    """(1 - share) / (N - 1): weights that fall with shares of something bad, which sum to one over the N sources that are there.

    A single source has all the weight.
    """
    num = there.sum(0)
    return torch.where(num > 1, (1 - shares) / (num - 1).clamp(min=1), torch.ones_like(shares)) * there
