"""The job that `benchmark_training.py` times: cross-entropy, soft targets and attention transfer, as a config of xkd and by hand."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import timm
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.hooks import Hook
from torch import Tensor, nn

from xkd.engine.config import load_config
from xkd.engine.memory import peak_bytes, reset_peak
from xkd.graph.bfloat16 import bfloat16_pays

STAGES, TAU, BETA, RATE, CLASSES = 2, 4.0, 1000.0, 1e-3, 10  # BETA: AT's authors'
MIDDLE, SPREAD = 127.5, 73.9  # of evenly drawn counts

CONFIG = """
import timm
from torch.optim import AdamW
from xkd.batch import View
from xkd.graph.branch import Branch
from xkd.data.annotations import Masks
from xkd.data.augment import Augment
from xkd.data.cache import TeacherCache
from xkd.data.manifest import sensor
from xkd.data.paired import PairedDataset
from xkd.graph.distiller import Distiller
from xkd.engine.precision import {wrapper}
from xkd.losses import AT, KD, CrossEntropy
from xkd.taps import Tap
from xkd.tasks import Classification
from xkd.graph.term import Term
from xkd.graph.weights import Random

rgb = dict(type=View, name="rgb", modality=dict(type=sensor, root={root!r}, column="rgb"), size=({size}, {size}))
taps = dict(at1=dict(type=Tap, path="stage:-2"), at2=dict(type=Tap, path="stage:-1"))
masks = dict(type=Masks, source="none")
data = dict(type=PairedDataset, root={root!r}, views=[rgb], augment=dict(type=Augment, flip=0.0, jitter=0.0), cache=True, masks=masks)
train_dataloader = dict(batch_size={batch}, num_workers=0, drop_last=True, sampler=dict(shuffle=True), dataset=dict(data, split="train"))
val_dataloader = test_dataloader = dict(batch_size={batch}, dataset=dict(data, split="val"))
distiller = dict(
    type=Distiller,
    student="student",
    task=dict(type=Classification, classes={classes}),
    branches=dict(
        teacher=dict(type=Branch, model=dict(type=timm.create_model, model_name={teacher!r}, num_classes={count}), view=rgb,
                     weights=dict(type=Random, frozen=True), taps=taps, frozen=True, bfloat16={half}, compiled={compiled}),
        student=dict(type=Branch, model=dict(type=timm.create_model, model_name={student!r}, num_classes={count}), view=rgb,
                     weights=dict(type=Random), taps=taps, compiled={compiled}),
    ),
    terms=dict(
        ce=dict(type=Term, loss=dict(type=CrossEntropy), student="student.output", teacher="batch.target"),
        kd=dict(type=Term, loss=dict(type=KD, tau={tau}), student="student.output", teacher="teacher.output"),
        at1=dict(type=Term, loss=dict(type=AT), student="student.at1", teacher="teacher.at1", weight={beta}),
        at2=dict(type=Term, loss=dict(type=AT), student="student.at2", teacher="teacher.at2", weight={beta}),
    ),
)
optim_wrapper = dict(type={wrapper}, optimizer=dict(type=AdamW, lr={rate}, fused=True))
train_cfg = dict(max_epochs=2, val_begin=2)
save_best = "val/accuracy"
teacher_cache = dict(type=TeacherCache, draws=1, folder={folder!r})
"""


@dataclass(frozen=True)
class Job:
    """What every side does."""

    teacher: str
    student: str
    size: int
    batch: int
    steps: int
    warm: int
    device: torch.device
    folder: Path

    @property
    def rows(self) -> int:
        """Enough for all processes."""
        return self.batch * (self.steps + self.warm) * int(os.environ.get("WORLD_SIZE", "1"))

    def networks(self) -> tuple[nn.Module, nn.Module]:
        torch.manual_seed(0)
        made = [timm.create_model(name, num_classes=CLASSES).to(self.device) for name in (self.teacher, self.student)]
        return made[0], made[1]

    def images(self) -> tuple[Tensor, Tensor]:
        """Noise in 8 bits, as a camera's pixels are kept, and labels."""
        rng = np.random.default_rng(0)
        pixels = rng.integers(0, 256, (self.rows, 3, self.size, self.size), np.uint8)
        return torch.from_numpy(pixels), torch.from_numpy(rng.integers(0, CLASSES, self.rows))

    def config(self, compiled: bool = False, half: bool = True) -> Config:
        """That of xkd's sides; its data set holds as many images, of noise too."""
        root = self.folder / "noise"
        if not root.exists():
            _write_noise(root, self.rows, self.size)
        file = self.folder / "job.py"
        names = tuple(f"class{number}" for number in range(CLASSES))
        file.write_text(
            CONFIG.format(
                root=str(root), size=self.size, batch=self.batch, classes=names, count=CLASSES, teacher=self.teacher, student=self.student,
                tau=TAU, beta=BETA, rate=RATE, compiled=compiled, half=half,
                wrapper="BF16OptimWrapper" if half else "StepOptimWrapper", folder=str(self.folder / "cache"),
            ),
            "utf-8",
        )  # fmt: skip
        return load_config(file)


def _write_noise(root: Path, rows: int, size: int) -> None:
    (root / "rgb").mkdir(parents=True)
    names = [f"class{number}" for number in range(CLASSES)]
    (root / "manifest.toml").write_text(f'name = "noise"\nclasses = {json.dumps(names)}\n[modalities.rgb]\nsensor = "rgb"\n', "utf-8")
    rng = np.random.default_rng(0)
    lines = ["id,split,group,rgb,label"]
    for row in range(rows + CLASSES):
        cv2.imwrite(str(root / f"rgb/{row}.png"), rng.integers(0, 256, (size, size, 3), np.uint8))
        lines.append(f"{row},{'train' if row < rows else 'val'},{row},rgb/{row}.png,class{row % CLASSES}")
    (root / "manifest.csv").write_text("\n".join(lines) + "\n", "utf-8")


class Clock(Hook):
    """Seconds of the counted steps of a run's only epoch, and the peak of memory in them."""

    priority = "LOWEST"

    def __init__(self, warm: int) -> None:
        self.warm, self.started, self.seconds, self.memory = warm, 0.0, 0.0, 0
        self.losses: list[Tensor] = []

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self.step(outputs["loss"], batch_idx, len(runner.train_dataloader))

    def step(self, loss: Tensor, number: int, steps: int) -> None:
        self.losses.append(loss.detach())
        if number + 1 == self.warm:
            reset_peak()
            self.started = moment()
        if number + 1 == steps:
            self.seconds = moment() - self.started
            self.memory = peak_bytes()


def moment() -> float:
    """Now, when the accelerator has done what it was told."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


class Watched:
    """A network and what its last stages gave in the last pass, where timm says that they end."""

    def __init__(self, network: nn.Module) -> None:
        self.network, self.maps = network, list[Tensor]()
        info: Any = network.feature_info
        for stage in list(info)[-STAGES:]:
            network.get_submodule(stage["module"]).register_forward_hook(self._keep)

    def _keep(self, _module: nn.Module, _inputs: Any, output: Tensor) -> None:
        self.maps.append(output)

    def __call__(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        self.maps = []
        return self.network(images).float(), [energy(maps.float()) for maps in self.maps]


def energy(maps: Tensor) -> Tensor:
    """Attention transfer's map (B, 1, H, W) of a stage, (B, C, H, W) or a transformer's (B, N, C), whose first token is the class's."""
    if maps.ndim == 3:
        side = round((maps.shape[1] - 1) ** 0.5)
        maps = maps[:, 1:].transpose(1, 2).reshape(len(maps), -1, side, side)
    return maps.pow(2).mean(1, keepdim=True)


def transfer(student: Tensor, teacher: Tensor) -> Tensor:
    grid = (min(student.shape[2], teacher.shape[2]), min(student.shape[3], teacher.shape[3]))
    first, second = (F.normalize(F.adaptive_avg_pool2d(maps, grid).flatten(1)) for maps in (student, teacher))
    return (first - second).pow(2).mean()


def by_hand(job: Job, cached: bool) -> Clock:
    """Plain PyTorch with every trick; `cached` has the teacher's answers at hand (those to its first batch)."""
    half, device = bfloat16_pays(), job.device
    first, second = job.networks()
    teacher = Watched(first.eval().to(memory_format=torch.channels_last).to(torch.bfloat16 if half else torch.float32))
    student = Watched(second.train().to(memory_format=torch.channels_last))
    optimizer = torch.optim.AdamW(second.parameters(), lr=RATE, fused=True)
    everything, all_labels = job.images()
    batches = torch.randperm(job.rows).reshape(-1, job.batch)
    clock, known = Clock(job.warm), None
    for number, rows in enumerate(batches):
        images = (
            everything[rows].to(device, non_blocking=True).float().sub_(MIDDLE).div_(SPREAD).contiguous(memory_format=torch.channels_last)
        )
        target = all_labels[rows].to(device, non_blocking=True)
        if known is None or not cached:
            with torch.no_grad():
                known = teacher(images.bfloat16() if half else images)
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            logits, maps = student(images)
        soft = F.kl_div(F.log_softmax(logits / TAU, 1), F.log_softmax(known[0] / TAU, 1), log_target=True, reduction="batchmean")
        steered = torch.stack([transfer(own, others) for own, others in zip(maps, known[1], strict=True)]).sum()
        loss: Any = F.cross_entropy(logits, target) + TAU**2 * soft + BETA * steered
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        clock.step(loss, number, len(batches))
    return clock
