"""A student with exits as a folder for the device, with the thresholds that val allows."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from mmengine.config import Config

from xkd.deploy.exit_folder import Stop, write_exits
from xkd.deploy.export import ExportReport, probe_images
from xkd.deploy.folder import check_place
from xkd.deploy.segments import Chain, Times, chain_of, times_of
from xkd.engine.student import Student
from xkd.engine.use import notes_of
from xkd.evidence.exits import Exits, flops_of_exits


def timed_chain(student: Student) -> tuple[Chain, Times]:
    """The student cut at its exits, and the milliseconds of one image on this machine's processor."""
    flops, _ = flops_of_exits(student.branch, student.task)
    chain = chain_of(student.branch, student.task, list(flops)[:-1])
    return chain, times_of(chain, probe_images(student.branch.view)[:1].numpy())


def write_exit_folder(config: Config, student: Student, chain: Chain, exits: Exits, out: str) -> ExportReport:
    """Write it; `ValueError` where no exit saves anything, since such a folder would only be slower than one of `xkd export`."""
    check_place(Path(out))
    if not exits.saves:
        raise ValueError(
            f"no exit saves anything where at most {exits.chosen.lose_at_most:g} of accuracy may be lost on val (--lose-at-most): allow"
            f" more, or write the network without exits, xkd export ... --out {out}"
        )
    thresholds = [*exits.chosen.thresholds, 0.0]
    stops = [
        Stop(
            of.temperature,
            (bound := threshold if math.isfinite(threshold) else None),
            of.stops,
            {
                **({"threshold": bound} if of is not exits.exits[-1] else {}),
                "temperature": of.temperature,
                "accuracy on val": of.accuracy_val,
                "accuracy on test": of.accuracy,
                "share of test that stops here": of.stops,
                **({"right of these": of.right} if of.stops else {}),
                "ms until here, one thread, where it was exported": of.milliseconds,
                "MFLOPs": of.flops / 1e6,
            },
        )
        for of, threshold in zip(exits.exits, thresholds, strict=True)
    ]
    below = None if exits.handed_on is None else exits.handed_on.below
    notes = notes_of(config, student, exits.tested)
    notes = replace(notes, data=f"{notes.data}, each by the exit at which it stops")
    return write_exits(student.branch, student.task, Path(out), chain, stops, notes, below)
