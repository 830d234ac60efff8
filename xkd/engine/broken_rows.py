"""Rows that could not be read and were left out: each is told once, all are counted at the end, and too many end the run."""

from __future__ import annotations

from typing import Any

from mmengine.dist import all_gather_object, get_world_size
from mmengine.hooks import Hook
from rich.console import Console

from xkd.evaluate import MOST_BROKEN


class BrokenRowsHook(Hook):
    """For data sets with `on_broken="skip"`: such a row has no view, no label and no mask.

    Several processes tell each other at the end of each epoch and each validation, so that the first speaks for all, and all stop alike.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.reasons: dict[str, dict[str, None]] = {"train": {}, "val": {}}  # in the order in which they came

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self._hear("train", data_batch.broken, runner.train_dataloader)

    def after_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self._hear("val", data_batch.broken, runner.val_dataloader)

    def after_train_epoch(self, runner: Any) -> None:
        self._share("train", runner.train_dataloader)

    def after_val_epoch(self, runner: Any, metrics: Any = None) -> None:
        self._share("val", runner.val_dataloader)

    def after_train(self, runner: Any) -> None:
        if count := sum(map(len, self.reasons.values())):
            self.console.print(f"{count} rows could not be read and were left out", style="bold red")

    def _hear(self, split: str, broken: list[str], loader: Any) -> None:
        self._tell(split, broken)
        # of several processes one that stopped within an epoch would leave the others waiting for it
        if broken and get_world_size() == 1:
            self._check(split, len(loader.dataset))

    def _share(self, split: str, loader: Any) -> None:
        if get_world_size() > 1:
            for broken in all_gather_object(list(self.reasons[split])):
                self._tell(split, broken)
            self._check(split, len(loader.dataset))

    def _tell(self, split: str, broken: list[str]) -> None:
        for reason in broken:
            if reason not in self.reasons[split]:
                self.reasons[split][reason] = None
                self.console.print(f"left out: {reason}")

    def _check(self, split: str, rows: int) -> None:
        reasons = self.reasons[split]
        if len(reasons) > max(1, MOST_BROKEN * rows):
            last = next(reversed(reasons))
            raise ValueError(f"{len(reasons)} of {rows} rows could not be read, more than {MOST_BROKEN:.0%}: {last}; see xkd check-pairs")
