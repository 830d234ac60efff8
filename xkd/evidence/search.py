"""The best student that the device can afford: candidates are timed, those over budget dropped, the others halved by distillation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from mmengine.config import Config

from xkd.builder import build
from xkd.data.cache import TeacherCache
from xkd.deploy.folder import check_place
from xkd.engine.config import as_names, as_plain, load_config
from xkd.engine.int8 import Int8
from xkd.engine.model import less_is_better
from xkd.engine.outline import Outline
from xkd.engine.progress import Display, shown_on
from xkd.engine.use import check_answers, export
from xkd.evidence.afford import Field, afford
from xkd.evidence.arms import make_arms, teacher_arms
from xkd.evidence.candidates import Candidate, candidates_of
from xkd.evidence.compare import check_room
from xkd.evidence.found import Finalist, Found, Full, as_json
from xkd.evidence.halving import Ran, Rung, epochs_of_rungs, halve
from xkd.evidence.page.search import as_table, sentence, write_search_page
from xkd.evidence.rungs import Ground, arm_of, read_ran, run_rung
from xkd.evidence.runs import read_run, run_all, run_key
from xkd.evidence.timings import Budget
from xkd.files import write_atomically
from xkd.statistics import Comparison, TestRun
from xkd.tasks import Task

NUMBERS: Final = "search.json"
CHOSEN, BY_LABELS, LARGEST = "chosen", "chosen by labels alone", "the largest that fits"
ETA: Final = 3
_DRAWS: Final = 8  # of the augmentation, of which the teacher's answers are kept


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """`controls` searches by labels alone too and trains the largest that fits; `full` trains all that fit: what did the search miss?

    `jobs` runs are beside each other, 0: as many as cores and memory allow.
    """

    seed: int = 0
    controls: bool = False
    full: bool = False
    jobs: int = 0
    amp: bool = False
    smoke: bool = False

    def __post_init__(self) -> None:
        if self.jobs < 0:
            raise ValueError(f"--jobs must be at least 0, got {self.jobs}")


@dataclass(frozen=True)
class Searched:
    """`chosen` is the candidate's name, `exported` its folder for the device; `content` is all of `search.json`."""

    folder: Path
    report: Path
    chosen: str
    checkpoint: Path
    exported: Path
    content: Mapping[str, Any]


def search(
    config: str | Path,
    budget: Budget,
    settings: SearchSettings | None = None,
    *,
    work_dir: str | Path = "",
    out: str | Path = "",
    options: Mapping[str, Any] | None = None,
    display: Display | None = None,
    command: str = "",
) -> Searched:
    """The best student of a config under a budget, by distillation, exported to `out` (a folder "edge" in `work_dir` without one).

    Numbers (`search.json`), page and runs are below `work_dir` (work_dirs/search_NAME-OF-CONFIG without one); what is finished there, or
    was timed, is reused. `options` override the config. A candidate whose training diverges is dropped, with a word and on the page;
    `FloatingPointError` where all do. `ValueError` where no candidate meets the budget, for networks that timm does not have, and for a
    file of timings that lacks one. In a script, call it below `if __name__ == "__main__":`.
    """
    path, settings = Path(config), settings or SearchSettings()
    root = Path(work_dir or f"work_dirs/search_{path.stem}" + ("_smoke" if settings.smoke else ""))
    check_room(root, settings.smoke, NUMBERS, "search")
    check_place(Path(out or root / "edge"))
    with shown_on(display, width=150) as screen:
        given, options = prepared(path, options or {}, screen)
        candidates = candidates_of(given)
        ladder_of(given, len(candidates))  # a mistake there is told before anything is timed or trained
        field = afford(path, options, candidates, budget, root, screen)
        ground = taught(path, options, root, settings, screen)
        found = searched(ground, given, field, settings, screen)
        content = {"smoke": settings.smoke, **as_json(found, budget)}
        write_atomically(root / NUMBERS, json.dumps(content, indent=1).encode())
        write_search_page(root / "report.html", given, found, budget, command)
        screen.console.print(as_table(found))
        screen.console.print(sentence(found, budget))
        screen.console.print(f"numbers: {root / NUMBERS}, page: {root / 'report.html'}")
        chosen = next(one for one in field.fits if one.name == found.chosen)
        checkpoint, place = found.finals[0].ran.folder / "best.pth", Path(out or root / "edge")
        arm, int8 = arm_of(ground, chosen, found.rungs[-1].epochs), Int8() if budget.precision == "int8" else None
        export(arm.config(), checkpoint, place, int8=int8, say=screen.console.print)
        screen.console.print(f"the folder for the device: {place}")
        return Searched(root, root / "report.html", found.chosen, checkpoint, place, content)


def prepared(path: Path, options: Mapping[str, Any], display: Display) -> tuple[Config, Mapping[str, Any]]:
    """The config and the options of all runs: the teacher's answers are kept, unless the config says how or they cannot be."""
    config = load_config(path, options)
    check_answers(config, "searched for")
    loader = config.train_dataloader
    if not config.get("teacher_cache") and Outline.of(config).teachers:
        if loader.get("mix") or not (loader.get("sampler") or {}).get("shuffle"):
            display.console.print("the teacher answers anew in every run: train_dataloader.mix, or no shuffle, leaves nothing to keep")
        else:
            display.console.print(
                f"the teacher's answers to {_DRAWS} draws are kept for all runs; teacher_cache in the config says otherwise"
            )
            options = {**options, "teacher_cache": as_names({"type": TeacherCache, "draws": _DRAWS})}
    return load_config(path, options), options


def taught(path: Path, options: Mapping[str, Any], root: Path, settings: SearchSettings, display: Display) -> Ground:
    """The teachers' runs, which a comparison of the same config in the same folder has too."""
    config = load_config(path, options)
    arms, sources = teacher_arms(path, options, Outline.of(config), as_plain(config.get("compare") or {}))
    run = {"amp": settings.amp, "smoke": settings.smoke}
    make = partial(make_arms, path, dict(options))
    folders = run_all(make, arms, [settings.seed], root, run, settings.jobs, display) if arms else {}
    teachers = {arm.name: folders[run_key(arm.name, settings.seed)] for arm in arms}
    return Ground(path, options, root, settings.seed, run, sources, teachers)


def ladder_of(config: Config, candidates: int) -> tuple[tuple[int, ...], int]:
    """The epochs of each rung, and of how many candidates one goes on; `ValueError` for what the config's `search` section cannot have."""
    section = as_plain(config.get("search") or {})
    eta = section.get("eta", ETA)
    return epochs_of_rungs(candidates, config.train_cfg.max_epochs, eta, section.get("rungs", ())), eta


@dataclass(frozen=True)
class Race:
    """Trains the candidates that fit, by distillation or by labels alone, and tests those that have been trained to the end."""

    ground: Ground
    candidates: Mapping[str, Candidate]
    ladder: tuple[int, ...]
    eta: int
    higher: bool
    jobs: int
    display: Display

    def run(self, names: Sequence[str], epochs: int, alone: bool = False, tested: bool = False) -> dict[str, Ran]:
        what = f"{len(names)} candidate{'s' * (len(names) > 1)}, {epochs} epochs{', labels alone' * alone}{', tested' * tested}"
        self.display.console.rule(what)
        of = [self.candidates[name] for name in names]
        return run_rung(self.ground, of, epochs, self.jobs, self.display, alone=alone, tested=tested)

    def halved(self, alone: bool = False) -> tuple[Rung, ...]:
        return halve(list(self.candidates), self.ladder, self.eta, self.higher, partial(self.run, alone=alone))

    def tests_of(self, names: Sequence[str], alone: bool = False) -> dict[str, TestRun]:
        epochs = self.ladder[-1]
        ran = self.run(names, epochs, alone, tested=True)
        return {name: read_run(arm_of(self.ground, self.candidates[name], epochs, alone), ran[name].folder).test for name in names}


def searched(ground: Ground, config: Config, field: Field, settings: SearchSettings, display: Display) -> Found:
    """The search, its controls, and what they say of the test split."""
    task: Task = build(as_plain(config.distiller.task), "distiller.task")
    higher, by_name = not less_is_better(config.save_best, task), {one.name: one for one in field.fits}
    race = Race(ground, by_name, *ladder_of(config, len(by_name)), higher, settings.jobs, display)
    rungs = race.halved()
    labels, best, measure, full = tuple[Rung, ...](), rungs[-1].best, task.measures().main[0], None
    finals, tests, dropped = [Finalist(CHOSEN, best, rungs[-1].runs[best])], {CHOSEN: race.tests_of([best])[best]}, dict[str, str]()
    if settings.controls:
        try:
            labels = race.halved(alone=True)
        except FloatingPointError as error:  # what the search has found stands without it
            dropped[BY_LABELS] = str(error)
            display.console.print(f"{BY_LABELS}: the control is left out: {error}", style="bold red")
        else:
            plain = labels[-1].best
            finals.append(Finalist(BY_LABELS, plain, labels[-1].runs[plain]))
            tests[BY_LABELS] = race.tests_of([plain], alone=True)[plain]
        largest = max(by_name, key=lambda name: field.parameters[name])
        if why := (ran := race.run([largest], race.ladder[-1])[largest]).diverged:
            dropped[f"{LARGEST}, {largest}"] = why
        else:
            finals.append(Finalist(LARGEST, largest, ran))
            tests[LARGEST] = race.tests_of([largest])[largest]
    if settings.full:
        runs = race.run(list(by_name), race.ladder[-1])
        whole = [name for name, ran in runs.items() if not ran.diverged]
        full = Full(runs, {name: measure.statistic(of) for name, of in race.tests_of(whole).items()})
    return Found(
        candidates=field.every,
        parameters=field.parameters,
        timings=field.timings,
        left_out=field.left_out,
        rungs=rungs,
        by_labels=labels,
        finals=finals,
        tests=Comparison({title: [of] for title, of in tests.items()}),
        measure=measure,
        save_best=config.save_best,
        higher=higher,
        teachers={name: read_ran(folder).seconds for name, folder in ground.teachers.items()},
        full=full,
        dropped=dropped,
        facts={"seed": settings.seed, "eta": race.eta},
    )
