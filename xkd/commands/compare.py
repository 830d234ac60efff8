"""`xkd compare CONFIG`: does the teacher help? Arms over seeds on the same test rows; what is finished is reused."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import mean
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from xkd.compare import METRICS, PIXEL_METRICS, Comparison, Estimate, Summary, metrics_of, on_common_rows, summarise
from xkd.engine.arms import Arm, ArmRun, check_cluster, make_arms, run_arm
from xkd.engine.config import load_config, parse_options
from xkd.engine.page import write_page
from xkd.engine.panels import check_attention
from xkd.engine.progress import progress_display
from xkd.files import write_atomically


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="xkd compare", description="Train and test the arms of a comparison over seeds.")
    parser.add_argument("config", help="the config of the distilled student; its `compare` section names the teachers' configs")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--work-dir", help="where runs and the report go (work_dirs/compare_NAME-OF-CONFIG)")
    parser.add_argument(
        "--arms", nargs="+", default=[], help="leave arms out by naming the others; alone, distilled and the teachers are needed"
    )
    metrics = sorted({*METRICS, *PIXEL_METRICS})
    parser.add_argument("--metric", choices=metrics, help="what the finding is about (accuracy, or mean_iou of pixels)")
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="for the students' arms")
    parser.add_argument("--amp", action="store_true", help="bfloat16 autocast where the processor computes in it")
    parser.add_argument("--smoke", action="store_true", help="one step per run: does it run at all?")
    a = parser.parse_args(arguments)
    if a.seeds < 1:
        raise ValueError(f"--seeds must be at least 1, got {a.seeds}")
    path = Path(a.config)
    root = Path(a.work_dir or f"work_dirs/compare_{path.stem}" + ("_smoke" if a.smoke else ""))
    check_room(root, a.smoke)
    console = Console(width=None if sys.stdout.isatty() else 150)  # the table of arms with its intervals
    arms = chosen(make_arms(path, parse_options(a.cfg_options)), a.arms)
    for arm in arms:
        check_cluster(arm.config())
        check_attention(arm.config(), arm.branch)
    runs = run_all(arms, a.seeds, root, {"amp": a.amp, "smoke": a.smoke}, console)
    runs = on_same_rows(runs, console)
    comparison = Comparison({name: [run.test for run in arm] for name, arm in runs.items()})
    metric = a.metric or next(iter(metrics_of(runs["alone"][0].test)))
    summary = summarise(comparison, metric, teacher=arms[0].name)
    console.print(as_table(arms, runs, summary))
    console.print(summary.finding)
    write_atomically(root / "summary.json", json.dumps({**as_json(arms, runs, summary, a.seeds), "smoke": a.smoke}, indent=1).encode())
    command = " ".join(["xkd compare", *arguments])
    write_page(root / "report.html", load_config(path, parse_options(a.cfg_options)), arms, runs, summary, command, console)
    console.print(f"numbers: {root / 'summary.json'}")
    return 0


def check_room(root: Path, smoke: bool) -> None:
    """A smoke run's one-step numbers must not take the place of real ones."""
    summary = root / "summary.json"
    if smoke and summary.is_file() and not json.loads(summary.read_text("utf-8")).get("smoke", False):
        raise ValueError(f"{root} holds a real comparison, which a smoke run would overwrite; name another --work-dir")


def chosen(arms: list[Arm], names: list[str]) -> list[Arm]:
    """Keep the named arms; what every comparison needs cannot be left out."""
    known = [arm.name for arm in arms]
    for name in names:
        if name not in known:
            raise ValueError(f"no arm '{name}'; there are {known}")
    needed = [name for name in known if name.startswith("teacher")] + ["alone", "distilled"]
    missing = [name for name in needed if names and name not in names]
    if missing:
        raise ValueError(f"a comparison needs the arms {needed}; --arms leaves out {missing}")
    return [arm for arm in arms if not names or arm.name in names]


def run_all(arms: list[Arm], seeds: int, root: Path, settings: Mapping[str, Any], console: Console) -> dict[str, list[ArmRun]]:
    runs: dict[str, list[ArmRun]] = {arm.name: [] for arm in arms}
    with progress_display(console) as progress:
        bar = progress.add_task("runs", total=len(arms) * seeds)
        for seed in range(seeds):
            done: dict[str, ArmRun] = {}
            for arm in arms:
                done[arm.name] = run_arm(arm, seed, root, done, settings, console, progress)
                runs[arm.name].append(done[arm.name])
                progress.advance(bar)
    return runs


def on_same_rows(runs: Mapping[str, list[ArmRun]], console: Console) -> dict[str, list[ArmRun]]:
    """Networks of unlike sensors were tested on the rows that they have; what is compared is the rows that all have."""
    common = on_common_rows({name: [run.test for run in arm] for name, arm in runs.items()})
    most, kept = max(len(run.test.rows) for arm in runs.values() for run in arm), len(common["alone"][0].rows)
    if kept < most:
        console.print(f"{most - kept} of {most} test rows lack the sensor of some arm and are left out for all")
    return {name: [replace(run, test=test) for run, test in zip(arm, common[name], strict=True)] for name, arm in runs.items()}


def as_table(arms: list[Arm], runs: Mapping[str, list[ArmRun]], summary: Summary) -> Table:
    table = Table(title="Test split, mean [95 % interval]", box=SIMPLE_HEAD)
    table.add_column("arm")
    for name in (*summary.arms["alone"], "attention inside mask", "best on val", "seconds"):
        table.add_column(name.replace("_", " "))
    for arm in arms:
        estimates = [str(estimate) for estimate in summary.arms[arm.name].values()]
        energy = summary.energy[arm.name]
        validation, seconds = (mean(of) for of in zip(*((run.validation, run.seconds) for run in runs[arm.name]), strict=True))
        table.add_row(arm.title, *estimates, str(energy) if energy.defined else "-", f"{validation:.3f}", f"{seconds:.0f}")
    table.add_section()
    table.add_row(f"share of the gap to the {arms[0].title}", summary.metric.replace("_", " "), str(summary.share))
    differences = [("shuffled - alone", summary.control), ("distilled - masks", summary.beyond_masks)]
    for name, difference in differences + [(f"{arm.name} - alone", summary.minus_alone[arm.name]) for arm in arms if arm.variant]:
        if difference is not None:
            table.add_row(name, summary.metric.replace("_", " "), str(difference))
    return table


def as_json(arms: list[Arm], runs: Mapping[str, list[ArmRun]], summary: Summary, seeds: int) -> dict[str, Any]:
    """Everything that the table says, and where the checkpoints are."""

    def plain(estimate: Estimate | None) -> dict[str, Any] | None:
        # JSON has no word for what is not a number
        return None if estimate is None else {key: None if value != value else value for key, value in asdict(estimate).items()}

    return {
        "finding": summary.finding,
        "metric": summary.metric,
        "seeds": seeds,
        "gain": plain(summary.gain),
        "share_of_gap": plain(summary.share),
        "shuffled_minus_alone": plain(summary.control),
        "distilled_minus_masks": plain(summary.beyond_masks),
        "minus_alone": {name: plain(difference) for name, difference in summary.minus_alone.items()},
        "arms": {
            arm.name: {
                "title": arm.title,
                "metrics": {name: plain(value) for name, value in summary.arms[arm.name].items()},
                "recall": [plain(value) for value in summary.recall[arm.name]],
                "energy": plain(summary.energy[arm.name]),
                "validation": [run.validation for run in runs[arm.name]],
                "seconds": [run.seconds for run in runs[arm.name]],
                "checkpoints": [str(run.checkpoint) for run in runs[arm.name]],
            }
            for arm in arms
        },
    }
