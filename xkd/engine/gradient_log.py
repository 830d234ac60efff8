"""Once per epoch, which term pulls the student how hard: into the log, to the screen at the start, with a warning where one is drowned."""

from __future__ import annotations

from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from rich.console import Console

from xkd.engine.hooks import distiller_of
from xkd.graph.gradients import DROWNED, gradient_shares


class GradientHook(Hook):
    """Measures on the epoch's first batch that reaches the student, in the run's precision, before the step.

    Logs "train/gradient_TERM", the share 0..1.
    """

    priority = "LOW"

    def __init__(self, console: Console) -> None:
        self.console = console
        self.warned: set[str] = set()
        self.due = self.shown = False

    def before_train_epoch(self, runner: Any) -> None:
        self.due = len(distiller_of(runner).terms) > 1

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        if not self.due:
            return
        distiller = distiller_of(runner)
        with runner.optim_wrapper.optim_context(runner.model):
            gradients = gradient_shares(distiller, data_batch.to(distiller.student.mean.device))
        self.due = not any(gradients.shares.values())
        if self.due:
            return
        for name, share in gradients.shares.items():
            runner.message_hub.update_scalar(f"train/gradient_{name}", share)
        if not is_main_process():
            return
        if not self.shown:
            self.shown = True
            self.console.print(str(gradients))
        for name in gradients.drowned():
            size = f"{100 * gradients.shares[name]:.3g} % of the student's gradient, less than {100 * DROWNED:g} %"
            text = f"term '{name}' has {size}: it teaches next to nothing; raise its weight, or lower the others' ({gradients})"
            self._warn_once(runner, name, text)
        for name, term in distiller.terms.items():
            of_student = any(reading.startswith(f"{distiller.student_name}.") for reading in term.student)  # not a peer's
            if of_student and gradients.shares[name] == 0 and term.weight_at(distiller.epoch):
                reads = " and ".join(term.readings)
                text = f"term '{name}' does not reach the student: in this batch no row has {reads}, or its gate is shut, or it is zero"
                self._warn_once(runner, name, text)

    def _warn_once(self, runner: Any, name: str, text: str) -> None:
        if name not in self.warned:
            self.warned.add(name)
            self.console.print(f"epoch {runner.epoch + 1}: {text}")
