"""Attention rollout: attention followed through all blocks of a transformer, back to the patches.

Abnar and Zuidema, "Quantifying Attention Flow in Transformers", ACL 2020, arXiv:2005.00928, section 3: the weights of a block are averaged
over its heads, half of the identity stands for the residual connection, and the blocks are multiplied from the first to the last.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from xkd.taps.attention import AttentionProbe, has_class_token, per_image, rows_sum_to_one
from xkd.taps.layout import token_grid
from xkd.taps.tap import Tap

_RESIDUAL = 0.5


def rollout_map(
    probes: Sequence[AttentionProbe], model: nn.Module, tap: Tap, name: str, images: torch.Size, check: bool = True
) -> Float[Tensor, "b 1 h w"]:
    """The class token's share of every position, or the mean over the positions' where there is no class token.

    `ValueError` where the blocks do not all attend between the same tokens; `check` looks at the weights too.
    """
    weights = [per_image(probe.take(name)[0], probe, images[0]) for probe in probes]
    shapes = sorted({tuple(each.shape[-2:]) for each in weights})
    whole = [each.ndim == 4 and len(each) == images[0] and (not check or rows_sum_to_one(each.detach())) for each in weights]
    if len(shapes) != 1 or shapes[0][0] != shapes[0][1] or not all(whole):
        raise ValueError(
            f"rollout follows attention between the same tokens through all blocks; {type(model).__name__} has weights between"
            f" {shapes or 'no tokens at all'} (queries, keys): read the attention of one block, or Grad-CAM"
        )
    identity = torch.eye(shapes[0][0], device=weights[0].device, dtype=weights[0].dtype)
    flow = identity.expand(images[0], -1, -1)
    for each in weights:
        flow = (_RESIDUAL * each.mean(1) + (1 - _RESIDUAL) * identity) @ flow
    prefix, grid = token_grid(model, shapes[0][0], (images[2], images[3]), name, tap.prefix)
    rows = flow[:, :1] if prefix and has_class_token(model, tap) else flow[:, prefix:].mean(1, keepdim=True)
    return rows[:, :, prefix:].reshape(images[0], 1, *grid)
