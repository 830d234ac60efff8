"""`xkd diagnose CONFIG`: is distillation worth a try here? Short runs, looked at on val, before the long ones."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

from xkd.engine.config import parse_options
from xkd.engine.progress import Display, progress_display
from xkd.engine.screen import Screen
from xkd.evidence.arms import make_arms
from xkd.evidence.diagnosis import as_json, diagnose
from xkd.files import write_atomically

ADVICE = {
    "for": "No objection to distillation: run xkd compare, with its controls.",
    "against": "Distillation is not advised as things stand: see the verdicts against it.",
    "unclear": "Open: xkd compare will show.",
}


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="xkd diagnose", description="Ask, before the long run, whether distillation is worth a try.")
    parser.add_argument("config", help="the config of the distilled student; its `compare` section names the teachers' configs")
    parser.add_argument("--share", type=float, default=0.25, help="of the epochs that teacher and student alone are trained for (0.25)")
    parser.add_argument(
        "--work-dir", help="where the short runs go (work_dirs/diagnose_NAME-OF-CONFIG); that of a comparison is reused at --share 1"
    )
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="for the student")
    a = parser.parse_args(arguments)
    path = Path(a.config)
    root = Path(a.work_dir or f"work_dirs/diagnose_{path.stem}")
    console = Screen()
    arms = make_arms(path, parse_options(a.cfg_options))
    with progress_display(console) as progress:
        diagnosis = diagnose(arms, a.share, root, Display(console, progress))
    table = Table("question", "verdict", "why", box=SIMPLE_HEAD, title="Is distillation worth a try?", title_justify="left")
    for answer in diagnosis.answers:
        table.add_row(answer.question, answer.verdict, answer.reason)
    console.print(table)
    longer = diagnosis.advice == "unclear" and a.share < 1
    console.print(ADVICE[diagnosis.advice] + (" A longer diagnosis (--share 1) costs less." if longer else ""))
    write_atomically(root / "diagnosis.json", json.dumps(as_json(diagnosis), indent=1).encode())
    return 0
