"""Small networks, sensors and batches for the tests of the core: no files, no OpenCV, milliseconds each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jaxtyping
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from xkd.batch import Batch, View
from xkd.geometry import Box, Matrix
from xkd.graph.branch import Branch
from xkd.graph.weights import Random
from xkd.losses.boxes import example_output
from xkd.modality import Shot
from xkd.statistics import Measures, Statistic, TestRun
from xkd.taps import Tap
from xkd.tasks import Classification, Segmentation

torch.set_num_threads(1)  # threads that wait for each other cost tensors this small forty times their work

CLASSES = ("healthy", "rust", "blight")
TASK = Classification(CLASSES)


def measures_of(run: TestRun) -> Measures:
    """Of the task that rows with such targets have."""
    names = tuple(map(str, range(run.predictions.shape[1])))
    kinds = {1: Classification, 2: lambda classes: Classification(classes, multilabel=True), 3: Segmentation}
    return kinds[run.target.ndim](names).measures()


def metrics_of(run: TestRun) -> dict[str, Statistic]:
    return {measure.name: measure.statistic for measure in measures_of(run).main}


@dataclass(frozen=True)
class Sensor:
    """A sensor that exists only as numbers."""

    name: str = "rgb"
    channels: int = 3
    unit: str = "counts"
    range: tuple[float, float] = (0.0, 255.0)
    mean: tuple[float, ...] = (120.0, 110.0, 100.0)
    std: tuple[float, ...] = (50.0, 55.0, 60.0)

    row_keys: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()

    @property
    def outside(self) -> tuple[float, ...]:
        return self.mean

    def read(self, shot: Shot) -> NDArray[Any]:
        raise FileNotFoundError(shot.only)

    def place(self, reading: NDArray[Any], matrix: Matrix, size: tuple[int, int], crop: Box) -> NDArray[Any]:
        return reading

    def jitter(self, image: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        return image

    def show(self, image: NDArray[Any]) -> NDArray[np.uint8]:
        return image.astype(np.uint8)


RGB = Sensor()
THERMAL = Sensor("thermal", 1, "K", (280.0, 320.0), (300.0,), (10.0,))
RGB_VIEW = View("rgb", RGB, (16, 16))
THERMAL_VIEW = View("thermal", THERMAL, (16, 24))


class CNN(nn.Module):
    """Two stages with batch normalisation and dropout: "stem" (B, 10, H/2, W/2), "deep" (B, width, H/4, W/4), then logits."""

    def __init__(self, channels: int = 3, width: int = 12, num_classes: int = len(CLASSES)) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(channels, 10, 3, 2, 1), nn.BatchNorm2d(10), nn.GELU())
        self.deep = nn.Sequential(nn.Conv2d(10, width, 3, 2, 1), nn.BatchNorm2d(width), nn.GELU())
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.drop(self.deep(self.stem(images)).mean((2, 3))))
        return logits


class Places(nn.Module):
    """A detector of 20 places, in cells of 4 x 4 and 2 x 2, whose scores alone it learns, from the level of each of three channels."""

    output: Tensor

    def __init__(self, num_classes: int = 2) -> None:
        super().__init__()
        self.register_buffer("output", example_output(torch.Generator().manual_seed(0), num_classes)[0].float())
        self.scores = nn.Linear(3, 20 * num_classes)

    def forward(self, images: Tensor) -> Tensor:
        logits = self.scores(images.mean((2, 3))).reshape(len(images), 20, -1)
        fixed = self.output.expand(len(images), -1, -1)
        return torch.cat([fixed[..., :5], logits, fixed[..., -4:]], 2)


class PixelCNN(nn.Module):
    """An answer (B, outputs, H/2, W/2) for pixels."""

    def __init__(self, channels: int = 3, outputs: int = 1) -> None:
        super().__init__()
        self.deep = nn.Sequential(nn.Conv2d(channels, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.outputs = nn.Conv2d(8, outputs, 3, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        answers: Tensor = self.outputs(self.deep(images))
        return answers


def rgb_branch(taps: Mapping[str, Tap] | None = None, **options: Any) -> Branch:
    return Branch(CNN(3), RGB_VIEW, options.pop("weights", Random()), taps, **options)


def thermal_branch(taps: Mapping[str, Tap] | None = None, **options: Any) -> Branch:
    weights = options.pop("weights", Random(options.get("frozen", False)))
    return Branch(CNN(1, width=20), THERMAL_VIEW, weights, taps, **options)


def make_batch(rows: int = 6, seed: int = 0, views: tuple[View, ...] = (RGB_VIEW, THERMAL_VIEW), **changes: Any) -> Batch:
    """Full rows whose class is plain in every view: the image's level says which."""
    generator = torch.Generator().manual_seed(seed)
    target = torch.arange(rows) % len(CLASSES)
    images = {}
    for view in views:
        mean, std = (torch.tensor(v).reshape(1, -1, 1, 1) for v in (view.modality.mean, view.modality.std))
        noise = torch.randn((rows, view.modality.channels, *view.size), generator=generator)
        images[view.name] = mean + std * (0.3 * noise + (target - 1.0).reshape(-1, 1, 1, 1))
    everything = torch.ones(rows, dtype=torch.bool)
    fields: dict[str, Any] = {
        "views": images,
        "present": {view.name: everything.clone() for view in views},
        "target": target,
        "labelled": everything.clone(),
        "mask": (torch.rand((rows, 1, *views[0].size), generator=generator) > 0.5).float(),
        "masked": everything.clone(),
        "index": torch.arange(rows),
        "draw": torch.zeros(rows, dtype=torch.long),
    }
    return Batch(**{**fields, **changes})


def state(module: nn.Module) -> dict[str, Tensor]:
    """A copy of the module's tensors, to compare with later."""
    return {key: value.clone() for key, value in module.state_dict().items()}


def changed(module: nn.Module, before: Mapping[str, Tensor]) -> list[str]:
    """Names of the tensors that differ from `before`."""
    return [key for key, value in module.state_dict().items() if not torch.equal(value, before[key])]


@contextmanager
def unchecked() -> Iterator[None]:
    """Without jaxtyping's checks of shapes: what a user sees, who has them off."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", before)


class Painter(nn.Module):
    """An image of an image of the same size."""

    def __init__(self) -> None:
        super().__init__()
        self.paint = nn.Conv2d(3, 3, 1)

    def forward(self, images: Tensor) -> Tensor:
        painted: Tensor = self.paint(images)
        return painted
