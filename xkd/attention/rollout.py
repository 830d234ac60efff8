"""Attention rollout of a branch: `xkd.taps.rollout` over all blocks of its network, for networks that have no tap for it."""

from __future__ import annotations

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from xkd.batch import Batch
from xkd.branch import Branch
from xkd.taps import Tap, Taps
from xkd.tasks.task import Task


def rollout(branch: Branch, images: Shaped[Tensor, "b c h w"], batch: Batch, task: Task) -> Float[Tensor, "b 1 y x"]:
    """The class token's share of every position, or the mean over the positions' where there is no class token.

    `ValueError` where the network has no blocks that all attend between the same tokens.
    """
    training = branch.training
    taps = Taps(branch.model, {"rollout": Tap("", kind="rollout")})
    try:
        with torch.no_grad():
            branch.eval().call(taps, images, batch, task)
            return taps.read(images.shape)["rollout"]
    finally:
        taps.close()
        branch.train(training)
