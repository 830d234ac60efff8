"""An answer for each pixel from the pyramid of any backbone of timm's: classes, distances, indices.

Kirillov et al., "Panoptic Feature Pyramid Networks", CVPR 2019, arXiv:1901.02446, section 3.1, simplified: every level of the pyramid has
one 3x3 convolution before it is enlarged to the finest one, where theirs has one for each doubling, and they are added up.
"""

from __future__ import annotations

from typing import Any, Final, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import FeaturePyramidNetwork

from xkd.networks.maps import channels_first, widths_of

_GROUPS: Final = 16  # of the group norms


class PixelDecoder(nn.Module):
    """(B, K, H', W') of images (B, C, H, W): on the grid of the backbone's finest map, or with `full=True` on that of the images.

    `backbone` is `timm.create_model(..., features_only=True, out_indices=(1, 2, 3, 4))`, whose finest map then has a quarter of the
    image's pixels a side; each map is a level. `num_outputs` are classes (`Segmentation`, raw scores) or quantities (`Dense`). `channels`,
    a multiple of 16, are those of the pyramid. `full` adds a convolution on all pixels, and its cost: edges that are finer than a cell of
    the grid. Taps: "pyramid.layer_blocks.0" is the finest level, "last" the map before the outputs, "backbone...." the backbone's modules.
    """

    def __init__(self, backbone: Any, num_outputs: int, channels: int = 64, full: bool = False) -> None:
        super().__init__()
        widths = widths_of(backbone, "PixelDecoder")
        if num_outputs < 1 or channels < 1 or channels % _GROUPS:
            raise ValueError(
                f"PixelDecoder has one output or more, and channels are a multiple of {_GROUPS}; got num_outputs={num_outputs},"
                f" channels={channels}"
            )
        self.backbone, self.widths, self.full = backbone, widths, full
        self.pyramid = FeaturePyramidNetwork(list(widths), channels)
        self.levels = nn.ModuleList(_convolution(channels) for _ in widths)
        self.last = _convolution(channels) if full else nn.Identity()
        self.outputs = nn.Conv2d(channels, num_outputs, 1)

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k y x"]:
        maps = {f"level{place}": channels_first(one, width) for place, (one, width) in enumerate(self._maps(images))}
        finest, *others = (level(one) for level, one in zip(self.levels, self.pyramid(maps).values(), strict=True))
        size = finest.shape[2:]
        whole = torch.stack([finest, *(_enlarged(one, size) for one in others)]).sum(0)
        output: Tensor = self.outputs(self.last(_enlarged(whole, images.shape[2:]) if self.full else whole))
        return output

    def _maps(self, images: Float[Tensor, "b c h w"]) -> list[tuple[Tensor, int]]:
        return list(zip(self.backbone(images), self.widths, strict=True))


def _convolution(channels: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.GroupNorm(_GROUPS, channels), nn.ReLU())


def _enlarged(one: Float[Tensor, "b c y x"], size: torch.Size) -> Float[Tensor, "b c _ _"]:
    return F.interpolate(one, size=cast("list[int]", size), mode="bilinear", align_corners=False)
