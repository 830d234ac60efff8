"""How well attention agrees with a mask: energy inside, lift over chance, pointing game, intersection over union, empty maps.

All take attention (B, 1, H, W), of which only the positive part counts, and a mask (B, 1, Y, X) with the share of each pixel
inside the region of interest (0..1), and give one value per row. Attention is first brought to the mask's size: bilinear
(corners not aligned) where it grows, averaged where it shrinks. A row is undefined, NaN, where its mask is empty: there is nothing to
find. Attention without a positive value has found nothing and scores 0, as in the code of Rao et al., ICCV 2023, arXiv:2303.11932;
`no_map` says how often that is, since a network that closes its eyes is another than one that looks elsewhere.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from xkd.grid import resize

INSIDE = 0.5  # a pixel belongs to the mask from this share on, where a score needs yes or no


def attention_scores(attention: Float[Tensor, "b 1 h w"], mask: Float[Tensor, "b 1 y x"]) -> dict[str, Float[Tensor, " b"]]:
    """Every score at its default: "no_map", "epg", "epg_lift", "pointing_game", "iou"."""
    return {
        "no_map": no_map(attention, mask),
        "epg": energy_pointing_game(attention, mask),
        "epg_lift": energy_lift(attention, mask),
        "pointing_game": pointing_game(attention, mask),
        "iou": mask_iou(attention, mask),
    }


def no_map(attention: Float[Tensor, "b 1 h w"], mask: Float[Tensor, "b 1 y x"]) -> Float[Tensor, " b"]:
    """1 where nothing of the attention is positive, else 0: its mean is the share of empty maps."""
    attention, mask = _prepared(attention, mask)
    return _where((mask > 0).flatten(1).any(1), (~_has_energy(attention)).to(attention.dtype))


def energy_pointing_game(attention: Float[Tensor, "b 1 h w"], mask: Float[Tensor, "b 1 y x"]) -> Float[Tensor, " b"]:
    """EPG: the share of positive attention that falls inside the mask, 0..1.

    Wang et al., "Score-CAM", CVPR Workshops 2020, arXiv:1910.01279, section 4.3, there with boxes; as a loss it is `MaskEnergy`.
    """
    attention, mask = _prepared(attention, mask)
    share = (attention * mask).sum((1, 2, 3)) / attention.sum((1, 2, 3))
    return _where((mask > 0).flatten(1).any(1), _or_zero(attention, share))


def energy_lift(attention: Float[Tensor, "b 1 h w"], mask: Float[Tensor, "b 1 y x"]) -> Float[Tensor, " b"]:
    """EPG over the mask's share of the image: 1 is what attention spread evenly would get, 0 is none inside.

    Ours: the plain share cannot be compared between small and large lesions.
    """
    return energy_pointing_game(attention, mask) / mask.float().mean((1, 2, 3))


def lift_within(
    attention: Float[Tensor, "b 1 h w"], mask: Float[Tensor, "b 1 y x"], around: Float[Tensor, "b 1 y x"]
) -> Float[Tensor, " b"]:
    """EPG lift over an object, not the image: of the attention on `around` (a leaf), the share in `mask` (its lesions), over their areas.

    1 is what attention spread evenly over the object would get. A control: a network that merely finds the leaf has a high `energy_lift`
    and 1 here. `around` is taken to hold the mask.
    """
    whole = torch.maximum(mask.to(around), around)
    lift = energy_lift(attention, mask)
    # all of it beside the object is 0 over 0, which says nothing
    return torch.where(no_map(attention, mask) > 0, lift, lift / energy_lift(attention, whole))


def pointing_game(attention: Float[Tensor, "b 1 h w"], mask: Float[Tensor, "b 1 y x"], tolerance: float = 0.0) -> Float[Tensor, " b"]:
    """1 where the strongest pixel lies in the mask (share of at least one half) or within `tolerance` pixels of it, else 0.

    Zhang et al., "Top-Down Neural Attention by Excitation Backprop", IJCV 2018, arXiv:1608.00507, who allow 15 pixels on VOC. Where
    several pixels share the maximum the value is the share of them that hit, what a random one of them would get.
    """
    attention, mask = _prepared(attention, mask)
    inside = mask >= INSIDE
    target = _dilated(inside, tolerance) if tolerance > 0 else inside
    strongest = attention == attention.amax((1, 2, 3), keepdim=True)
    hits = (strongest & target).sum((1, 2, 3)) / strongest.sum((1, 2, 3))
    return _where(inside.flatten(1).any(1), _or_zero(attention, hits))


def mask_iou(attention: Float[Tensor, "b 1 h w"], mask: Float[Tensor, "b 1 y x"], threshold: float = 0.5) -> Float[Tensor, " b"]:
    """Intersection over union of the mask (share of at least one half) and the pixels above `threshold` of the min-max scaled attention.

    As in Rao et al., "Studying How to Efficiently and Effectively Guide Models with Explanations", ICCV 2023, arXiv:2303.11932,
    metrics.py. A flat map has no scale and is undefined, unless it is empty.
    """
    attention, mask = _prepared(attention, mask)
    low, high = attention.amin((1, 2, 3), keepdim=True), attention.amax((1, 2, 3), keepdim=True)
    looked, inside = attention > low + threshold * (high - low), mask >= INSIDE
    overlap = (looked & inside).sum((1, 2, 3)) / (looked | inside).sum((1, 2, 3))
    scaled = (high > low).flatten() | ~_has_energy(attention)
    return _where(scaled & inside.flatten(1).any(1), _or_zero(attention, overlap))


def _prepared(attention: Tensor, mask: Tensor) -> tuple[Float[Tensor, "b 1 y x"], Float[Tensor, "b 1 y x"]]:
    if attention.ndim != 4 or mask.ndim != 4 or attention.shape[:2] != mask.shape[:2] or attention.shape[1] != 1:
        raise ValueError(f"attention {tuple(attention.shape)} and mask {tuple(mask.shape)} must be (B, 1, H, W), with the same B")
    if not torch.isfinite(attention).all():
        rows = (~torch.isfinite(attention)).flatten(1).any(1).nonzero().flatten().tolist()
        raise ValueError(f"attention is not finite in rows {rows}")
    # cut off before the resizing: negative attention does not cancel its positive neighbours
    positive = attention.detach().float().clamp(min=0)
    return resize(positive, (mask.shape[-2], mask.shape[-1])), mask.to(positive)


def _has_energy(attention: Float[Tensor, "b 1 h w"]) -> Bool[Tensor, " b"]:
    return attention.amax((1, 2, 3)) > 0


def _or_zero(attention: Float[Tensor, "b 1 h w"], score: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    return torch.where(_has_energy(attention), score, 0.0)


def _where(defined: Bool[Tensor, " b"], score: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    return torch.where(defined, score, torch.nan)


def _dilated(inside: Bool[Tensor, "b 1 h w"], radius: float) -> Bool[Tensor, "b 1 h w"]:
    reach = int(radius)
    offsets = torch.arange(-reach, reach + 1, device=inside.device)
    disc = (offsets[:, None] ** 2 + offsets[None] ** 2 <= radius**2).float()
    return F.conv2d(inside.float(), disc[None, None], padding=reach) > 0
