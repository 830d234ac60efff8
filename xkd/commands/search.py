"""`xkd search CONFIG --budget-ms 5`: the best student that the device can afford, found by distillation."""

from __future__ import annotations

import argparse
import math
import shlex
from collections.abc import Sequence

from xkd.engine.config import parse_options
from xkd.engine.progress import shown_on
from xkd.evidence.afford import write_candidates
from xkd.evidence.search import SearchSettings, search
from xkd.evidence.timings import PRECISIONS, Budget


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="xkd search", description="Time candidate students, drop those over budget, and find the best of the others by distillation."
    )
    parser.add_argument("config", help="of the distilled student; its `search` section names candidates (twenty small networks without)")
    parser.add_argument("--budget-ms", type=float, metavar="MS", help="for one image")
    parser.add_argument("--budget-mb", type=float, default=math.inf, metavar="MB", help="of the network's file")
    parser.add_argument("--precision", choices=PRECISIONS, default="float32", help="that is deployed, so timed (%(default)s)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="(%(default)s)")
    parser.add_argument("--on", default="", metavar="FILE", help="timings that bench.py made on the device, in place of this machine's")
    parser.add_argument("--write-candidates", default="", metavar="FOLDER", help="to be timed on the device, and do nothing else")
    parser.add_argument("--controls", action="store_true", help="also the same search by labels alone, and the largest that fits")
    parser.add_argument("--full", action="store_true", help="also train all that fit to the end: what did the search miss?")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=0, metavar="N", help="runs beside each other (as many as cores and memory allow)")
    parser.add_argument("--work-dir", default="", help="runs, timings, numbers and page (work_dirs/search_NAME-OF-CONFIG)")
    parser.add_argument("--out", default="", metavar="FOLDER", help="the chosen student for the device (WORK_DIR/edge)")
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE")
    parser.add_argument("--amp", action="store_true", help="bfloat16 autocast where it pays: on a GPU, or with AMX")
    parser.add_argument("--smoke", action="store_true", help="one step per run: does it run at all?")
    a = parser.parse_args(arguments)
    options = parse_options(a.cfg_options)
    if a.write_candidates:
        with shown_on(None) as display:
            write_candidates(a.config, a.write_candidates, a.precision, options, display)
        print(f"on the device: python {a.write_candidates}/bench.py --threads {a.threads} --out timings.json; then --on timings.json")
        return 0
    if a.budget_ms is None:
        parser.error("name --budget-ms, or --write-candidates")
    budget = Budget(a.budget_ms, a.budget_mb, a.precision, a.threads, a.on)
    settings = SearchSettings(seed=a.seed, controls=a.controls, full=a.full, jobs=a.jobs, amp=a.amp, smoke=a.smoke)
    command = shlex.join(["xkd", "search", *arguments])
    search(a.config, budget, settings, work_dir=a.work_dir, out=a.out, options=options, command=command)
    return 0
