"""Segmentation: a class for every pixel, by the simplest head there is."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from xkd.batch import Annotation, Batch
from xkd.networks.logits import no_tensor
from xkd.statistics.measures import Measure, Measures, Near, RowScore
from xkd.tasks import class_counts as counts
from xkd.tasks.task import Reply, Task

_UNKNOWN: Final = -1  # target of a pixel that nobody labelled
PIXELS_NOTE: Final = "The images whose own pixel accuracy changed most, mean over seeds: above those that gained, below those that lost."


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
class Segmentation(Task):
    """Outputs are logits (B, K, H, W) on the grid of the masks, to which the network's own are interpolated bilinearly.

    Targets (B, H, W) are class indices, -1 where a pixel does not count; a dataset makes them with `target="mask"`.
    """

    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        if len(self.classes) < 2 or len(set(self.classes)) < len(self.classes):
            raise ValueError(f"segmentation needs at least two different classes, got {list(self.classes)}")

    @property
    def names(self) -> tuple[str, ...]:
        return self.classes

    @property
    def noun(self) -> str:
        return "classes"

    @property
    def annotation(self) -> Annotation:
        return Annotation("pixels", self.classes)

    @property
    def grid(self) -> bool:
        return True

    @property
    def of_classes(self) -> bool:
        return True

    @property
    def exclusive(self) -> bool:
        return True

    def among(self, names: Sequence[str]) -> Segmentation:
        return replace(self, classes=tuple(names))

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

    def choose(self, output: Float[Tensor, "b k y x"]) -> Int[Tensor, " b"]:
        raise ValueError(f"pixels have classes of their own, {list(self.classes)}, and a whole image has none that could be explained")

    def score(self, output: Float[Tensor, "b k y x"], chosen: Int[Tensor, " b"] | None = None) -> Float[Tensor, ""]:
        """Of the predicted classes of all pixels (Seg-Grad-CAM, Vinogradova et al., AAAI 2020, equation 2)."""
        if chosen is not None:
            raise ValueError(f"grad_cam explains one score per class, (batch, classes); this task's output is {tuple(output.shape)}")
        return output.amax(1).sum()

    def loss(self, output: Float[Tensor, "b k y x"], target: Int[Tensor, "b y x"]) -> Float[Tensor, ""]:
        return F.cross_entropy(output, target, ignore_index=_UNKNOWN)

    def example_target(self, rows: int, size: tuple[int, int]) -> Int[Tensor, "b y x"]:
        return (torch.arange(rows)[:, None, None] % len(self.classes)).expand(rows, *size)

    def measures(self) -> Measures:
        of = counts.ClassCounts()
        return Measures(
            # most pixels are background: accuracy rises where a network sees less of the rest
            main=(
                Measure("mean_iou", of.statistic(counts.mean_iou)),
                Measure("macro_f1", of.statistic(counts.macro_f1)),
                Measure("accuracy", of.statistic(counts.accuracy)),
            ),
            aside=(of.calibration(),),
            each=of.recalls(self.classes, None),
            rows=RowScore(
                of.share_right,
                by_degrees=True,  # hardly an image has every pixel right, before or after
                show=lambda share: f"{100 * share:.1f}",
                change=lambda share: f"{100 * share:+.1f}".replace("-", "\N{MINUS SIGN}"),
                columns=("image", "alone, % of pixels right", "distilled, % of pixels right", "change, points"),
                note=PIXELS_NOTE,
            ),
            near=Near(of.fidelity, counts.FIDELITY),
            bins=of.confidence_bins,
            confusion=of.confusion,
            chance=of.chance,
            scale=counts.logarithms,
        )

    def answer(self, prediction: Float[Tensor, "k y x"], target: Int[Tensor, "y x"] | None = None) -> Reply:
        """The class of most pixels, the share of each class, and how many of those that count are right."""
        pixels = prediction.argmax(0)
        shares = torch.bincount(pixels.flatten(), minlength=len(self.classes)) / pixels.numel()
        values = dict(zip(self.classes, shares.tolist(), strict=True))
        most = self.classes[int(shares.argmax())]
        right = ""
        if target is not None and (known := target >= 0).any():
            right = f"{(pixels == target)[known].float().mean().item():.0%} of pixels right"
        cells = (most, *(f"{share:.4f}" for share in values.values()))
        return Reply(said=most, caption=right, chosen=(most,), values=values, cells=cells, pixels=pixels)

    def truth(self, target: Int[Tensor, "y x"]) -> Reply:
        shares = torch.bincount(target[target >= 0], minlength=len(self.classes)) / max(target.numel(), 1)
        said = ", ".join(f"{name} {share:.0%}" for name, share in zip(self.classes, shares.tolist(), strict=True))
        return Reply(said=said, pixels=target)

    @property
    def suffix(self) -> str:
        return ".png"

    def pixel_file(self, prediction: Float[Tensor, "k y x"]) -> bytes:
        """The index of each pixel's class, 8 bits."""
        png = io.BytesIO()
        Image.fromarray(prediction.argmax(0).to(torch.uint8).numpy()).save(png, "PNG")
        return png.getvalue()

    @property
    def columns(self) -> tuple[str, ...]:
        return ("prediction", *self.classes)

    @property
    def recipe(self) -> Mapping[str, Any]:
        return {"kind": "pixels", "names": list(self.names), "columns": list(self.columns), "suffix": ".png"}

    @property
    def outputs(self) -> Mapping[str, str]:
        shape = "(batch, classes, {height}, {width}) float32"
        return {"logits": shape, "probabilities": f"{shape}, 0..1"}
