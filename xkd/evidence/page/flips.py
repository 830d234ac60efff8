"""The lists of what distillation changed: samples that flipped, or images of whose pixels it got more or fewer right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from xkd.evidence.arms import ArmRun
from xkd.evidence.flips import Flips, pixel_accuracy
from xkd.report import page

NUM_LISTED = 20
_FLIPS_NOTE = "Those that flipped in most seeds first: above what distillation put right, below what it spoiled."
_PIXELS_NOTE = "The images whose own pixel accuracy changed most, mean over seeds: above those that gained, below those that lost."


def flips_note(changed: Flips) -> str:
    """What the pictures of these samples show, in which order."""
    return _PIXELS_NOTE if changed.pixels else _FLIPS_NOTE


def changes(changed: Flips, runs: Mapping[str, list[ArmRun]], classes: Sequence[str]) -> list[page.Listing]:
    """Two lists, by name: what got better and what got worse."""
    return _of_pixels(changed, runs) if changed.pixels else _of_samples(changed, runs, classes)


def _of_samples(changed: Flips, runs: Mapping[str, list[ArmRun]], classes: Sequence[str]) -> list[page.Listing]:
    """With what each network said in the first seed."""
    alone, distilled = (runs[arm][0].test for arm in ("alone", "distilled"))
    place = {str(row): at for at, row in enumerate(alone.rows)}
    lists = []
    for title, rows in (("Put right by distillation", changed.gained), ("Spoiled by distillation", changed.lost)):
        cells = []
        for row, seeds in islice(rows.items(), NUM_LISTED):
            answers = [
                _answer(of, classes) for of in (alone.target[place[row]], alone.predicted[place[row]], distilled.predicted[place[row]])
            ]
            cells.append((row, *answers, f"{seeds} of {len(runs['alone'])}"))
        note = f"{len(rows)} samples in some seed" + (f"; the first {NUM_LISTED}" if len(rows) > NUM_LISTED else "")
        lists.append(page.Listing(title, note, ("sample", "truth", "alone", "distilled", "seeds"), tuple(cells)))
    return lists


def _of_pixels(changed: Flips, runs: Mapping[str, list[ArmRun]]) -> list[page.Listing]:
    names = runs["alone"][0].test.rows.tolist()
    alone, distilled = (np.mean([pixel_accuracy(run.test) for run in runs[arm]], axis=0) for arm in ("alone", "distilled"))
    shares = dict(zip(names, zip(alone.tolist(), distilled.tolist(), strict=True), strict=True))
    lists = []
    for title, rows in (("Most gained by distillation", changed.gained), ("Most lost by distillation", changed.lost)):
        cells = [
            (row, *(f"{100 * share:.1f}" for share in shares[row]), page.show_points(shares[row][1] - shares[row][0]))
            for row in islice(rows, NUM_LISTED)
        ]
        note = f"{len(rows)} images, mean over seeds" + (f"; the first {NUM_LISTED}" if len(rows) > NUM_LISTED else "")
        columns = ("image", "alone, % of pixels right", "distilled, % of pixels right", "change, points")
        lists.append(page.Listing(title, note, columns, tuple(cells)))
    return lists


def _answer(of: Any, classes: Sequence[str]) -> str:
    """A class by its name, several labels by theirs."""
    if np.ndim(of) == 0:
        return classes[int(of)]
    return ", ".join(name for name, there in zip(classes, of, strict=True) if there) or "none"
