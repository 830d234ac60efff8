"""What a person sees while a run goes on: where lines are printed, and one bar with the time left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mmengine.hooks import Hook
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from xkd.engine.screen import Screen


@dataclass(frozen=True)
class Display:
    """`console` takes lines, `progress` bars; several runs may share one. A `brief` one does without the graph's table."""

    console: Console
    progress: Progress
    brief: bool = False


@contextmanager
def progress_display(console: Console) -> Iterator[Progress]:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("elapsed"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        yield progress


@contextmanager
def shown_on(display: Display | None, width: int = 120, quiet: bool = False) -> Iterator[Display]:
    """The display that the caller has, or one of its own for as long as this lasts."""
    if display is not None:
        yield display
        return
    console = Screen(width, quiet)
    with progress_display(console) as progress:
        yield Display(console, progress)


class ProgressHook(Hook):
    """Advances one bar of `progress` step by step; `name` tells runs apart."""

    priority = "LOWEST"

    def __init__(self, progress: Progress, name: str) -> None:
        self.progress, self.name = progress, name
        self.score = ""

    def before_train(self, runner: Any) -> None:
        total = runner.max_epochs * len(runner.train_dataloader)
        self.task = self.progress.add_task(self.name, total=total, completed=runner.iter)

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self.progress.update(self.task, advance=1, description=f"{self.name} epoch {runner.epoch + 1}/{runner.max_epochs}{self.score}")

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        shown = ", ".join(f"{key.removeprefix('val/')} {value:.3f}" for key, value in (metrics or {}).items())
        self.score = f", on val {shown}"
        if not self.progress.console.is_terminal:
            self.progress.console.print(f"{self.name}: epoch {runner.epoch}/{runner.max_epochs}{self.score}")

    def after_train(self, runner: Any) -> None:
        self.progress.remove_task(self.task)
