"""What does a detector's step cost beside a loop by hand? The same network, images, boxes and optimiser, with torchvision's own losses.

    python tools/benchmark.py detector
    python tools/benchmark.py detector --backbone resnet50 --size 640 640 --batch 16  # on a GPU

By hand: timm's backbone, torchvision's pyramid and FCOS head, and `FCOS.compute_loss` of lists of boxes, with the order of memory in which
convolutions are fastest. xkd: a branch of `DenseDetector` and a term of `FCOS`. Both begin with the same weights; the first losses are
printed, which agree. They take turns, one step each, first now the one and now the other. On a CPU the time is the process's own, so that
other work on the machine counts little.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import timm
import torch
from rich.table import Table
from torch import Tensor, nn
from torchvision.models import detection
from training_job import RATE, moment

from xkd.batch import Batch, View
from xkd.engine.screen import Screen
from xkd.graph.branch import Branch
from xkd.graph.distiller import Distiller
from xkd.graph.example import example_batch
from xkd.graph.term import Term
from xkd.graph.weights import Random
from xkd.losses import FCOS
from xkd.modalities import RGB
from xkd.networks import DenseDetector
from xkd.tasks import Detection

TASK = Detection(("person", "car"))
Step = Callable[[], float]  # the loss of one step, which it takes


def target_of(images: int, boxes: int) -> Tensor:
    """(B, M, 5) of shares of the image and a class, in each image as many boxes."""
    generator = torch.Generator().manual_seed(0)
    low = 0.7 * torch.rand((images, boxes, 2), generator=generator)
    side = 0.05 + 0.25 * torch.rand((images, boxes, 2), generator=generator)
    label = torch.randint(len(TASK.names), (images, boxes, 1), generator=generator)
    return torch.cat([low, low + side, label], 2)


def by_xkd(network: nn.Module, view: View, batch: Batch) -> Step:
    branch = Branch(network, view, Random())
    distiller = Distiller({"rgb": branch}, {"boxes": Term(FCOS(), "rgb.output", "batch.target")}, "rgb", TASK)
    distiller.to(batch.target.device).train().bind()
    optimizer = torch.optim.AdamW(distiller.parameters(), lr=RATE, fused=True)

    def step() -> float:
        loss: Any = distiller(batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


def by_hand(network: Any, view: View, batch: Batch) -> Step:
    network = network.to(batch.target.device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, fused=True)
    device, (height, width) = batch.target.device, view.size
    mean, std = (torch.tensor(of, device=device).reshape(1, -1, 1, 1) for of in (view.modality.mean, view.modality.std))
    corners = torch.tensor([width, height, width, height], device=device)
    targets = [{"boxes": of[:, :4] * corners, "labels": of[:, 4].long()} for of in batch.target]
    torchvisions = detection.FCOS.__new__(detection.FCOS)  # its losses without its own network
    nn.Module.__init__(torchvisions)
    torchvisions.head, torchvisions.center_sampling_radius = network.head, 1.5

    def step() -> float:
        images = (batch.views[view.name].float() - mean) / std
        maps = network.backbone(images.contiguous(memory_format=torch.channels_last))
        levels = list(network.pyramid({str(place): one for place, one in enumerate(maps)}).values())
        anchors = torch.cat([anchors_of(level, view.size) for level in levels])
        counts = [level.shape[2] * level.shape[3] for level in levels]
        losses = torchvisions.compute_loss(targets, network.head(levels), [anchors] * len(images), counts)
        loss: Any = torch.stack(list(losses.values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


def anchors_of(level: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, 4) x1 y1 x2 y2 in pixels: a level's cells."""
    high, wide = size[0] / level.shape[2], size[1] / level.shape[3]
    y, x = torch.meshgrid(
        torch.arange(level.shape[2], device=level.device), torch.arange(level.shape[3], device=level.device), indexing="ij"
    )
    return torch.stack([x * wide, y * high, (x + 1) * wide, (y + 1) * high], 2).reshape(-1, 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="tf_efficientnet_lite0", help="timm's name (%(default)s)")
    parser.add_argument("--size", type=int, nargs=2, default=(192, 288), help="height and width (192 288)")
    parser.add_argument("--batch", type=int, default=8, help="images per step (%(default)s)")
    parser.add_argument("--boxes", type=int, default=6, help="in each image (%(default)s)")
    parser.add_argument("--turns", type=int, default=20, help="that count (%(default)s)")
    parser.add_argument("--warm", type=int, default=3, help="turns before them (%(default)s)")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    view = View("rgb", RGB(), tuple(options.size))
    batch = example_batch([view], TASK, options.batch, device)
    batch.target = target_of(options.batch, options.boxes).to(device)
    torch.manual_seed(0)
    network = DenseDetector(timm.create_model(options.backbone, features_only=True, out_indices=(2, 3, 4)), len(TASK.names))
    steps = {"by hand": by_hand(deepcopy(network), view, batch), "xkd": by_xkd(network, view, batch)}
    now = moment if device.type == "cuda" else time.process_time
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    losses: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(options.warm + options.turns):
        for name in list(steps)[:: 1 if turn % 2 else -1]:
            begun = now()
            losses[name].append(steps[name]())
            seconds[name].append(now() - begun)
    counted = {name: of[options.warm :] for name, of in seconds.items()}
    table = Table("side", "ms per step, median", "times by hand", "first loss")
    table.title = f"{options.backbone}, {options.size[0]} x {options.size[1]} px, batch {options.batch}, {options.turns} turns"
    for name, of in counted.items():
        ratio = statistics.median(own / base for own, base in zip(of, counted["by hand"], strict=True))
        table.add_row(name, f"{1000 * statistics.median(of):.1f}", f"{ratio:.3f}", f"{losses[name][0]:.5f}")
    Screen().print(table)
    where = torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} threads, the process's own time"
    print(f"{where}, torch {torch.__version__}, float32")


if __name__ == "__main__":
    main()
