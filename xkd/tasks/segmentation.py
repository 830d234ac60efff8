"""Segmentation: a class for every pixel, by the simplest head there is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score, MulticlassJaccardIndex

from xkd.batch import Batch
from xkd.networks.logits import no_tensor

_UNKNOWN: Final = -1  # target of a pixel that nobody labelled


class PixelHead(nn.Module):
    """A 1x1 convolution on the feature map of a backbone: (B, C, H, W) to logits (B, K, h, w) on the map's own grid.

    `backbone` gives one map in a list and knows its channels, as `timm.create_model(..., features_only=True, out_indices=(2,))`
    does; the grid is coarser than the image by that stage's stride.
    """

    def __init__(self, backbone: Any, num_classes: int) -> None:
        super().__init__()
        # a whole timm classifier has a plain list there, a features_only one an object
        channels = list(getattr(backbone.feature_info, "channels", list)()) if hasattr(backbone, "feature_info") else []
        if len(channels) != 1:
            raise ValueError(
                f"PixelHead needs a backbone with one feature map, {type(backbone).__name__} has {len(channels)}: "
                "timm.create_model(..., features_only=True, out_indices=(2,))"
            )
        self.backbone = backbone
        self.classifier = nn.Conv2d(channels[0], num_classes, 1)

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k y x"]:
        logits: Tensor = self.classifier(self.backbone(images)[0])
        return logits


@dataclass(frozen=True)
class Segmentation:
    """Outputs are logits (B, K, H, W) on the grid of the masks, to which the network's own are interpolated bilinearly.

    Targets (B, H, W) are class indices, -1 where a pixel does not count; a dataset makes them with `target="mask"`.
    """

    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        if len(self.classes) < 2 or len(set(self.classes)) < len(self.classes):
            raise ValueError(f"segmentation needs at least two different classes, got {list(self.classes)}")

    def call(self, model: Callable[[Tensor], Any], images: Float[Tensor, "b c h w"], batch: Batch) -> Float[Tensor, "b k y x"]:
        output = model(images)
        if not isinstance(output, Tensor):
            raise ValueError(no_tensor(output))
        if output.ndim != 4 or output.shape[1] != len(self.classes):
            raise ValueError(
                f"the network gives {tuple(output.shape)}, segmentation into {len(self.classes)} classes {list(self.classes)} needs"
                f" (batch, {len(self.classes)}, height, width); PixelHead makes it of a backbone"
            )
        return F.interpolate(output, size=batch.mask.shape[-2:], mode="bilinear", align_corners=False)

    def predict(self, output: Float[Tensor, "b k y x"]) -> Float[Tensor, "b k y x"]:
        return output.float().softmax(1)

    def metrics(self) -> MetricCollection:
        count = len(self.classes)
        return MetricCollection(
            {
                "mean_iou": MulticlassJaccardIndex(count, average="macro", ignore_index=_UNKNOWN),
                "accuracy": MulticlassAccuracy(count, average="micro", ignore_index=_UNKNOWN),
                "macro_f1": MulticlassF1Score(count, average="macro", ignore_index=_UNKNOWN),
            }
        )

    def example_target(self, rows: int, size: tuple[int, int]) -> Int[Tensor, "b y x"]:
        return (torch.arange(rows)[:, None, None] % len(self.classes)).expand(rows, *size)
