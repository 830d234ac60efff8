"""A dense one-stage detector whose output is one tensor: FCOS's head on the pyramid of any backbone of timm's.

Tian et al., "FCOS: Fully Convolutional One-Stage Object Detection", ICCV 2019, arXiv:1904.01355, in torchvision's variant: centre-ness on
the branch of the boxes, distances by a ReLU in units of the location's cell, no learned scale per level. Whole detectors of torchvision
answer with lists, which neither a term nor ONNX can read; their parts are used here.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models.detection.fcos import FCOSHead
from torchvision.ops import FeaturePyramidNetwork

from xkd.networks.maps import channels_first, widths_of

_GROUPS: Final = 32  # of the head's group norms


class DenseDetector(nn.Module):
    """(B, N, 9 + K) of images (B, C, H, W): for each of N locations box (4), centre-ness (1), logits of the K classes, and place (4).

    A box is x1 y1 x2 y2 as shares of the image, and may reach out of it. Centre-ness and logits are before their sigmoids. The place is
    the centre x y of the location's cell and the cell's width and height, as shares of the image. `xkd.losses.boxes` names the parts.

    `backbone` is `timm.create_model(..., features_only=True, out_indices=(2, 3, 4))`; each of its maps is a level. `channels`, a multiple
    of 32, are those of the pyramid and the head, whose two towers have `num_convs` convolutions each. Taps: "pyramid.layer_blocks.0" is
    the finest level, "backbone...." the backbone's modules.
    """

    def __init__(self, backbone: Any, num_classes: int, channels: int = 64, num_convs: int = 2) -> None:
        super().__init__()
        widths = widths_of(backbone, "DenseDetector")
        if num_classes < 1 or num_convs < 1 or channels < 1 or channels % _GROUPS:
            raise ValueError(
                f"DenseDetector has one class and one convolution or more, and channels are a multiple of {_GROUPS};"
                f" got num_classes={num_classes}, num_convs={num_convs}, channels={channels}"
            )
        self.backbone, self.widths = backbone, widths
        self.pyramid = FeaturePyramidNetwork(list(widths), channels)
        self.head = FCOSHead(channels, 1, num_classes, num_convs)
        # distances end in a ReLU: where they begin at 0 they may stay 0, boxes without size
        nn.init.ones_(self.head.regression_head.bbox_reg.bias)

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n parts"]:
        maps = {f"level{place}": channels_first(one, width) for place, (one, width) in enumerate(self._maps(images))}
        levels = list(self.pyramid(maps).values())
        found = self.head(levels)
        # coordinates of half precision would be off by pixels
        distances, centreness, logits = (found[name].to(images.dtype) for name in ("bbox_regression", "bbox_ctrness", "cls_logits"))
        places = torch.cat([_cells(level, images.dtype) for level in levels])
        centres, cells = places[:, :2], places[:, 2:]
        boxes = torch.cat([centres - distances[..., :2] * cells, centres + distances[..., 2:] * cells], 2)
        # `len` would fix the batch size of an exported file
        return torch.cat([boxes, centreness, logits, places.expand(images.shape[0], -1, -1)], 2)

    def _maps(self, images: Float[Tensor, "b c h w"]) -> list[tuple[Tensor, int]]:
        return list(zip(self.backbone(images), self.widths, strict=True))


def _cells(level: Float[Tensor, "b c y x"], dtype: torch.dtype) -> Float[Tensor, "n 4"]:
    """Centre x y, width and height of each of a level's equal cells, row by row."""
    height, width = level.shape[2:]
    y, x = ((torch.arange(side, device=level.device, dtype=dtype) + 0.5) / side for side in (height, width))
    down, across = torch.meshgrid(y, x, indexing="ij")
    size = [torch.full_like(across, 1 / width), torch.full_like(across, 1 / height)]
    return torch.stack([across, down, *size], 2).flatten(0, 1)
