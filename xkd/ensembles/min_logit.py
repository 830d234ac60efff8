"""For each class the most critical of the networks: a target that no wrong class of one network alone can spoil.

Guo et al., "Online Knowledge Distillation via Collaborative Learning" (KDCL), CVPR 2020, section 3.3, KDCL-MinLogit (there is no official
code). As teacher of each of the networks it is made of.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from xkd.ensembles.mean import Mean
from xkd.ensembles.mixing import positioned
from xkd.losses.logits import labelled_class


class MinLogit(nn.Module):
    """Logits min over k of (z_k,c - z_k,y) for class c and label y, so 0 at the label. Rows without a label (-1) by `Mean()`."""

    of_classes = True

    def __init__(self) -> None:
        super().__init__()
        self.unlabelled = Mean()

    def forward(
        self, readings: tuple[Float[Tensor, "b k *grid"], ...], there: Bool[Tensor, "n b"], target: Shaped[Tensor, "b ..."]
    ) -> Float[Tensor, "b k *grid"]:
        label, known = labelled_class(self, readings[0], target)
        above = torch.stack([reading - (reading * label).sum(1, keepdim=True) for reading in readings])
        least = above.masked_fill(~positioned(there, readings[0]).unsqueeze(2), torch.inf).amin(0)
        return torch.where(known.unsqueeze(1), least, self.unlabelled(readings, there))
