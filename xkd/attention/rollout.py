"""Attention rollout: attention followed through all blocks of a transformer, back to the patches.

Abnar and Zuidema, "Quantifying Attention Flow in Transformers", ACL 2020, arXiv:2005.00928, section 3: the weights of a block are averaged
over its heads, half of the identity stands for the residual connection, and the blocks are multiplied from the first to the last.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from xkd.batch import Batch
from xkd.branch import Branch
from xkd.taps import Tap
from xkd.taps.attention import AttentionProbe, attention_modules, has_class_token, rows_sum_to_one
from xkd.taps.layout import token_grid
from xkd.tasks.task import Task

_RESIDUAL = 0.5


def rollout(branch: Branch, images: Shaped[Tensor, "b c h w"], batch: Batch, task: Task) -> Float[Tensor, "b 1 y x"]:
    """The class token's share of every position, or the mean over the positions' where there is no class token.

    `ValueError` where the network has no blocks that all attend between the same tokens.
    """
    name = type(branch.model).__name__
    found = attention_modules(branch.model)
    probes = {path: AttentionProbe(module, branch.model.get_submodule(path.rpartition(".")[0])) for path, module in found.items()}
    training = branch.training
    try:
        with torch.no_grad():
            branch.eval().call(branch.model, images, batch, task)
        weights = [probe.take(path)[0].float() for path, probe in probes.items()]
    finally:
        for probe in probes.values():
            probe.close()
        branch.train(training)
    shapes = sorted({tuple(each.shape[-2:]) for each in weights})
    whole = [each.ndim == 4 and len(each) == len(images) and rows_sum_to_one(each) for each in weights]
    if len(shapes) != 1 or shapes[0][0] != shapes[0][1] or not all(whole):
        raise ValueError(
            f"rollout follows attention between the same tokens through all blocks; {name} has weights between"
            f" {shapes or 'no tokens at all'} (queries, keys): use attention:PATH or grad_cam:PATH"
        )
    identity = torch.eye(shapes[0][0], device=weights[0].device)
    flow = identity.expand(len(images), -1, -1)
    for each in weights:
        flow = (_RESIDUAL * each.mean(1) + (1 - _RESIDUAL) * identity) @ flow
    prefix, grid = token_grid(branch.model, shapes[0][0], (images.shape[2], images.shape[3]), "rollout")
    rows = flow[:, :1] if prefix and has_class_token(branch.model, Tap("rollout")) else flow[:, prefix:].mean(1, keepdim=True)
    return rows[:, :, prefix:].reshape(len(images), 1, *grid)
