"""Which row comes when, under which draw, and how samples become a batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed
from torch.utils.data import Sampler

from xkd.batch import Batch
from xkd.data.paired import NO_DRAW, PairedDataset, Sample


class DrawSampler(Sampler[tuple[int, int]]):
    """Yields (index, draw). The order and the draws are functions of (seed, epoch) alone, whatever the workers or a resume.

    `shuffle=True` is training: a permutation per epoch, with draw = epoch, or epoch modulo `num_draws` where that is
    above 0 (a cached teacher then sees only so many draws). `shuffle=False` is evaluation: rows in order, draw -1.

    `balanced=True` (training only): an epoch has as many samples as the dataset and as many labelled ones as it has
    labelled rows, but these are drawn with replacement, first a class (evenly among those that occur), then a row of
    it; each unlabelled row still comes once. A row with several labels counts for its rarest.

    With several processes each takes every `world_size`-th place of the same order; the order is filled up from its
    start so that all have the same number. Rank and world size are torch.distributed's where that runs, unless given.
    """

    def __init__(
        self,
        dataset: PairedDataset,
        shuffle: bool = True,
        seed: int = 0,
        num_draws: int = 0,
        balanced: bool = False,
        rank: int = -1,
        world_size: int = 0,
    ) -> None:
        running = distributed.is_available() and distributed.is_initialized()
        self.world_size = world_size or (distributed.get_world_size() if running else 1)
        self.rank = rank if rank >= 0 else (distributed.get_rank() if running else 0)
        if not 0 <= self.rank < self.world_size:
            raise ValueError(f"rank {self.rank} is not below world_size {self.world_size}")
        if not isinstance(seed, int) or seed < 0 or num_draws < 0:
            raise ValueError(f"seed and num_draws must be whole numbers from 0, the same on every rank; got {seed} and {num_draws}")
        if balanced and not shuffle:
            raise ValueError("balanced sampling is for training, it needs shuffle=True")
        if balanced and not (dataset.strata >= 0).any():
            raise ValueError("balanced sampling needs labelled rows, the dataset has none")
        self.shuffle, self.seed, self.num_draws, self.balanced = shuffle, seed, num_draws, balanced
        self.strata = dataset.strata
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.strata) // self.world_size)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = self._order()
        order = np.resize(order, len(self) * self.world_size)[self.rank :: self.world_size]
        draw = NO_DRAW if not self.shuffle else self.epoch % self.num_draws if self.num_draws else self.epoch
        return ((index, draw) for index in order.tolist())

    def _order(self) -> NDArray[np.int64]:
        if not self.shuffle:
            return np.arange(len(self.strata))
        rng = np.random.default_rng([self.seed, self.epoch])
        if not self.balanced:
            return rng.permutation(len(self.strata))
        labelled = np.flatnonzero(self.strata >= 0)
        members = [np.flatnonzero(self.strata == stratum) for stratum in np.unique(self.strata[labelled])]
        classes = rng.integers(len(members), size=len(labelled))
        places = rng.random(len(labelled))
        drawn = [members[which][int(place * len(members[which]))] for which, place in zip(classes, places, strict=True)]
        order: NDArray[np.int64] = np.concatenate([np.array(drawn, np.int64), np.flatnonzero(self.strata < 0)])
        return rng.permutation(order)


def collate(samples: Sequence[Sample]) -> Batch:
    """Samples of one dataset as a `Batch`, each pixel copied once."""
    names = samples[0].views.keys()
    present = {name: [sample.present[name] for sample in samples] for name in names}
    return Batch(
        views={name: _stack([sample.views[name] for sample in samples], present[name]) for name in names},
        present={name: torch.tensor(there) for name, there in present.items()},
        target=torch.stack([sample.target for sample in samples]),
        labelled=torch.tensor([sample.labelled for sample in samples]),
        mask=_stack([sample.mask for sample in samples], [True] * len(samples)),
        masked=torch.tensor([sample.masked for sample in samples]),
        index=torch.tensor([sample.index for sample in samples]),
        draw=torch.tensor([sample.draw for sample in samples]),
        boxes=[sample.boxes for sample in samples],
        meta=[sample.meta for sample in samples],
    )


def _stack(images: Sequence[Tensor], present: Sequence[bool]) -> Tensor:
    """(B, C, H, W), contiguous, in the type of the images that are there."""
    there = [image for image, is_there in zip(images, present, strict=True) if is_there]
    stacked = torch.empty((len(images), *images[0].shape), dtype=there[0].dtype if there else images[0].dtype)
    for row, image in zip(stacked, images, strict=True):
        row.copy_(image)
    return stacked
