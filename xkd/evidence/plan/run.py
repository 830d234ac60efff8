"""Run a plan: say what is reused, train what is new, test every stage, write numbers and page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.table import Table

from xkd.engine.links import BEST
from xkd.engine.progress import Display, shown_on
from xkd.evidence.answers import check_questions
from xkd.evidence.comparable import check_readable
from xkd.evidence.compare import check_room
from xkd.evidence.plan.files import as_csv, as_json
from xkd.evidence.plan.outlook import Ahead, outlook, show
from xkd.evidence.plan.page import write_plan_page
from xkd.evidence.plan.results import Results, chosen_metric, gathered
from xkd.evidence.plan.show import listings
from xkd.evidence.plan.stages import OWN, Plan, arms_of, read_plan
from xkd.evidence.runs import run_all
from xkd.files import write_atomically
from xkd.report.page import Listing

NUMBERS: Final = "plan.json"


@dataclass(frozen=True)
class Planned:
    """What a plan came to, and where: `report` is its page, `content` all of `plan.json`, empty of a dry run."""

    folder: Path
    report: Path
    ahead: Sequence[Ahead]
    content: Mapping[str, Any]

    def checkpoint(self, stage: str, seed: int = 0) -> Path:
        """Of a trained stage; `KeyError` names the stages."""
        folders = {(one.stage, one.seed): one.folder for one in self.ahead}
        if (stage, seed) not in folders:
            raise KeyError(f"no stage '{stage}' with seed {seed}; there are {list(folders)}")
        return folders[stage, seed] / BEST


@dataclass(frozen=True, kw_only=True)
class PlanSettings:
    """`metric` is what a plan's tests are measured by, the first of the last stage's task without one; `dry_run` trains nothing.

    `jobs` runs are beside each other, 0: as many as cores and memory allow.
    """

    seeds: int = 1
    metric: str = ""
    dry_run: bool = False
    jobs: int = 0
    amp: bool = False
    smoke: bool = False

    def __post_init__(self) -> None:
        for name, value, least in (("seeds", self.seeds, 1), ("jobs", self.jobs, 0)):
            if value < least:
                raise ValueError(f"--{name} must be at least {least}, got {value}")


def plan(
    file: str | Path,
    settings: PlanSettings | None = None,
    *,
    work_dir: str | Path = "",
    options: Mapping[str, Any] | None = None,
    display: Display | None = None,
    command: str = "",
) -> Planned:
    """Train and test the stages of a plan's file over seeds, and write numbers and page below `work_dir` (work_dirs/plan_NAME without one).

    First it says of every stage whether its run is reused, resumed or new, and why; a dry run stops there. `options` override the config
    of every stage. In a script, call it below `if __name__ == "__main__":`, since runs are processes.
    """
    path, settings = Path(file), settings or PlanSettings()
    smoke, seeds, run = settings.smoke, range(settings.seeds), {"amp": settings.amp, "smoke": settings.smoke}
    root = Path(work_dir or f"work_dirs/plan_{path.stem}" + ("_smoke" if smoke else ""))
    check_room(root, smoke, NUMBERS, "plan")
    made = read_plan(path, options)
    metric = chosen_metric(made, settings.metric)
    check_tests(made)
    with shown_on(display, width=150) as screen:
        ahead = outlook(made.arms, seeds, root, run)
        show(ahead, screen.console)
        if settings.dry_run:
            return Planned(root, root / "report.html", ahead, {})
        check_readable([arm for arm in made.arms if not arm.silent])
        folders = run_all(partial(arms_of, path, dict(options or {})), made.arms, seeds, root, run, settings.jobs, screen)
        results = gathered(made, folders, ahead, seeds, metric)
        content = written(made, results, root, smoke, command)
        for listing in listings(results):
            screen.console.print(as_table(listing))
        screen.console.print(f"numbers: {root / NUMBERS} and plan.csv, page: {root / 'report.html'}")
        return Planned(root, root / "report.html", ahead, content)


def check_tests(made: Plan) -> None:
    """What is wrong with the tests is said before anything is trained."""
    asked: set[str] = set()
    for arm in made.arms:
        for test in arm.asked:
            if test == OWN or test not in asked:
                check_questions(arm.tested(test)[0])
                asked.add(test)


def written(made: Plan, results: Results, root: Path, smoke: bool, command: str) -> dict[str, Any]:
    """All of `plan.json`."""
    content = {"smoke": smoke, "seeds": len(next(iter(results.stages.values())).best), **as_json(results)}
    write_atomically(root / NUMBERS, json.dumps(content, indent=1).encode())
    write_atomically(root / "plan.csv", as_csv(results).encode())
    if results.metric:
        write_plan_page(root / "report.html", made, results, command)
    return content


def as_table(listing: Listing) -> Table:
    table = Table(title=f"{listing.title}: {listing.note}", box=SIMPLE_HEAD)
    for heading in listing.columns:
        table.add_column(heading)
    for row in listing.rows:
        table.add_row(*row)
    return table
