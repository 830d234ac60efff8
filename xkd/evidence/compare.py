"""Does the teacher help? Arms over seeds, tested on the same rows; what is finished is reused."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

from mmengine.config import Config
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from xkd.builder import build
from xkd.engine.config import as_plain, load_config
from xkd.engine.outline import Outline
from xkd.engine.panels import check_attention
from xkd.engine.progress import Display, shown_on
from xkd.evidence.answers import check_questions
from xkd.evidence.arm import Arm, ArmRun
from xkd.evidence.arms import first_teacher, make_arms
from xkd.evidence.comparable import check_comparable, check_readable, chosen_metric
from xkd.evidence.page.write import write_page
from xkd.evidence.particulars import particulars
from xkd.evidence.purpose import purpose_of
from xkd.evidence.runs import read_run, run_all, run_key
from xkd.evidence.summary_files import as_csv, as_json
from xkd.files import write_atomically
from xkd.statistics import UNDEFINED, Comparison, Near, Summary, on_common_rows, summarise
from xkd.tasks import Task

LOOKS_WORDS = "attention over chance"


@dataclass(frozen=True)
class Compared:
    """What a comparison found, and where: `report` is its page, `runs` has each arm's runs by seed."""

    folder: Path
    report: Path
    summary: Summary
    arms: Sequence[Arm]
    runs: Mapping[str, Sequence[ArmRun]]

    def checkpoint(self, arm: str = "distilled", seed: int = 0) -> Path:
        """Of a trained network, by its arm; `KeyError` names the arms."""
        if arm not in self.runs:
            raise KeyError(f"no arm '{arm}'; there are {list(self.runs)}")
        return self.runs[arm][seed].checkpoint


def compare(  # noqa: PLR0913  # each is an option of the command
    config: str | Path,
    *,
    seeds: int = 3,
    work_dir: str | Path = "",
    arms: Sequence[str] = (),
    controls: bool = False,
    metric: str = "",
    options: Mapping[str, Any] | None = None,
    amp: bool = False,
    smoke: bool = False,
    jobs: int = 0,
    display: Display | None = None,
    command: str = "",
) -> Compared:
    """Train and test the arms of a config's comparison over seeds, and write numbers and page below `work_dir`.

    `arms` leaves out the others, `controls` adds those that are run on request; `options` override the students' config. `jobs` runs are
    beside each other (0: as many as cores and memory allow), each with its share of the cores; their numbers depend on the threads that
    each has in the last digits alone, and OMP_NUM_THREADS fixes those. `command` is shown on the page.
    """
    for name, value, least in (("seeds", seeds, 1), ("jobs", jobs, 0)):
        if value < least:
            raise ValueError(f"--{name} must be at least {least}, got {value}")
    path = Path(config)
    root = runs_folder(path, work_dir, smoke)
    check_room(root, smoke)
    made = chosen(make_arms(path, options or {}), arms, controls)
    compared = [arm for arm in made if not arm.aside]
    metric = checked_metric(compared, metric)
    check_readable(made)
    with shown_on(display, width=150) as screen:
        make = partial(make_arms, path, dict(options or {}))
        folders = run_all(make, made, range(seeds), root, {"amp": amp, "smoke": smoke}, jobs, screen)
        runs = {arm.name: [read_run(arm, folders[run_key(arm.name, seed)]) for seed in range(seeds)] for arm in compared}
        return conclude(load_config(path, options), compared, runs, metric, root, command, smoke, screen.console)


def runs_folder(config: Path, work_dir: str | Path = "", smoke: bool = False) -> Path:
    """Of a comparison's runs and numbers."""
    return Path(work_dir or f"work_dirs/compare_{config.stem}" + ("_smoke" if smoke else ""))


def checked_metric(compared: Sequence[Arm], metric: str) -> str:
    """What the finding is about; `ValueError` or `KeyError` where the arms cannot be compared, or asked what the config asks them."""
    for arm in compared:
        tested, node = arm.tested()
        check_questions(tested)
        # an ensemble has no map of its own, and no picture is made of who answers beside the student
        asked = not arm.run or node in (tested.get("compare") or {}).get("attention", {})
        if asked and node in tested.distiller.branches:
            check_attention(tested, node)
    check_comparable(compared)
    return chosen_metric(compared, metric)


def conclude(
    config: Config,
    arms: list[Arm],
    finished: Mapping[str, list[ArmRun]],
    metric: str,
    root: Path,
    command: str,
    smoke: bool,
    console: Console,
) -> Compared:
    """The numbers of finished runs, on the screen, in files and on a page."""
    runs, teacher = on_same_rows(finished, console), first_teacher(arms)
    task: Task = build(as_plain(config.distiller.task), "distiller.task")
    measures = task.measures()
    runs = with_fidelity(runs, teacher.name, measures.near) if teacher and measures.near else runs
    comparison = Comparison({name: [run.test for run in arm] for name, arm in runs.items()})
    has_pairs = Outline.of(config).has_pairs
    summary = summarise(comparison, measures, metric, teacher.name if teacher else "", has_pairs, purpose_of(config))
    console.print(as_table(arms, runs, summary))
    console.print(summary.finding)
    details = particulars(arms, runs, measures)
    content = {**as_json(arms, runs, summary, details, len(runs["alone"])), "smoke": smoke}
    write_atomically(root / "summary.json", json.dumps(content, indent=1).encode())
    write_atomically(root / "summary.csv", as_csv(summary).encode())
    report = root / "report.html"
    write_page(report, config, arms, runs, summary, details, command, console)
    console.print(f"numbers: {root / 'summary.json'} and summary.csv")
    return Compared(root, report, summary, arms, runs)


def check_room(root: Path, smoke: bool, numbers: str = "summary.json", what: str = "comparison") -> None:
    """A smoke run's one-step numbers must not take the place of real ones."""
    summary = root / numbers
    if smoke and summary.is_file() and not json.loads(summary.read_text("utf-8")).get("smoke", False):
        raise ValueError(f"{root} holds a real {what}, which a smoke run would overwrite; name another --work-dir")


def chosen(arms: list[Arm], names: Sequence[str], controls: bool = False) -> list[Arm]:
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
        if absent := [name for name in arm.needs if name not in [other.name for other in kept]]:
            how = "is of the run of" if absent[0] == arm.run else "is taught by, or begins with,"
            raise ValueError(f"the arm '{arm.name}' {how} '{absent[0]}': name that one too")
    return kept


def on_same_rows(runs: Mapping[str, list[ArmRun]], console: Console) -> dict[str, list[ArmRun]]:
    """Networks of unlike sensors were tested on the rows that they have; what is compared is the rows that all have."""
    common = on_common_rows({name: [run.test for run in arm] for name, arm in runs.items()})
    most, kept = max(len(run.test.rows) for arm in runs.values() for run in arm), len(common["alone"][0].rows)
    if kept < most:
        console.print(f"{most - kept} of {most} test rows lack the sensor of some arm and are left out for all")
    return {name: [replace(run, test=test) for run, test in zip(arm, common[name], strict=True)] for name, arm in runs.items()}


def with_fidelity(runs: Mapping[str, list[ArmRun]], teacher: str, near: Near) -> dict[str, list[ArmRun]]:
    """Every other arm's answers compared with the teacher's of the same seed."""

    def compared(run: ArmRun, seed: int) -> ArmRun:
        return replace(run, test=run.test.scored(near.of(run.test, runs[teacher][seed].test)))

    return {name: arm if name == teacher else [compared(run, seed) for seed, run in enumerate(arm)] for name, arm in runs.items()}


def as_table(arms: list[Arm], runs: Mapping[str, list[ArmRun]], summary: Summary) -> Table:
    table = Table(title="Test split, mean [95 % interval]", box=SIMPLE_HEAD)
    table.add_column("arm")
    metrics = [measure.name for measure in summary.measures.main]
    for heading in (*(measure.heading for measure in summary.measures.main), "attention inside mask", "best on val", "seconds"):
        table.add_column(heading)
    for arm in arms:
        estimates = [str(summary.arms[arm.name][name]) for name in metrics]
        energy = summary.scores[arm.name].get("epg", UNDEFINED)
        validation, seconds = (mean(of) for of in zip(*((run.validation, run.seconds) for run in runs[arm.name]), strict=True))
        table.add_row(arm.title, *estimates, str(energy) if energy.defined else "-", f"{validation:.3f}", f"{seconds:.0f}")
    table.add_section()
    if teacher := first_teacher(arms):
        table.add_row(f"share of the gap to the {teacher.title}", summary.measure.heading, str(summary.share))
    differences = [("shuffled - alone", summary.control), ("shuffled - smoothed", summary.control_smoothed)]
    differences += [*((f"distilled - {name}", beyond) for name, beyond in summary.beyond.items())]
    for name, difference in differences + [(f"{arm.name} - alone", summary.minus_alone[arm.name]) for arm in arms if arm.variant]:
        if difference is not None:
            table.add_row(name, summary.measure.heading, str(difference))
    if summary.attention is not None and summary.attention.measured:
        for name, change in (
            ("distilled / alone", summary.attention.moved.ratio),
            ("distilled - alone", summary.attention.moved.difference),
        ):
            table.add_row(name, LOOKS_WORDS, str(change))
    return table
