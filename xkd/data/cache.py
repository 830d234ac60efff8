"""What frozen branches answered, on the disk: readings by row and draw of the augmentation, in memory-mapped shards."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import safetensors.torch
import torch
from jaxtyping import Float, Shaped
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn import functional as F

from xkd.files import write_atomically

Tensors = Mapping[str, Shaped[Tensor, "b ..."]]
_DTYPES: Final = {"float16": torch.float16, "bfloat16": torch.bfloat16}
_PARTS: Final = ("values", "index", "rest")  # of scores of which the largest alone are kept


@dataclass(frozen=True)
class TeacherCache:
    """`teacher_cache = dict(type=TeacherCache, draws=8)`: frozen branches run once per row and draw, and later epochs read their answers.

    An epoch sees draw (epoch modulo `draws`) of the augmentation, in every arm of a comparison alike. `dtype` "exact" keeps each reading
    as it is, so a run is the one without a cache, bit for bit on one machine with one number of threads where a row has the same answer at
    every place of a batch (some matrix products differ in the last bit); the others round it. What is smaller still costs accuracy:
    `top_k` > 0 keeps that many scores of an output (B, C) and gives all others the mean of what probability is left (as the marginal
    smoothing of Shen and Xing, "A Fast Knowledge Distillation Framework for Visual Recognition", ECCV 2022, arXiv:2112.01528, at
    temperature 1); `grid` > 0 keeps maps (B, C, H, W) averaged to at most that many cells a side, and gives them at their size, bilinear.
    """

    draws: int
    folder: str = "work_dirs/teacher_cache"
    dtype: Literal["exact", "float16", "bfloat16"] = "exact"
    top_k: int = 0
    grid: int = 0

    def __post_init__(self) -> None:
        if type(self.draws) is not int or self.draws < 1:
            raise ValueError(
                f"teacher_cache: draws is how many draws of the augmentation there are, a whole number from 1 on; got {self.draws!r}"
            )
        if self.dtype not in ("exact", *_DTYPES):
            raise ValueError(f"teacher_cache: dtype is 'exact', 'float16' or 'bfloat16'; got {self.dtype!r}")
        if any(type(count) is not int or count < 0 for count in (self.top_k, self.grid)):
            raise ValueError(f"teacher_cache: top_k and grid are whole numbers, 0 keeps all; got {self.top_k!r} and {self.grid!r}")

    def compact(self, readings: Tensors) -> dict[str, Tensor]:
        """What is written: each reading as it is, or in less."""
        kept: dict[str, Tensor] = {}
        for name, reading in readings.items():
            if self.top_k and name == "output" and reading.ndim == 2 and reading.shape[1] > self.top_k:
                kept.update({f"{name}.{part}": tensor for part, tensor in self._largest(reading).items()})
            elif self.grid and reading.ndim == 4 and max(reading.shape[2:]) > self.grid:
                height, width = (min(side, self.grid) for side in reading.shape[2:])
                kept[name] = self._rounded(F.adaptive_avg_pool2d(reading.float(), (height, width)))
            else:
                kept[name] = self._rounded(reading)
        return {name: tensor.cpu().contiguous() for name, tensor in kept.items()}

    def restore(self, kept: Tensors, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
        """Readings from what was written; `shapes` are theirs, without the batch."""
        return {name: self._restored(name, kept, shape) for name, shape in shapes.items()}

    def _largest(self, scores: Float[Tensor, "b c"]) -> dict[str, Tensor]:
        wide = scores.float()
        values, index = wide.topk(self.top_k, 1)
        others = wide.scatter(1, index, -torch.inf)
        rest = others.logsumexp(1, keepdim=True) - torch.tensor(float(wide.shape[1] - self.top_k)).log()
        narrow = torch.int16 if wide.shape[1] <= torch.iinfo(torch.int16).max else torch.int32
        return {"values": self._rounded(values), "index": index.to(narrow), "rest": self._rounded(rest)}

    def _restored(self, name: str, kept: Tensors, shape: tuple[int, ...]) -> Tensor:
        if name in kept:
            reading = kept[name]
            if tuple(reading.shape[1:]) == shape:
                return reading
            return F.interpolate(reading.float(), size=shape[1:], mode="bilinear", align_corners=False)
        values, index, rest = (kept[f"{name}.{part}"] for part in _PARTS)
        return rest.expand(-1, shape[0]).scatter(1, index.long(), values)

    def _rounded(self, reading: Tensor) -> Tensor:
        return reading.to(_DTYPES[self.dtype]) if self.dtype in _DTYPES and reading.is_floating_point() else reading


@dataclass(frozen=True)
class Shard:
    """What a file holds: readings by row, and why rows could not be read, by their number."""

    readings: dict[str, Tensor]
    broken: Mapping[int, str]
    checksum: str


@dataclass(frozen=True)
class Shards:
    """One branch's answers: a file for each `size` rows of each draw, written whole or not at all, mapped into memory and read by row.

    `shapes` are those of its readings, without the batch. Any number of processes may read and write: what two of them write is the same.
    """

    folder: Path
    branch: str
    cache: TeacherCache
    num_rows: int
    size: int
    shapes: Mapping[str, tuple[int, ...]]
    _mapped: dict[Path, Shard] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_mapped": {}}  # each process maps the files itself

    @property
    def places(self) -> list[tuple[int, int]]:
        """(draw, first row) of each shard."""
        return [(draw, first) for draw in range(self.cache.draws) for first in range(0, self.num_rows, self.size)]

    def rows(self, first: int) -> range:
        return range(first, min(first + self.size, self.num_rows))

    def path(self, draw: int, first: int) -> Path:
        return self.folder / f"draw_{draw}_row_{first}.safetensors"

    def holds(self, draw: int, first: int) -> bool:
        """Whether the shard is there as it was written, with an answer to each of its rows: one that could not be read may be by now."""
        try:
            shard = _load(self.path(draw, first))
        except (FileNotFoundError, SafetensorError):
            return False
        whole = all(len(tensor) == len(self.rows(first)) for tensor in shard.readings.values())
        return whole and not shard.broken and shard.checksum == _checksum(shard.readings)

    def write(self, draw: int, first: int, readings: Tensors, broken: Mapping[int, str]) -> None:
        """`broken` says which rows could not be read, and why. `OSError` names the file; what is written already stays."""
        metadata = {"crc32": _checksum(readings), "broken": json.dumps(list(broken.items()))}
        write_atomically(self.path(draw, first), safetensors.torch.save(dict(readings), metadata))

    def read(self, index: int, draw: int) -> dict[str, Tensor]:
        """The branch's readings of a row, without the batch; `KeyError` where the draw is none of the cache's."""
        at = index % self.size
        kept = {key: tensor[at : at + 1] for key, tensor in self._shard(index, draw).readings.items()}
        return {f"{self.branch}.{name}": reading[0] for name, reading in self.cache.restore(kept, self.shapes).items()}

    def broken(self, index: int, draw: int) -> str:
        """Why the row could not be read when the branch answered, or ""."""
        return self._shard(index, draw).broken.get(index, "")

    def _shard(self, index: int, draw: int) -> Shard:
        if not 0 <= draw < self.cache.draws:
            raise KeyError(f"no draw {draw} in the teacher cache {self.folder}: it has {self.cache.draws}, from 0 on")
        path = self.path(draw, index - index % self.size)
        if path not in self._mapped:
            self._mapped[path] = _load(path)
        return self._mapped[path]


def _load(path: Path) -> Shard:
    with safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
        names = file.keys()
        readings = {name: file.get_tensor(name) for name in names}
    return Shard(readings, dict(json.loads(metadata.get("broken", "[]"))), metadata.get("crc32", ""))


def _checksum(readings: Tensors) -> str:
    value = 0
    for key in sorted(readings):
        content: Any = readings[key].contiguous().view(torch.uint8).numpy()
        value = zlib.crc32(content, value)
    return str(value)
