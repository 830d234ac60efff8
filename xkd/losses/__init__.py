"""Losses: one paper per file, called as `loss(student, teacher)`.

A further parameter named `target`, `mask` or `index` asks for that field of the batch. Each returns the mean over the rows it is
given, in float32 or better (half precision is widened, autocast is off). A loss on relations among rows is 0 for a single one.
"""

from xkd.losses.activation import Activation
from xkd.losses.askd import ASKD
from xkd.losses.at import AT
from xkd.losses.attention_cosine import AttentionCosine
from xkd.losses.attention_kl import AttentionKL
from xkd.losses.bckd import BCKD
from xkd.losses.catkd import CATKD
from xkd.losses.cc import CC
from xkd.losses.crd import CRD
from xkd.losses.cross_entropy import BinaryCrossEntropy, CrossEntropy
from xkd.losses.cwd import CWD
from xkd.losses.dicod import DICOD, SmoothedBoxes
from xkd.losses.dist import DIST
from xkd.losses.dkd import DKD
from xkd.losses.edge_smooth_l1 import EdgeSmoothL1
from xkd.losses.even_classes import EvenClasses
from xkd.losses.fcos import FCOS
from xkd.losses.fitnet import FitNet
from xkd.losses.frequency_split import FrequencySplit
from xkd.losses.fsp import FSP
from xkd.losses.hkd import HKD
from xkd.losses.ickd import ICKD
from xkd.losses.irg import IRG
from xkd.losses.kd import KD
from xkd.losses.mask_energy import MaskEnergy
from xkd.losses.masked_feature import MaskedFeature
from xkd.losses.mgd import MGD
from xkd.losses.mlkd import MLKD
from xkd.losses.modality_discriminator import ModalityDiscriminator
from xkd.losses.nkd import NKD
from xkd.losses.norm_statistics import NormStatistics
from xkd.losses.normalized_distance import NormalizedDistance
from xkd.losses.nst import NST
from xkd.losses.numbers import L1, MSE, GaussianNLL, SmoothL1, VarianceKD
from xkd.losses.ofa import OFA
from xkd.losses.ofd import OFD
from xkd.losses.own_class import OwnClass
from xkd.losses.pixel_l1 import PixelL1
from xkd.losses.pkt import PKT
from xkd.losses.pod import POD, PODFlat
from xkd.losses.review_kd import ReviewKD
from xkd.losses.rkd import RKD
from xkd.losses.scale_invariant_log import ScaleInvariantLog
from xkd.losses.sigmoid_kd import SigmoidKD
from xkd.losses.sp import SP
from xkd.losses.token_similarity import TokenSimilarity
from xkd.losses.vid import VID
from xkd.losses.wkd import WKD

__all__ = [
    "ASKD",
    "AT",
    "BCKD",
    "CATKD",
    "CC",
    "CRD",
    "CWD",
    "DICOD",
    "DIST",
    "DKD",
    "FCOS",
    "FSP",
    "HKD",
    "ICKD",
    "IRG",
    "KD",
    "L1",
    "MGD",
    "MLKD",
    "MSE",
    "NKD",
    "NST",
    "OFA",
    "OFD",
    "PKT",
    "POD",
    "RKD",
    "SP",
    "VID",
    "WKD",
    "Activation",
    "AttentionCosine",
    "AttentionKL",
    "BinaryCrossEntropy",
    "CrossEntropy",
    "EdgeSmoothL1",
    "EvenClasses",
    "FitNet",
    "FrequencySplit",
    "GaussianNLL",
    "MaskEnergy",
    "MaskedFeature",
    "ModalityDiscriminator",
    "NormStatistics",
    "NormalizedDistance",
    "OwnClass",
    "PODFlat",
    "PixelL1",
    "ReviewKD",
    "ScaleInvariantLog",
    "SigmoidKD",
    "SmoothL1",
    "SmoothedBoxes",
    "TokenSimilarity",
    "VarianceKD",
]
