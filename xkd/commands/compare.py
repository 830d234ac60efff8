"""`xkd compare CONFIG`: does the teacher help? Arms over seeds on the same test rows; what is finished is reused."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence

from xkd.data.rows import SPLITS
from xkd.engine.config import parse_options
from xkd.evidence.compare import compare
from xkd.evidence.elsewhere import Finished, compare_on


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="xkd compare", description="Train and test the arms of a comparison over seeds.")
    parser.add_argument("config", help="the config of the distilled student; its `compare` section names the teachers' configs")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--work-dir", help="where runs and the report go (work_dirs/compare_NAME-OF-CONFIG)")
    parser.add_argument(
        "--arms", nargs="+", default=[], help="leave arms out by naming the others; alone, distilled and the teachers are needed"
    )
    controls = (
        "also, where the config allows them: smoothed labels, all labels, alone for as many steps (of a student that pairs have"
        " pretrained), pairs shuffled within a class, a student that is its own teacher, a same-sensor teacher"
    )
    parser.add_argument("--controls", action="store_true", help=controls)
    parser.add_argument("--metric", help="what the finding is about (the task's first: accuracy, or mean_iou of pixels)")
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="for the students' arms")
    parser.add_argument("--amp", action="store_true", help="bfloat16 autocast where it pays: on a GPU, or with AMX")
    parser.add_argument("--jobs", type=int, default=0, help="runs beside each other (as many as cores and memory allow)")
    parser.add_argument("--on", metavar="DATA", help="test what is trained on another data set with the same classes; nothing is trained")
    parser.add_argument("--split", choices=SPLITS, default="test", help="with --on: its rows that are tested")
    parser.add_argument("--smoke", action="store_true", help="one step per run: does it run at all?")
    a = parser.parse_args(arguments)
    options, command = parse_options(a.cfg_options), shlex.join(["xkd", "compare", *arguments])
    if a.on:
        finished = Finished(a.seeds, a.work_dir or "", a.arms, a.controls, options, a.amp, a.smoke)
        compare_on(a.on, a.config, finished, split=a.split, metric=a.metric or "", command=command)
        return 0
    if a.split != parser.get_default("split"):
        parser.error("--split is for --on DATA: a config says itself which rows its arms are tested on")
    compare(
        a.config,
        seeds=a.seeds,
        work_dir=a.work_dir or "",
        arms=a.arms,
        controls=a.controls,
        metric=a.metric or "",
        options=options,
        amp=a.amp,
        smoke=a.smoke,
        jobs=a.jobs,
        command=command,
    )
    return 0
