"""`xkd compare CONFIG`: does the teacher help? Arms over seeds on the same test rows; what is finished is reused."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from xkd.commands.screen import Screen
from xkd.engine.config import load_config, parse_options
from xkd.engine.panels import check_attention
from xkd.engine.progress import progress_display
from xkd.evidence.answers import check_questions
from xkd.evidence.arms import Arm, ArmRun, make_arms, run_arm
from xkd.evidence.comparable import check_comparable, check_readable, chosen_metric
from xkd.evidence.controls import has_pairs
from xkd.evidence.page.tables import CALIBRATION
from xkd.evidence.page.write import write_page
from xkd.evidence.particulars import particulars
from xkd.evidence.summary_files import as_csv, as_json
from xkd.files import write_atomically
from xkd.statistics import METRICS, PIXEL_METRICS, UNDEFINED, Comparison, Summary, fidelity, on_common_rows, summarise


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="xkd compare", description="Train and test the arms of a comparison over seeds.")
    parser.add_argument("config", help="the config of the distilled student; its `compare` section names the teachers' configs")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--work-dir", help="where runs and the report go (work_dirs/compare_NAME-OF-CONFIG)")
    parser.add_argument(
        "--arms", nargs="+", default=[], help="leave arms out by naming the others; alone, distilled and the teachers are needed"
    )
    controls = "also smoothed labels, all labels, a student that is its own teacher and, where the config names it, a same-sensor teacher"
    parser.add_argument("--controls", action="store_true", help=controls)
    metrics = sorted({*METRICS, *PIXEL_METRICS})
    parser.add_argument("--metric", choices=metrics, help="what the finding is about (accuracy, or mean_iou of pixels)")
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="for the students' arms")
    parser.add_argument("--amp", action="store_true", help="bfloat16 autocast where it pays: on a GPU, or with AMX")
    parser.add_argument("--smoke", action="store_true", help="one step per run: does it run at all?")
    a = parser.parse_args(arguments)
    if a.seeds < 1:
        raise ValueError(f"--seeds must be at least 1, got {a.seeds}")
    path = Path(a.config)
    root = Path(a.work_dir or f"work_dirs/compare_{path.stem}" + ("_smoke" if a.smoke else ""))
    check_room(root, a.smoke)
    console = Screen(150)  # the table of arms with its intervals
    config = load_config(path, parse_options(a.cfg_options))
    arms = chosen(make_arms(path, parse_options(a.cfg_options)), a.arms, a.controls)
    for arm in arms:
        check_questions(arm.tested()[0])
        check_attention(*arm.tested())
    check_comparable(arms)
    metric = chosen_metric(arms, a.metric or "")
    check_readable(arms)
    runs = run_all(arms, a.seeds, root, {"amp": a.amp, "smoke": a.smoke}, console)
    runs = with_fidelity(on_same_rows(runs, console), teacher=arms[0].name)
    comparison = Comparison({name: [run.test for run in arm] for name, arm in runs.items()})
    summary = summarise(comparison, metric, arms[0].name, has_pairs(config))
    console.print(as_table(arms, runs, summary))
    console.print(summary.finding)
    found = particulars(arms, runs)
    content = {**as_json(arms, runs, summary, found, a.seeds), "smoke": a.smoke}
    write_atomically(root / "summary.json", json.dumps(content, indent=1).encode())
    write_atomically(root / "summary.csv", as_csv(summary, list(config.distiller.task.classes)).encode())
    command = shlex.join(["xkd", "compare", *arguments])
    write_page(root / "report.html", config, arms, runs, summary, found, command, console)
    console.print(f"numbers: {root / 'summary.json'} and summary.csv")
    return 0


def check_room(root: Path, smoke: bool) -> None:
    """A smoke run's one-step numbers must not take the place of real ones."""
    summary = root / "summary.json"
    if smoke and summary.is_file() and not json.loads(summary.read_text("utf-8")).get("smoke", False):
        raise ValueError(f"{root} holds a real comparison, which a smoke run would overwrite; name another --work-dir")


def chosen(arms: list[Arm], names: list[str], controls: bool = False) -> list[Arm]:
    """Keep the named arms, else all, the controls among them where they are asked for; what every comparison needs cannot be left out."""
    known = [arm.name for arm in arms]
    for name in names:
        if name not in known:
            raise ValueError(f"no arm '{name}'; there are {known}")
    needed = [name for name in known if name.startswith("teacher")] + ["alone", "distilled"]
    missing = [name for name in needed if names and name not in names]
    if missing:
        raise ValueError(f"a comparison needs the arms {needed}; --arms leaves out {missing}")
    kept = [arm for arm in arms if (arm.name in names if names else controls or not arm.control)]
    for arm in kept:
        if absent := [name for name in arm.teachers.values() if name not in [other.name for other in kept]]:
            raise ValueError(f"the arm '{arm.name}' is taught by '{absent[0]}': name that one too")
    return kept


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


def with_fidelity(runs: Mapping[str, list[ArmRun]], teacher: str) -> dict[str, list[ArmRun]]:
    """Every other arm's answers compared with the teacher's of the same seed."""

    def compared(run: ArmRun, seed: int) -> ArmRun:
        return replace(run, test=run.test.scored(fidelity(run.test, runs[teacher][seed].test)))

    return {name: arm if name == teacher else [compared(run, seed) for seed, run in enumerate(arm)] for name, arm in runs.items()}


def as_table(arms: list[Arm], runs: Mapping[str, list[ArmRun]], summary: Summary) -> Table:
    table = Table(title="Test split, mean [95 % interval]", box=SIMPLE_HEAD)
    table.add_column("arm")
    metrics = [name for name in summary.arms["alone"] if name != CALIBRATION]
    for name in (*metrics, "attention inside mask", "best on val", "seconds"):
        table.add_column(name.replace("_", " "))
    for arm in arms:
        estimates = [str(summary.arms[arm.name][name]) for name in metrics]
        energy = summary.scores[arm.name].get("epg", UNDEFINED)
        validation, seconds = (mean(of) for of in zip(*((run.validation, run.seconds) for run in runs[arm.name]), strict=True))
        table.add_row(arm.title, *estimates, str(energy) if energy.defined else "-", f"{validation:.3f}", f"{seconds:.0f}")
    table.add_section()
    table.add_row(f"share of the gap to the {arms[0].title}", summary.metric.replace("_", " "), str(summary.share))
    differences = [("shuffled - alone", summary.control), ("shuffled - smoothed", summary.control_smoothed)]
    differences += [*((f"distilled - {name}", beyond) for name, beyond in summary.beyond.items())]
    for name, difference in differences + [(f"{arm.name} - alone", summary.minus_alone[arm.name]) for arm in arms if arm.variant]:
        if difference is not None:
            table.add_row(name, summary.metric.replace("_", " "), str(difference))
    return table
