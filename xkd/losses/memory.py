"""A memory of all training rows: a bank (N, D) with an embedding of length one for each row of the data set."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F


def new_bank(num_rows: int, dim: int) -> Float[Tensor, "n d"]:
    bound = (3 / dim) ** 0.5  # uniform in it, a row has length one on average
    return torch.empty(num_rows, dim).uniform_(-bound, bound)


def check_index(loss: str, index: Int[Tensor, " b"], num_rows: int) -> None:
    """`ValueError` for a row that the memory does not have."""
    # an accelerator would be waited for in every step, and refuses such a row by itself
    if index.device.type == "cpu" and not 0 <= int(index.min()) <= int(index.max()) < num_rows:
        beyond = int(index[(index < 0) | (index >= num_rows)][0])
        raise ValueError(f"{loss} remembers rows 0 to {num_rows - 1}, got row {beyond}: num_rows is wrong")


def drawn_rows(index: Int[Tensor, " b"], num_rows: int, num_negatives: int) -> Int[Tensor, "b k"]:
    """Of each row its own number, then negatives, uniformly *with replacement* from all rows."""
    negatives = torch.randint(num_rows, (len(index), num_negatives), device=index.device)
    return torch.cat([index[:, None], negatives], dim=1)


def products(anchors: Float[Tensor, "b d"], bank: Float[Tensor, "n d"], drawn: Int[Tensor, "b k"]) -> Float[Tensor, "b k"]:
    """Of each anchor with its drawn rows of the bank, which are copied: the bank changes before the backward pass."""
    (num_rows, dim), (num_anchors, num_drawn) = bank.shape, drawn.shape
    if num_rows * (num_anchors + dim) <= num_anchors * num_drawn * dim:  # every row once takes less memory than each anchor's drawn rows
        return (anchors @ bank.clone().T).gather(1, drawn)
    return (bank[drawn] @ anchors[:, :, None]).squeeze(2)


def mixed(held: Float[Tensor, "b d"], embeddings: Float[Tensor, "b d"], momentum: float) -> Float[Tensor, "b d"]:
    return F.normalize(momentum * held + (1 - momentum) * embeddings, dim=1)


def remember(bank: Float[Tensor, "n d"], index: Int[Tensor, " b"], embeddings: Float[Tensor, "b d"], momentum: float) -> None:
    held = bank[index]
    fresh = mixed(held, embeddings, momentum)
    # a step that is not finite is left out by the optimiser, and must not stay here either
    bank.index_copy_(0, index, torch.where(fresh.isfinite().all(1, keepdim=True), fresh, held))
