"""The lists of what distillation changed: samples that flipped, or those that are answered better or worse than before."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

import numpy as np
import torch

from xkd.evidence.arm import ArmRun
from xkd.evidence.flips import Flips
from xkd.report import page
from xkd.statistics import RowScore, TestRun
from xkd.tasks import Task

NUM_LISTED = 20


def changes(changed: Flips, runs: Mapping[str, list[ArmRun]], task: Task) -> list[page.Listing]:
    """Two lists: what got better and what got worse."""
    score = task.measures().rows
    if score is None:
        return []
    return _by_degrees(changed, runs, score) if score.by_degrees else _flipped(changed, runs, task)


def _flipped(changed: Flips, runs: Mapping[str, list[ArmRun]], task: Task) -> list[page.Listing]:
    """With what each network said in the first seed."""
    alone, distilled = (runs[arm][0].test for arm in ("alone", "distilled"))
    place = {str(row): at for at, row in enumerate(alone.rows)}
    lists = []
    for title, rows in (("Put right by distillation", changed.gained), ("Spoiled by distillation", changed.lost)):
        cells = []
        for row, seeds in islice(rows.items(), NUM_LISTED):
            truth = task.truth(torch.as_tensor(alone.target[place[row]])).said
            answers = [_said(task, of, place[row]) for of in (alone, distilled)]
            cells.append((row, truth, *answers, f"{seeds} of {len(runs['alone'])}"))
        note = f"{len(rows)} samples in some seed" + (f"; the first {NUM_LISTED}" if len(rows) > NUM_LISTED else "")
        lists.append(page.Listing(title, note, ("sample", "truth", "alone", "distilled", "seeds"), tuple(cells)))
    return lists


def _said(task: Task, of: TestRun, place: int) -> str:
    return task.answer(torch.as_tensor(of.predictions[place])).said


def _by_degrees(changed: Flips, runs: Mapping[str, list[ArmRun]], score: RowScore) -> list[page.Listing]:
    names = runs["alone"][0].test.rows.tolist()
    alone, distilled = (np.mean([score.of(run.test) for run in runs[arm]], axis=0) for arm in ("alone", "distilled"))
    values = dict(zip(names, zip(alone.tolist(), distilled.tolist(), strict=True), strict=True))
    lists = []
    for title, rows in (("Most gained by distillation", changed.gained), ("Most lost by distillation", changed.lost)):
        cells = [(row, *map(score.show, values[row]), score.change(values[row][1] - values[row][0])) for row in islice(rows, NUM_LISTED)]
        note = f"{len(rows)} images, mean over seeds" + (f"; the first {NUM_LISTED}" if len(rows) > NUM_LISTED else "")
        lists.append(page.Listing(title, note, score.columns, tuple(cells)))
    return lists
