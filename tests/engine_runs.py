"""Tiny configs and runs for the tests of the engine: seconds for the whole suite, the tiny data set of conftest.py."""

from __future__ import annotations

import os
import runpy
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from xkd.engine.config import load_config
from xkd.engine.loaders import build_distiller
from xkd.engine.progress import Display
from xkd.engine.train import TrainResult, train
from xkd.graph.distiller import Distiller

REPOSITORY = Path(__file__).parent.parent

HEAD = """
from core_models import CNN
from mmengine.config import read_base
from mmengine.optim import CosineAnnealingLR, OptimWrapper
from torch.optim import AdamW

from xkd.batch import View
from xkd.graph.branch import Branch, Head
from xkd.data.augment import Augment
from xkd.data.manifest import sensor
from xkd.data.paired import PairedDataset
from xkd.graph.distiller import Distiller
from xkd.losses import KD, CrossEntropy
from xkd.projectors import PooledLinear
from xkd.taps import Tap
from xkd.tasks import Classification
from xkd.graph.term import Term
from xkd.graph.weights import EMA, Checkpoint, Random

rgb = dict(type=View, name="rgb", modality=dict(type=sensor, root="tiny", column="rgb"), size=(16, 16))
thermal = dict(type=View, name="thermal", modality=dict(type=sensor, root="tiny", column="thermal"), size=(16, 24))
task = dict(type=Classification, classes=("blank", "disc", "bar"))
train_dataloader = dict(
    batch_size=6,
    num_workers=0,
    sampler=dict(shuffle=True),
    dataset=dict(type=PairedDataset, root="tiny", split="train", views=[rgb, thermal], augment=dict(type=Augment, flip=0.5)),
)
evaluation = dict(batch_size=12, num_workers=0)
val_dataloader = dict(evaluation, dataset=dict(type=PairedDataset, root="tiny", split="val", views=[rgb], augment=dict(type=Augment)))
test_dataloader = dict(evaluation, dataset=dict(type=PairedDataset, root="tiny", split="test", views=[rgb], augment=dict(type=Augment)))
train_cfg = dict(by_epoch=True, max_epochs=3, val_interval=1)
optim_wrapper = dict(type=OptimWrapper, optimizer=dict(type=AdamW, lr=3e-3, weight_decay=0.01), clip_grad=dict(max_norm=5.0))
param_scheduler = [dict(type=CosineAnnealingLR, T_max=3, by_epoch=True, begin=0, end=3, convert_to_iter_based=True)]
save_best = "val/macro_f1"
log_interval = 2
"""

_RGB = "rgb=dict(type=Branch, model=dict(type=CNN), view=rgb, weights=dict(type=Random))"
_CE = 'ce=dict(type=Term, loss=dict(type=CrossEntropy), student="rgb.output", teacher="batch.target")'
_KD = 'kd=dict(type=Term, loss=dict(type=KD, tau=2.0), student="rgb.output", teacher="thermal.output")'

PLAIN = f'{HEAD}\ndistiller = dict(type=Distiller, student="rgb", task=task, branches=dict({_RGB}), terms=dict({_CE}))\n'
"""The student alone."""

GRAPH = f"""{HEAD}
distiller = dict(
    type=Distiller,
    student="rgb",
    task=task,
    branches=dict(
        {_RGB},
        thermal=dict(type=Branch, model=dict(type=CNN, channels=1), view=thermal, weights=dict(type=Random, frozen=True), frozen=True),
        average=dict(type=Branch, model=dict(type=CNN), view=rgb, weights=dict(type=EMA, of="rgb", decay=0.9)),
    ),
    terms=dict(
        {_CE},
        {_KD},
        loss_mean=dict(type=Term, loss=dict(type=KD), student="rgb.output", teacher="average.output", weight=0.5),
    ),
)
"""
"""A student with dropout, a frozen teacher and a running average; one term's name holds "loss"."""

TEACHER = f"""{HEAD}
distiller = dict(
    type=Distiller,
    student="thermal",
    task=task,
    branches=dict(thermal=dict(type=Branch, model=dict(type=CNN, channels=1), view=thermal, weights=dict(type=Random))),
    terms=dict(ce=dict(type=Term, loss=dict(type=CrossEntropy), student="thermal.output", teacher="batch.target")),
)
train_dataloader.update(dict(dataset=dict(type=PairedDataset, root="tiny", split="train", views=[thermal], augment=dict(type=Augment))))
val_dataloader.update(dict(dataset=dict(type=PairedDataset, root="tiny", split="val", views=[thermal], augment=dict(type=Augment))))
test_dataloader.update(dict(dataset=dict(type=PairedDataset, root="tiny", split="test", views=[thermal], augment=dict(type=Augment))))
"""

STUDENT = f"""{HEAD}
distiller = dict(
    type=Distiller,
    student="rgb",
    task=task,
    branches=dict(
        {_RGB},
        thermal=dict(
            type=Branch, model=dict(type=CNN, channels=1), view=thermal, weights=dict(type=Checkpoint, path="teacher.pth"), frozen=True,
            judged=False,  # an epoch or two are not enough to be better than chance
        ),
    ),
    terms=dict({_CE}, {_KD}),
)
compare = dict(teachers=dict(thermal="teacher.py"), cluster="frame", attention=dict(rgb="grad_cam:deep", thermal="grad_cam:deep"))
"""
"""Taught by what `TEACHER` trains."""

BOXED = f"""{HEAD}
from core_models import Places

from xkd.data.annotations import Masks
from xkd.data.cache import TeacherCache
from xkd.graph.inputs import Crops
from xkd.losses import DICOD, FCOS
from xkd.tasks import Detection

student = dict(type=Branch, model=dict(type=Places, num_classes=3), view=rgb, weights=dict(type=Random))
teacher = dict(
    type=Branch,
    model=dict(type=CNN, channels=1),
    view=thermal,
    weights=dict(type=Random, frozen=True),
    frozen=True,
    task=task,
    eats=dict(type=Crops, size=(8, 8)),
)
distiller = dict(
    type=Distiller,
    student="rgb",
    task=dict(type=Detection, classes=("blank", "disc", "bar")),
    branches=dict(rgb=student, thermal=teacher),
    terms=dict(
        boxes=dict(type=Term, loss=dict(type=FCOS), student="rgb.output", teacher="batch.target"),
        kd=dict(type=Term, loss=dict(type=DICOD), student="rgb.output", teacher="thermal.output"),
    ),
)
boxed = dict(target="boxes", masks=dict(type=Masks, source="none"))
train_dataloader["dataset"].update(boxed, augment=dict(type=Augment, flip=0.5, scale=(0.8, 1.2), shift=0.1))
val_dataloader["dataset"].update(boxed)
test_dataloader["dataset"].update(boxed)
train_cfg.update(max_epochs=1)
save_best = "val/ap50"
teacher_cache = dict(type=TeacherCache, draws=1, folder="FOLDER")
"""
"""A detector that a classifier of crops teaches, which has random weights."""


def write(folder: Path, **configs: str) -> Path:
    """`name=text` becomes `folder/name.py`; the last one's path comes back."""
    path = folder
    for name, text in configs.items():
        path = folder / f"{name}.py"
        path.write_text(text, "utf-8")
    return path


def config_of(folder: Path, text: str, options: Mapping[str, Any] | None = None) -> Config:
    return load_config(write(folder, config=text), options)


def run_training(config: Config, work_dir: Path, console: Console | None = None, **settings: Any) -> TrainResult:
    """`train` without a word on the screen."""
    console = console or Console(quiet=True)
    return train(config, work_dir, display=Display(console, Progress(console=console, disable=True)), **settings)


def double(*arguments: Any) -> Distiller:
    """`build_distiller` in float64: what rounding makes of a run, on this machine or another, is then far below what it learns."""
    return build_distiller(*arguments).double()


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(path, weights_only=True)
    return content


def differences(first: Any, second: Any, where: str = "") -> list[str]:
    """Paths at which two nested structures differ, tensors compared bit for bit."""
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return [] if first.dtype == second.dtype and torch.equal(first, second) else [where]
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        if list(first) != list(second):
            return [f"{where}: keys {list(first)} and {list(second)}"]
        return [path for key in first for path in differences(first[key], second[key], f"{where}.{key}")]
    if isinstance(first, list | tuple) and isinstance(second, list | tuple) and len(first) == len(second):
        pairs = enumerate(zip(first, second, strict=True))
        return [path for place, (a, b) in pairs for path in differences(a, b, f"{where}[{place}]")]
    return [] if first == second else [f"{where}: {first!r} and {second!r}"]


def run_python(arguments: Sequence[str], data: Path, timeout: float = 120.0, **environment: str) -> subprocess.CompletedProcess[str]:
    """A Python process that sees the tests' models and the data set; one thread."""
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=timeout, env=environment_of(data, **environment)
    )


def environment_of(data: Path, **more: str) -> dict[str, str]:
    paths = os.pathsep.join((str(REPOSITORY), str(REPOSITORY / "tests"), os.environ["PYTHONPATH"]))
    return {
        **os.environ,
        "PYTHONPATH": paths,
        "XKD_DATA_ROOT": str(data.parent),
        "OMP_NUM_THREADS": "1",
        "PYTHONWARNINGS": "default",
        **more,
    }


def free_port() -> str:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return str(server.getsockname()[1])


@dataclass(frozen=True)
class Ended:
    """What a process came to: its exit code, what it printed and what it complained of."""

    code: int
    out: str
    err: str


def launched(arguments: list[str], data: Path, folder: Path, script: str) -> list[Ended]:
    """The script twice, as one group; none outlives three minutes."""
    path, port, processes = folder / "rank.py", free_port(), {}
    path.write_text(script, "utf-8")
    for rank in ("0", "1"):
        environment = environment_of(data, RANK=rank, LOCAL_RANK=rank, WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
        environment["CUDA_VISIBLE_DEVICES"] = ""
        processes[f"rank{rank}"] = forked(path, [str(folder), *arguments, "--launcher", "pytorch"], environment, folder, f"rank{rank}")
    deadline = time.monotonic() + 180
    for process in processes.values():
        process.join(max(deadline - time.monotonic(), 0))
        process.kill()
        process.join()
    outputs = {name: [(folder / f"{name}.{stream}").read_text("utf-8") for stream in ("out", "err")] for name in processes}
    return [Ended(int(process.exitcode or 0), *outputs[name]) for name, process in processes.items()]


def forked(script: Path, arguments: list[str], environment: Mapping[str, str], folder: Path, name: str) -> BaseProcess:
    """A process of its own, with output in `folder`/`name`.out and .err, forked by a server that has imported the engine: seconds."""
    process = get_context("forkserver").Process(target=_run_script, args=(script, arguments, environment, folder, name))
    process.start()
    return process


def _run_script(script: Path, arguments: list[str], environment: Mapping[str, str], folder: Path, name: str) -> None:
    os.chdir(folder)
    os.environ.update(environment)
    for number, stream in enumerate(("out", "err"), start=1):
        os.dup2(os.open(f"{name}.{stream}", os.O_WRONLY | os.O_CREAT), number)
    sys.argv = [str(script), *arguments]
    runpy.run_path(str(script), run_name="__main__")
