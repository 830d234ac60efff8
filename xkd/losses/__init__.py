"""Losses: one paper per file, called as `loss(student, teacher)`.

A further parameter named `target`, `mask` or `index` asks for that field of the batch. Each returns the mean over the rows it is
given, in the precision it is given (half precision is widened by the `Term`). A loss on relations among rows is 0 for a single one.
"""

from xkd.losses.at import AT
from xkd.losses.attention_cosine import AttentionCosine
from xkd.losses.crd import CRD
from xkd.losses.cross_entropy import BinaryCrossEntropy, CrossEntropy
from xkd.losses.fitnet import FitNet
from xkd.losses.fsp import FSP
from xkd.losses.kd import KD
from xkd.losses.mask_energy import MaskEnergy
from xkd.losses.nst import NST
from xkd.losses.pkt import PKT
from xkd.losses.rkd import RKD
from xkd.losses.sp import SP

__all__ = [
    "AT",
    "CRD",
    "FSP",
    "KD",
    "NST",
    "PKT",
    "RKD",
    "SP",
    "AttentionCosine",
    "BinaryCrossEntropy",
    "CrossEntropy",
    "FitNet",
    "MaskEnergy",
]
