"""What networks on a backbone's maps share: how wide the maps are, and channels first."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor


def widths_of(backbone: Any, network: str) -> tuple[int, ...]:
    """Channels of each of the maps that a backbone gives; `ValueError` for one that gives none."""
    # a whole timm classifier has a plain list there, a features_only one an object
    widths = tuple(getattr(backbone.feature_info, "channels", list)()) if hasattr(backbone, "feature_info") else ()
    if not widths:
        raise ValueError(
            f"{network} needs a backbone that gives maps, {type(backbone).__name__} gives none: "
            "timm.create_model(..., features_only=True, out_indices=(2, 3, 4))"
        )
    return widths


def channels_first(one: Float[Tensor, "b _ _ _"], width: int) -> Float[Tensor, "b c y x"]:
    """Some transformers of timm's give (B, H, W, C)."""
    return one if one.shape[1] == width else one.permute(0, 3, 1, 2)
