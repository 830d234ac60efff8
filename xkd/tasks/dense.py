"""Dense regression: a number or several for every pixel, such as a distance, an index of vegetation or a temperature."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from xkd.batch import Annotation, Batch, Number
from xkd.losses.precision import widen
from xkd.networks.logits import no_tensor
from xkd.statistics.measures import Measures
from xkd.tasks.dense_measures import PixelErrors
from xkd.tasks.task import TOLERANCE, Reply, Task


@dataclass(frozen=True)
class Dense(Task):
    """Outputs (B, C, H, W) are quantities in their units on the grid of the targets, to which the network's own are interpolated.

    Targets (B, C, H, W) are NaN where nobody knows; a dataset makes them with `target="view:NAME"` of what a sensor measured. In a config
    `quantities=dict(type=xkd.quantities, view=depth)` takes the names, units and ranges from that view.

    The network's own outputs are shares of half of each range, counted from its middle, so that a fresh head begins inside. Judged by MAE,
    RMSE and R2. `ratios=True` is for distances and others whose ratios count: then what the network gives are shares of the range's
    logarithm, by a sigmoid so that every answer is inside the range, which begins above 0; judged by AbsRel, RMSE and the share of pixels
    within a factor of 1.25.
    """

    quantities: tuple[Number, ...]
    ratios: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "quantities", tuple(self.quantities))
        if not self.quantities or len(set(self.names)) < len(self.quantities):
            raise ValueError(f"dense regression needs one quantity or several of different names, got {list(self.names)}")
        if self.ratios and (low := [number.described for number in self.quantities if number.range[0] <= 0]):
            raise ValueError(
                f"ratios=True needs ranges above 0, got {low[0]}: give the sensor a range from above 0, such as"
                " sensor(..., changes=dict(range=(2.0, 80.0))), or state the quantity as Number(name, unit, range)"
            )

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(number.name for number in self.quantities)

    @property
    def noun(self) -> str:
        return "quantities"

    @property
    def annotation(self) -> Annotation:
        return Annotation("quantities", self.names, self.quantities)

    @property
    def described(self) -> tuple[str, ...]:
        return tuple(number.described for number in self.quantities)

    @property
    def grid(self) -> bool:
        return True

    def misfit(self, annotation: Annotation, where: str) -> str:
        """The range is the task's own; what is measured, and in which unit, is the sensor's."""
        if annotation.kind != "quantities":
            return super().misfit(annotation, where)
        own, theirs = ([(number.name, number.unit) for number in numbers] for numbers in (self.quantities, annotation.numbers))
        if own == theirs:
            return ""
        others = [number.described for number in annotation.numbers]
        return f"the task's quantities {list(self.described)} are not those of the target, of {where}: {others}, in names, units and order"

    def call(self, model: Callable[[Tensor], Any], images: Float[Tensor, "b c h w"], batch: Batch) -> Float[Tensor, "b q y x"]:
        output, count = model(images), len(self.quantities)
        if not isinstance(output, Tensor):
            raise ValueError(no_tensor(output))
        if output.ndim != 4 or output.shape[1] != count:
            raise ValueError(
                f"the network gives {tuple(output.shape)}, dense regression of {count} quantities {list(self.names)} needs (batch, {count},"
                f" height, width); PixelDecoder(backbone, num_outputs={count}) makes it of a backbone"
            )
        return self.in_units(F.interpolate(output, size=batch.mask.shape[-2:], mode="bilinear", align_corners=False))

    def in_units(self, raw: Float[Tensor, "b q y x"]) -> Float[Tensor, "b q y x"]:
        shares: Tensor = widen(raw)  # half precision has 3 digits: too few for a small deviation from a middle of 300
        low, high = (shares.new_tensor(ends)[:, None, None] for ends in zip(*(number.range for number in self.quantities), strict=True))
        if not self.ratios:
            return (low + high) / 2 + (high - low) / 2 * shares
        # near 0 the slope is that of the logarithm's share of half of its range
        return low * (high / low) ** torch.sigmoid(2 * shares)

    def predict(self, output: Float[Tensor, "b q y x"]) -> Float[Tensor, "b q y x"]:
        return output.float()

    def choose(self, output: Float[Tensor, "b q y x"]) -> Int[Tensor, " b"]:
        raise ValueError(f"pixels have numbers of their own, of {list(self.names)}, and a whole image has none that could be explained")

    def score(self, output: Float[Tensor, "b q y x"], chosen: Int[Tensor, " b"] | None = None) -> Float[Tensor, ""]:
        """Of all quantities and pixels together, as shares of their ranges."""
        if chosen is not None:
            raise ValueError(f"grad_cam explains one score per class, (batch, classes); this task's output is {tuple(output.shape)}")
        return (output / self._spans(output)).sum()

    def loss(self, output: Float[Tensor, "b q y x"], target: Float[Tensor, "b q y x"]) -> Float[Tensor, ""]:
        """Mean absolute error of known pixels, as a share of the ranges."""
        known = ~target.isnan()
        errors = torch.where(known, (output - target) / self._spans(output), 0.0)
        return errors.abs().sum() / known.sum().clamp(min=1)

    def example_target(self, rows: int, size: tuple[int, int]) -> Float[Tensor, "b q y x"]:
        place = ((torch.arange(rows) + 0.5) / rows).reshape(-1, 1, 1, 1)
        low = torch.tensor([number.range[0] for number in self.quantities]).reshape(-1, 1, 1)
        return (low + place * self._spans(low)).expand(rows, -1, *size)

    def _spans(self, like: Tensor) -> Float[Tensor, "q 1 1"]:
        return like.new_tensor([number.range[1] - number.range[0] for number in self.quantities])[:, None, None]

    def measures(self) -> Measures:
        return PixelErrors(self.quantities, self.ratios).measures()

    def answer(self, prediction: Float[Tensor, "q y x"], target: Float[Tensor, "q y x"] | None = None) -> Reply:
        """The mean of each quantity over the image, and of the errors of known pixels."""
        means, low, high = prediction.mean((1, 2)), prediction.amin((1, 2)), prediction.amax((1, 2))
        off = ""
        if target is not None and not (errors := (prediction - target).abs().nanmean((1, 2))).isnan().all():
            off = f"off by {self._said(errors)}"
        cells = tuple(f"{value:.6g}" for of in zip(means.tolist(), low.tolist(), high.tolist(), strict=True) for value in of)
        values = dict(zip(self.names, means.tolist(), strict=True))
        return Reply(f"mean {self._said(means)}", off, values=values, cells=cells, levels=self._levels(prediction))

    def truth(self, target: Float[Tensor, "q y x"]) -> Reply:
        known = (~target.isnan()).float().mean().item()
        if not known:
            return Reply("nothing measured", levels=self._levels(target))
        return Reply(f"mean {self._said(target.nanmean((1, 2)))} in {known:.0%} of the pixels", levels=self._levels(target))

    def _levels(self, values: Float[Tensor, "q y x"]) -> dict[str, Tensor]:
        """Of ratios the logarithm is shown: near differences count as much as far ones of the same share."""
        low, high = (values.new_tensor(ends)[:, None, None] for ends in zip(*(number.range for number in self.quantities), strict=True))
        if not self.ratios:
            return dict(zip(self.described, (values - low) / (high - low), strict=True))
        names = [f"{words}, logarithmic" for words in self.described]
        return dict(zip(names, (values / low).log() / (high / low).log(), strict=True))

    def _said(self, values: Float[Tensor, " q"]) -> str:
        shown = [f"{value:.3g} {number.unit}".rstrip() for number, value in zip(self.quantities, values.tolist(), strict=True)]
        return shown[0] if len(shown) == 1 else ", ".join(f"{name} {text}" for name, text in zip(self.names, shown, strict=True))

    @property
    def suffix(self) -> str:
        return ".tif"

    def pixel_file(self, prediction: Float[Tensor, "q y x"]) -> bytes:
        """Numbers in their units, 32-bit floats, a page for each quantity."""
        tiff, (first, *others) = io.BytesIO(), [Image.fromarray(page.float().numpy()) for page in prediction]
        first.save(tiff, "TIFF", save_all=True, append_images=others)
        return tiff.getvalue()

    @property
    def columns(self) -> tuple[str, ...]:
        units = [f" [{number.unit}]" if number.unit else "" for number in self.quantities]
        return tuple(f"{of} {name}{unit}" for name, unit in zip(self.names, units, strict=True) for of in ("mean", "lowest", "highest"))

    @property
    def recipe(self) -> Mapping[str, Any]:
        return {"kind": "levels", "names": list(self.names), "columns": list(self.columns), "suffix": ".npy"}

    @property
    def outputs(self) -> Mapping[str, str]:
        return {"quantities": f"(batch, {len(self.quantities)}, {{height}}, {{width}}) float32: {', '.join(self.described)}"}

    @property
    def tolerance(self) -> float:
        return TOLERANCE * max(number.range[1] - number.range[0] for number in self.quantities)
