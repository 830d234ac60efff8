"""Frozen branches answer once: what is missing in the cache is computed before the first epoch, and the loader then brings the answers."""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import all_reduce, barrier, get_rank, get_world_size
from mmengine.hooks import Hook
from rich.console import Console
from rich.filesize import decimal
from rich.progress import Progress
from torch import Tensor
from torch.utils.data import DataLoader

import xkd
from xkd.batch import Batch
from xkd.builder import build
from xkd.data.cache import Shards, TeacherCache
from xkd.data.identity import identity
from xkd.data.loader import collate
from xkd.data.paired import PairedDataset
from xkd.engine.config import as_names, as_plain
from xkd.engine.fingerprint import placeless
from xkd.engine.hooks import distiller_of
from xkd.engine.settings import workers_of
from xkd.files import sweep
from xkd.graph.branch import Branch
from xkd.graph.distiller import Distiller
from xkd.graph.explanation import TARGET
from xkd.modalities.clip import Clip

FILLING = "filling"  # seconds that it took, in the message hub
_BATCHES = 16  # of a shard; what a kill may lose
_MOST = 64 * 2**20  # bytes of a shard, which is held in memory before it is written
_VERSIONS = ("torch", "timm", "numpy", "opencv-python")
_SPARE = 64 * 2**20  # bytes that a disk keeps free beside the cache


def cache_of(config: Config) -> TeacherCache | None:
    """The config's `teacher_cache`; `ValueError` where its inputs cannot be had from one."""
    if not config.get("teacher_cache"):
        return None
    cache: TeacherCache = build(as_plain(config.teacher_cache), "teacher_cache")
    loader = config.train_dataloader
    if loader.get("mix"):
        raise ValueError("train_dataloader.mix and teacher_cache: inputs are new in every epoch; take one out")
    if not loader.get("sampler", {}).get("shuffle"):
        raise ValueError("teacher_cache is for training: train_dataloader.sampler needs shuffle=True")
    draws = loader.sampler.get("num_draws", cache.draws)
    if draws != cache.draws:
        raise ValueError(f"train_dataloader.sampler.num_draws is {draws}, teacher_cache.draws {cache.draws}: set it in teacher_cache alone")
    return cache


class TeacherCacheHook(Hook):
    """Before the first step: fills what is missing, then lets the train loader bring it; branches that may answer anew stay live."""

    priority = "VERY_HIGH"

    def __init__(self, cache: TeacherCache, config: Config, console: Console, progress: Progress) -> None:
        self.cache, self.config, self.console, self.progress = cache, config, console, progress

    def before_train(self, runner: Any) -> None:
        distiller, dataset, started = distiller_of(runner), runner.train_dataloader.dataset, time.perf_counter()
        parts = []
        with torch.no_grad(), runner.optim_wrapper.optim_context(runner.model):
            for name, branch in distiller.branches.items():
                if branch.frozen and not distiller.stands_alone(name):
                    self.console.print(f"teacher cache: branch '{name}' stays live; its answers depend on other branches or rows")
                elif branch.frozen and distiller.needed[name]:
                    parts.append(Answers(name, self.cache, distiller, dataset, self.config))
                    parts[-1].tell(self.console)
            check_space(self.cache, sum(answers.bytes_missing for answers in parts))
            for answers in parts:
                answers.fill(self.progress)
        barrier()
        runner.message_hub.update_info(FILLING, time.perf_counter() - started)
        served = [answers.shards for answers in parts]
        cached = {shards.branch for shards in served}
        asked = [name for name, branch in distiller.branches.items() if distiller.needed[name] or not branch.frozen]
        seen = {distiller.branches[name].view.name for name in asked if name not in cached}
        dataset.serve(served, {view.name for view in dataset.views} - seen)


class Answers:
    """One branch's part of the cache, and how to compute it: in batches of the run's own size, since sums depend on it in the last bit."""

    def __init__(self, name: str, cache: TeacherCache, distiller: Distiller, dataset: PairedDataset, config: Config) -> None:
        self.name, self.cache, self.distiller, self.dataset = name, cache, distiller, dataset
        self.batch_size = int(config.train_dataloader.batch_size)
        self.workers = workers_of(as_plain(config.train_dataloader))
        self.readings, compact = self._example()
        self.row_bytes = sum(tensor[0].nbytes for tensor in compact.values())
        size = self.batch_size * max(1, min(_BATCHES, _MOST // (self.row_bytes * self.batch_size)))
        shapes = {reading: tuple(tensor.shape[1:]) for reading, tensor in self.readings.items()}
        self.shards = Shards(Path(cache.folder) / self._key(config), name, cache, len(dataset), size, shapes)
        # by place, not by what is missing: another process may have written some of it by the time this one looks
        own = self.shards.places[get_rank() :: get_world_size()]
        self.missing = [place for place in own if not self.shards.holds(*place)]
        counts = torch.tensor([len(self.missing), sum(len(self.shards.rows(first)) for _, first in self.missing)])
        all_reduce(counts)
        self.num_missing, self.bytes_missing = int(counts[0]), int(counts[1]) * self.row_bytes  # of all processes

    def tell(self, console: Console) -> None:
        """What the shards hold and take, before anything is written."""
        shards, rows, draws = self.shards, len(self.dataset), self.cache.draws
        console.print(
            f"teacher cache {shards.folder}: {', '.join(f'{self.name}.{reading}' for reading in self.readings)} of {rows} rows in"
            f" {draws} draws, {decimal(rows * draws * self.row_bytes)}; {self.num_missing} of {len(shards.places)} shards to compute"
        )

    def fill(self, progress: Progress) -> None:
        """Compute what is missing of this process's own places."""
        sweep(self.shards.folder)
        batches = self._batches(self.missing)
        task = progress.add_task(f"teacher cache, {self.name}", total=len(self.missing))
        for draw, first in self.missing:
            parts, broken = list[dict[str, Tensor]](), dict[int, str]()
            wanted = len(self.shards.rows(first))
            while sum(len(next(iter(part.values()))) for part in parts) < wanted:
                batch = next(batches)
                parts.append(self.cache.compact(self._answer(batch)))
                broken.update(broken_rows(batch))
            self.shards.write(draw, first, {key: torch.cat([part[key] for part in parts])[:wanted] for key in parts[0]}, broken)
            progress.advance(task)
        progress.remove_task(task)

    def _answer(self, batch: Batch) -> dict[str, Tensor]:
        return self.distiller.answers(self.name, batch.to(self.distiller.student.mean.device))

    def _example(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        readings = self._answer(collate([self.dataset[index % len(self.dataset), 0] for index in range(self.batch_size)]))
        return readings, self.cache.compact(readings)

    def _batches(self, places: list[tuple[int, int]]) -> Iterator[Batch]:
        """Whole batches of each shard's rows; its last batch is filled up with rows of its own."""
        keys = []
        for draw, first in places:
            rows = self.shards.rows(first)
            keys += [(rows[at % len(rows)], draw) for at in range(-(-len(rows) // self.batch_size) * self.batch_size)]
        options: dict[str, Any] = {"num_workers": self.workers.count, "multiprocessing_context": self.workers.start}
        # a generator of its own, or starting workers would draw from the model's randomness
        return iter(DataLoader(self.dataset, self.batch_size, sampler=keys, collate_fn=collate, generator=torch.Generator(), **options))

    def _key(self, config: Config) -> str:
        """Changes with whatever the answers depend on: weights, config, data, code, device and precision."""
        branch = self.distiller.branches[self.name]
        device = self.distiller.student.mean.device.type
        section = {key: value for key, value in as_plain(config.distiller.branches[self.name]).items() if key != "weights"}
        facts = {
            "branch": as_names(placeless(section)),
            "task": as_names(as_plain(config.distiller.task)),  # of numbers it says what an output of the last layer is in units
            "readings": {name: str(tensor.dtype) for name, tensor in self.readings.items()},
            "autocast": [torch.is_autocast_enabled(device), str(torch.get_autocast_dtype(device))],
            "device": torch.cuda.get_device_name() if device == "cuda" else device,
            "kept": [self.cache.dtype, self.cache.top_k, self.cache.grid, self.batch_size],
            "data": identity(self.dataset, branch.view, boxes=branch.eats.reading == TARGET),
            "versions": [importlib.metadata.version(name) for name in _VERSIONS],
        }
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode())
        for name, tensor in branch.state_dict().items():
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.cpu().flatten().view(torch.uint8).numpy() if tensor.ndim else str(tensor.item()).encode())
        for path in sources(branch, section):
            digest.update(path.read_bytes())
        return f"{self.name}_{digest.hexdigest()[:16]}"


def check_space(cache: TeacherCache, needed: int) -> None:
    folder = Path(cache.folder).absolute()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    if needed and free < needed + _SPARE:
        raise OSError(
            f"the teacher cache {folder} needs {decimal(needed)}, the disk has {decimal(free)} free; fewer draws, dtype='float16',"
            " top_k or grid make it smaller; nothing was written"
        )


def broken_rows(batch: Batch) -> dict[int, str]:
    """Rows of the dataset that have no view at all, since they could not be read, and why."""
    gone = ~torch.stack(list(batch.present.values())).any(0)
    return dict(zip(batch.index[gone].tolist(), batch.broken, strict=True))


def sources(branch: Branch, section: Any) -> list[Path]:
    """The code that the answers come from: xkd's, that of the branch's modules and sensors, and of what its section of the config calls."""
    package = Path(inspect.getfile(xkd)).parent
    sensors = [*branch.view.sensors, *(one.sensor for one in branch.view.sensors if isinstance(one, Clip))]
    made = [*map(type, branch.modules()), *map(type, sensors), *_called(section)]
    written = {inspect.getsourcefile(of) for of in made if inspect.isclass(of) or inspect.isfunction(of)}
    return sorted({*package.rglob("*.py"), *(Path(path) for path in written if path)})


def _called(section: Any) -> Iterator[Any]:
    """Classes and functions named anywhere in a part of a config."""
    if isinstance(section, dict | list | tuple):
        for part in section.values() if isinstance(section, dict) else section:
            yield from _called(part)
    elif callable(section):
        yield section
