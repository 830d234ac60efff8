"""Where a network looks, and how well that place agrees with a mask."""

from xkd.attention.grad_cam import grad_cam
from xkd.attention.maps import attention_map
from xkd.attention.rollout import rollout
from xkd.attention.scores import attention_scores, energy_lift, energy_pointing_game, mask_iou, pointing_game

__all__ = ["attention_map", "attention_scores", "energy_lift", "energy_pointing_game", "grad_cam", "mask_iou", "pointing_game", "rollout"]
