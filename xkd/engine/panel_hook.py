"""While a run trains: where the student looks, every few epochs, as a picture for the run's visualisation backends."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from numpy.typing import NDArray

from xkd.engine.hooks import distiller_of
from xkd.engine.panels import Looker, panel_rows, picture_method, teacher_method, test_samples
from xkd.engine.student import Student
from xkd.graph.inputs import WHOLE
from xkd.visualise import draw_pixels

PICTURE = "attention"


class PanelHook(Hook):
    """Every `interval` epochs, `num` samples of the val split: their sensors, then teachers and student over what each of them sees.

    `method` is the student's, one of `xkd.attention.maps`; without one, the config's own choice. Goes to TensorBoard, W&B, MLflow or the
    run's folder, as `vis_backends` of the config say, under the name "attention". Changes nothing in the run.
    """

    priority = "LOW"

    def __init__(self, interval: int = 5, num: int = 6, method: str = "") -> None:
        if interval < 1 or num < 1:
            raise ValueError(f"PanelHook draws {num} samples every {interval} epochs; both must be 1 or more")
        self.interval, self.num, self.method = interval, num, method

    def before_train(self, runner: Any) -> None:
        if is_main_process():
            self.samples, self.views = test_samples(runner.cfg, "val", self.num)
            self._draw(runner)  # what cannot be shown is told now, not in some epoch

    def after_train_epoch(self, runner: Any) -> None:
        if is_main_process() and (self.every_n_epochs(runner, self.interval) or self.is_last_train_epoch(runner)):
            runner.visualizer.add_image(PICTURE, self._draw(runner), step=runner.epoch + 1)

    def _draw(self, runner: Any) -> NDArray[np.uint8]:
        distiller = distiller_of(runner)
        name = distiller.student_name
        lookers = [
            Looker(f"teacher ({other})", Student(branch, distiller.task_of(other), other), teacher_method(runner.cfg, other))
            for other, branch in distiller.branches.items()
            if branch.frozen and branch.eats == WHOLE  # what it is shown of a row is no panel's
        ]
        method = self.method or picture_method(runner.cfg, name)
        lookers.append(Looker(f"student, epoch {runner.epoch + 1}", Student(distiller.student, distiller.task, name), method))
        rows = panel_rows(self.samples, self.views, lookers)
        return draw_pixels(rows, distiller.task.names)
