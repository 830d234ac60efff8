"""`xkd plan FILE`: several runs in one file, of which some begin with what others have learned; what is finished is reused."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence

from xkd.engine.config import parse_options
from xkd.evidence.plan.run import PlanSettings, plan


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="xkd plan", description="Train and test the stages of a plan over seeds.")
    parser.add_argument("file", help="the plan: stages=dict(name=dict(config=..., options=..., after=..., chain=..., learns=...)), tests")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--work-dir", help="where runs and the report go (work_dirs/plan_NAME)")
    parser.add_argument("--dry-run", action="store_true", help="say what is reused, resumed and new, and why; train nothing")
    parser.add_argument("--metric", help="what the plan's tests are measured by (the first of the last stage's task)")
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="for every stage")
    parser.add_argument("--amp", action="store_true", help="bfloat16 autocast where it pays: on a GPU, or with AMX")
    parser.add_argument("--jobs", type=int, default=0, help="runs beside each other (as many as cores and memory allow)")
    parser.add_argument("--smoke", action="store_true", help="one step per run: does it run at all?")
    a = parser.parse_args(arguments)
    plan(
        a.file,
        PlanSettings(seeds=a.seeds, metric=a.metric or "", dry_run=a.dry_run, jobs=a.jobs, amp=a.amp, smoke=a.smoke),
        work_dir=a.work_dir or "",
        options=parse_options(a.cfg_options),
        command=shlex.join(["xkd", "plan", *arguments]),
    )
    return 0
