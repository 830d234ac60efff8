"""Rows that could not be read and were left out: each is told once, all are counted at the end, and too many end the run."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from rich.console import Console

from xkd.evaluate import MOST_BROKEN

MOST = MOST_BROKEN


class BrokenRowsHook(Hook):
    """For data sets with `on_broken="skip"`: such a row has no view, no label and no mask."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.told: dict[str, None] = {}

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self._tell(data_batch.broken, len(runner.train_dataloader.dataset))

    def after_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self._tell(data_batch.broken, len(runner.val_dataloader.dataset))

    def after_train(self, runner: Any) -> None:
        if self.told:
            self.console.print(f"{len(self.told)} rows could not be read and were left out", style="bold red")

    def _tell(self, broken: list[str], rows: int) -> None:
        for why in broken:
            if why not in self.told:
                self.told[why] = None
                self.console.print(f"left out: {why}", markup=False)
        if broken and len(self.told) > max(1, MOST * rows):
            raise ValueError(
                f"{len(self.told)} of {rows} rows could not be read, more than {100 * MOST:g} %: {next(reversed(self.told))};"
                " see xkd check-pairs"
            )
