"""Which row comes when, under which draw, and how samples become a batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed
from torch.utils.data import Sampler

from xkd.batch import Batch
from xkd.data.mix import Mix
from xkd.data.paired import PairedDataset
from xkd.data.sample import NO_DRAW, Sample

_AGAIN: Final = 10**6  # keeps the draws of a row that comes again apart from those of later epochs


class DrawSampler(Sampler[tuple[int, int]]):
    """Yields (index, draw). The order and the draws are functions of (seed, epoch) alone, whatever the workers or a resume.

    `shuffle=True` is training: every row once per epoch, with draw = epoch, or epoch modulo `num_draws` where that is above 0 (a
    cached teacher then sees only so many draws). `shuffle=False` is evaluation: rows in order, draw -1. An epoch always has as many
    samples as the dataset.

    `labelled_share` above 0 (training only) is the share of samples that are labelled, whatever their number in the data: labelled and
    unlabelled rows are each gone through in permutations, as often as it takes. At 1.0 the unlabelled rows are left out.
    `balanced=True` (training only) draws the labelled samples with replacement, first a class (evenly among those that occur), then a
    row of it. A row with several labels counts for its rarest. A row that comes again within an epoch has another draw each time.

    With several processes each takes every `world_size`-th place of the same order; the order is filled up from its
    start so that all have the same number. Rank and world size are torch.distributed's where that runs, unless given.
    """

    def __init__(
        self,
        dataset: PairedDataset,
        *,
        shuffle: bool = True,
        seed: int = 0,
        num_draws: int = 0,
        balanced: bool = False,
        labelled_share: float = 0.0,
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
        if not 0 <= labelled_share <= 1:
            raise ValueError(f"labelled_share is a share, 0..1, where 0 leaves the data's own; got {labelled_share}")
        if (balanced or labelled_share) and not shuffle:
            raise ValueError("balanced and labelled_share are for training, they need shuffle=True")
        if (balanced or labelled_share) and not (dataset.strata >= 0).any():
            left_out = getattr(dataset, "left_out", {})
            why = f" ({', '.join(f'{count} rows left out: {reason}' for reason, count in left_out.items())})" if left_out else ""
            raise ValueError(f"balanced and labelled_share need labelled rows, the {len(dataset)} rows that can be used have none{why}")
        self.shuffle, self.seed, self.num_draws, self.balanced, self.labelled_share = shuffle, seed, num_draws, balanced, labelled_share
        self.strata = dataset.strata
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.strata) // self.world_size)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order, again = self._order()
        draws = np.full_like(order, NO_DRAW)
        if self.shuffle:
            draws = (self.epoch + again) % self.num_draws if self.num_draws else self.epoch + again * _AGAIN
        places = np.resize(np.arange(len(order)), len(self) * self.world_size)[self.rank :: self.world_size]
        return zip(order[places].tolist(), draws[places].tolist(), strict=True)

    def _order(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows in their order, and how often each has come before in this epoch."""
        if not self.shuffle:
            return np.arange(len(self.strata)), np.zeros(len(self.strata), np.int64)
        rng = np.random.default_rng([self.seed, self.epoch])
        labelled, others = np.flatnonzero(self.strata >= 0), np.flatnonzero(self.strata < 0)
        count = len(labelled)
        if self.labelled_share:
            count = len(self.strata) if not len(others) else round(self.labelled_share * len(self.strata))
        drawn = self._balanced(labelled, count, rng) if self.balanced else _permutations(labelled, count, rng)
        order = rng.permutation(np.concatenate([drawn, _permutations(others, len(self.strata) - count, rng)]))
        return order, _occurrence(order)

    def _balanced(self, labelled: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
        members = [np.flatnonzero(self.strata == stratum) for stratum in np.unique(self.strata[labelled])]
        classes, places = rng.integers(len(members), size=count), rng.random(count)
        return np.array([members[which][int(place * len(members[which]))] for which, place in zip(classes, places, strict=True)], np.int64)


def _permutations(rows: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """`count` rows: whole permutations one after the other, the last one cut."""
    rounds = -(-count // len(rows)) if len(rows) else 0
    order: NDArray[np.int64] = np.concatenate([rng.permutation(rows) for _ in range(rounds)] or [rows[:0]])[:count]
    return order


def _occurrence(order: NDArray[np.int64]) -> NDArray[np.int64]:
    """How often the same row stands before each place."""
    by_row = np.argsort(order, kind="stable")
    ranked = order[by_row]
    first = np.searchsorted(ranked, ranked)
    before = np.empty_like(order)
    before[by_row] = np.arange(len(order)) - first
    return before


def collate(samples: Sequence[Sample]) -> Batch:
    """Samples of one dataset as a `Batch`, each pixel copied once."""
    present = {name: [sample.present[name] for sample in samples] for name in samples[0].present}
    return Batch(
        views={name: _stack([sample.views[name] for sample in samples], present[name]) for name in samples[0].views},
        present={name: torch.tensor(there) for name, there in present.items()},
        target=torch.stack([sample.target for sample in samples]),
        labelled=torch.tensor([sample.labelled for sample in samples]),
        mask=_stack([sample.mask for sample in samples], [True] * len(samples)),
        masked=torch.tensor([sample.masked for sample in samples]),
        index=torch.tensor([sample.index for sample in samples]),
        draw=torch.tensor([sample.draw for sample in samples]),
        boxes=[sample.boxes for sample in samples],
        cached={name: torch.stack([sample.cached[name] for sample in samples]) for name in samples[0].cached},
        meta=[sample.meta for sample in samples],
        groups={name: [sample.groups[name] for sample in samples] for name in samples[0].groups},
        broken=[sample.broken for sample in samples if sample.broken],
    )


def collate_mixed(mix: Mix, samples: Sequence[Sample]) -> Batch:
    """Here, since a worker that is not forked imports all that its functions come with: the engine would take it seconds."""
    return collate(mix(samples))


def _stack(images: Sequence[Tensor], present: Sequence[bool]) -> Tensor:
    """(B, C, H, W), contiguous, in the type of the images that are there."""
    there = [image for image, is_there in zip(images, present, strict=True) if is_there]
    stacked = torch.empty((len(images), *images[0].shape), dtype=there[0].dtype if there else images[0].dtype)
    for row, image in zip(stacked, images, strict=True):
        row.copy_(image)
    return stacked
