"""Whether a map is of the network at all: it must change when the weights are thrown away.

Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018, arXiv:1810.03292, the full randomisation of their section 3.1, compared by
Spearman's rank correlation of absolute values, as theirs. A map that stays is of the image: of its edges, or of where the border is.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Final

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn
from torchmetrics.functional import spearman_corrcoef

from xkd.attention.maps import attention_map
from xkd.graph.branch import Branch
from xkd.tasks import Task

NUM_DRAWS: Final = 5  # of random weights, at most: some give an empty map, as Grad-CAM of a score that nothing speaks for


def randomised(branch: Branch, seed: int = 0) -> Branch:
    """A copy whose network has never learned anything: layers as they are initialised, other parameters drawn anew at their own scale."""
    other = copy.deepcopy(branch)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        for module in other.model.modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
            else:
                _draw_anew(module)
    return other


def _draw_anew(module: nn.Module) -> None:
    for parameter in module.parameters(recurse=False):
        parameter.normal_(float(parameter.mean()), float(parameter.std()) if parameter.numel() > 1 else 0.0)


def unlearned_correlation(
    unlearned: Callable[[int], Branch],
    images: Shaped[Tensor, "b c h w"],
    task: Task,
    method: str,
    maps: Float[Tensor, "b 1 h w"],
) -> Float[Tensor, " b"]:
    """`rank_correlation` of each row's map with that of a network of random weights, drawn anew where its map is flat.

    `unlearned` gives the network of a seed. Not a number where the row's own map is flat, or those of all `NUM_DRAWS` networks.
    """
    correlation = torch.full((len(maps),), torch.nan, device=maps.device)
    for seed in range(NUM_DRAWS):
        left = correlation.isnan() & ~_flat(maps)
        if not left.any():
            break
        correlation[left] = rank_correlation(maps[left], attention_map(unlearned(seed), images[left], task, method))
    return correlation


def rank_correlation(one: Float[Tensor, "b 1 h w"], other: Float[Tensor, "b 1 h w"]) -> Float[Tensor, " b"]:
    """Spearman's, -1..1, of each row's two maps of one grid; not a number where one of them is flat."""
    first, second = one.float().flatten(1), other.float().flatten(1)
    flat = _flat(one) | _flat(other)
    correlation = torch.full((len(first),), torch.nan, device=first.device)
    if not flat.all():
        # one column for each row of the batch
        correlation[~flat] = spearman_corrcoef(first[~flat].T.squeeze(1), second[~flat].T.squeeze(1)).reshape(-1)
    return correlation


def _flat(maps: Float[Tensor, "b 1 h w"]) -> Bool[Tensor, " b"]:
    flat = maps.float().flatten(1)
    return flat.amax(1) == flat.amin(1)
