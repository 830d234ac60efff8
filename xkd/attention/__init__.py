"""Where a network looks, and how well that place agrees with a mask, with the answer and with the weights."""

from xkd.attention.faithfulness import insertion_deletion
from xkd.attention.grad_cam import grad_cam
from xkd.attention.maps import attention_map
from xkd.attention.sanity import NUM_DRAWS, randomised, rank_correlation, unlearned_correlation
from xkd.attention.scores import attention_scores, energy_lift, energy_pointing_game, lift_within, mask_iou, no_map, pointing_game

__all__ = [
    "NUM_DRAWS",
    "attention_map",
    "attention_scores",
    "energy_lift",
    "energy_pointing_game",
    "grad_cam",
    "insertion_deletion",
    "lift_within",
    "mask_iou",
    "no_map",
    "pointing_game",
    "randomised",
    "rank_correlation",
    "unlearned_correlation",
]
