"""Projectors: from the student's reading to the shape of the teacher's, sized by the dry run (`bind`), any grid to any grid.

Not part of the deployed student: they exist only while it is being trained.

| projector | what it does | readings |
|---|---|---|
| `Identity` | nothing, for equal shapes | any |
| `Resize` | the grid alone, for equal channels | map to map |
| `Conv1x1` | one linear layer for all positions | map to map |
| `MLP` | two layers | map to map, vector to vector |
| `PooledLinear` | the mean over positions, one linear layer | map or vector to vector |
| `Orthogonal` | a linear layer that keeps distances (VkD) | map to map, vector or map to vector |
| `GroupLinear` | a linear layer per 4x4 positions (CAKD) | map to map |
| `PartialCrossAttention` | self-attention over positions (CAKD) | map to map |
| `Translator` | convolutions that change the grid (Theia) | map to map |
| `OFAHead` | logits from any stage (OFA-KD), as a branch's head | map or vector to logits |
| `AttentionMask` | where attention is strong, as a teacher's head | attention to a mask |
"""

from xkd.projectors.attention_mask import AttentionMask
from xkd.projectors.conv import Conv1x1
from xkd.projectors.group_linear import GroupLinear
from xkd.projectors.identity import Identity
from xkd.projectors.mlp import MLP
from xkd.projectors.ofa_head import OFAHead
from xkd.projectors.orthogonal import Orthogonal
from xkd.projectors.partial_cross_attention import PartialCrossAttention
from xkd.projectors.pooled_linear import PooledLinear
from xkd.projectors.projector import Projector
from xkd.projectors.resize import Resize
from xkd.projectors.translator import Translator

__all__ = [
    "MLP",
    "AttentionMask",
    "Conv1x1",
    "GroupLinear",
    "Identity",
    "OFAHead",
    "Orthogonal",
    "PartialCrossAttention",
    "PooledLinear",
    "Projector",
    "Resize",
    "Translator",
]
