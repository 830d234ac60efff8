"""Before the long run: do the pairs fit, is the teacher better, can it tell what labels do not? On val, never on test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from mmengine.config import Config
from numpy.typing import NDArray

from xkd.batch import View
from xkd.builder import build
from xkd.data.check.brief import brief
from xkd.data.check.residual import MAX_RESIDUAL, residual_findings
from xkd.data.manifest import Manifest
from xkd.data.paired import PairedDataset
from xkd.data.shots import has
from xkd.engine.config import as_plain
from xkd.engine.loaders import build_loader
from xkd.engine.outline import Outline
from xkd.engine.progress import Display
from xkd.engine.student import Student, load_student
from xkd.evidence.answers import CLUSTER
from xkd.evidence.arm import Arm
from xkd.evidence.comparable import check_measured
from xkd.evidence.readings import output_and_reading
from xkd.evidence.runs import train_arm
from xkd.modalities import RGB
from xkd.statistics import FEW_CLUSTERS, Comparison, Estimate, Measures, TestRun
from xkd.statistics.dependence import Dependence, dependence_within
from xkd.tasks import Task

Verdict = Literal["for", "against", "unclear"]
SIGNIFICANT = 0.05
NUM_ROWS = 1000  # of val, at most, for the permutations
LEAST_EPOCHS = 4


@dataclass(frozen=True)
class Answer:
    """One question, what speaks for or against distillation, and why."""

    question: str
    verdict: Verdict
    reason: str


@dataclass(frozen=True)
class Diagnosis:
    """`advice` is "against" where one answer is, "for" where all are, else "unclear"."""

    answers: tuple[Answer, ...]

    @property
    def advice(self) -> Verdict:
        verdicts = {answer.verdict for answer in self.answers}
        return "against" if "against" in verdicts else "for" if verdicts == {"for"} else "unclear"


@dataclass(frozen=True)
class Seen:
    """A network on the val rows that both sensors have: its answers, and its last stage averaged over positions (N, D)."""

    run: TestRun
    deep: NDArray[np.float32]


def diagnose(arms: list[Arm], share: float, root: Path, display: Display) -> Diagnosis:
    """Train teachers and the student alone for `share` of their epochs (what is there is reused), and look at them on val."""
    named = {arm.name: arm for arm in arms}
    distilled = named["distilled"]
    check_measured(distilled)
    config = distilled.config()
    folders: dict[str, Path] = {}
    teachers = {branch: source for branch, source in distilled.teachers.items() if not named[source].aside}
    for name in (*teachers.values(), "alone"):
        short = shortened(named[name], share)
        folders[name] = train_arm(short, 0, root, folders, {"amp": False, "smoke": False}, display)
    student = load_student(config, str(folders["alone"] / "best.pth"), distilled.branch)
    pairs: Any = build_loader(config.train_dataloader, 0).dataset
    unlabelled = sum(row.labels is None for row in pairs.rows), len(pairs)
    answers = []
    if aside := sorted(set(distilled.teachers) - set(teachers)):
        answers.append(Answer("Is the teacher better?", "unclear", f"{aside} answer another question than the student: nobody can compare"))
    for branch, source in teachers.items():
        teacher = load_student(config, str(folders[source] / "best.pth"), branch)
        ours, theirs = both_on_val(config, student, teacher)
        answers += [
            _pairs(config, branch),
            (better := _better(branch, ours.run, theirs.run, student.task.measures())),
            _tells(branch, ours, theirs, unlabelled, student.task),
        ]
        views = [of.branch.view for of in (student, teacher)]
        sensors = [{one.name for one in view.sensors} for view in views]
        if better.verdict != "for" and sensors[0] != sensors[1] and not Outline.of(config).on_pairs:
            alike = alignment(ours, theirs) if student.task.one_class else None
            answers.append(_features(pairs, views, branch, alike))
    return Diagnosis(tuple(answers))


def shortened(arm: Arm, share: float) -> Arm:
    """The same arm for a share of its epochs, with its schedules; the whole of it is the arm itself, which a comparison may have run."""
    if not 0 < share <= 1:
        raise ValueError(f"the share of the epochs to train for a diagnosis is above 0 and at most 1, got {share}")

    def config() -> Config:
        made = arm.config()
        whole = made.train_cfg.max_epochs
        epochs = min(whole, max(LEAST_EPOCHS, round(share * whole)))
        limits = {"max_epochs": epochs, "val_begin": 1, "val_interval": min(made.train_cfg.get("val_interval", 1), epochs)}
        made.train_cfg.update(limits)
        for schedule in made.get("param_scheduler") or []:
            for key in ("begin", "end", "T_max") if schedule.get("by_epoch", True) else ():
                if key in schedule:
                    schedule[key] = max(round(schedule[key] * epochs / whole), int(key != "begin"))
            if schedule.get("by_epoch", True) and "end" in schedule:
                schedule.end = max(schedule.end, schedule.get("begin", 0) + 1)
        return made

    return arm if share == 1 else replace(arm, config=config)


def both_on_val(config: Config, student: Student, teacher: Student) -> tuple[Seen, Seen]:
    """Each network on its own view of the labelled val rows that have both."""
    section = as_plain(config.get("compare") or {})
    views = {of.branch.view.name: of.branch.view for of in (student, teacher)}
    columns: dict[str, list[Any]] = {name: [] for name in ("rows", "target", "clusters", "student", "teacher", "ours", "theirs")}
    for batch in build_loader(config.val_dataloader, 0, views=list(views.values())):
        kept = torch.stack([batch.present[name] for name in views]).all(0) & batch.labelled
        columns["rows"] += [meta["id"] for meta, keep in zip(batch.meta, kept, strict=True) if keep]
        columns["clusters"] += [meta[section.get("cluster", CLUSTER)] for meta, keep in zip(batch.meta, kept, strict=True) if keep]
        columns["target"].append(batch.target[kept])
        for of, answers, deep in ((student, "student", "ours"), (teacher, "teacher", "theirs")):
            output, reading = output_and_reading(of.branch, batch.to(of.branch.mean.device), of)
            columns[answers].append(of.task.predict(output).cpu()[kept])
            columns[deep].append(reading.cpu()[kept])
    if not columns["rows"]:
        raise ValueError(f"no labelled row of the val split has both sensors, {list(views)}")
    whole = {name: torch.cat(columns[name]).numpy() for name in ("student", "teacher", "ours", "theirs")}
    target = torch.cat(columns["target"]).numpy()
    rows, clusters = np.array(columns["rows"]), np.array(columns["clusters"])
    seen = [
        Seen(TestRun(rows, whole[answers], target, clusters), whole[deep]) for answers, deep in (("student", "ours"), ("teacher", "theirs"))
    ]
    return seen[0], seen[1]


def _better(branch: str, student: TestRun, teacher: TestRun, measures: Measures) -> Answer:
    measure = measures.main[0]
    comparison = Comparison({"teacher": [teacher], "alone": [student]})
    gap: Estimate = comparison.difference("teacher", "alone", measure.statistic)
    none_left = gap.high <= 0 if measure.higher else gap.low >= 0
    verdict: Verdict = "for" if measure.better(gap) else "against" if none_left else "unclear"
    theirs, ours = (measure.statistic(run) for run in (teacher, student))
    scores = f"{measure.heading if measure.title else measure.name} {theirs:.3f} on {branch}, {ours:.3f} for the student alone:"
    reason = f"{scores} {measure.change(gap)} {measure.span(gap)} on {len(student.rows)} rows of val"
    if comparison.num_clusters < FEW_CLUSTERS:
        few = f" in only {comparison.num_clusters} groups, too few to tell"
        return Answer(f"Is the teacher on {branch} better?", "unclear", reason + few)
    none = "; a worse teacher takes away" if (gap.mean < 0) == measure.higher and gap.mean else "; there is no gap to close"
    worse = {"for": "", "against": none, "unclear": "; there may be no gap to close"}
    return Answer(f"Is the teacher on {branch} better?", verdict, reason + worse[verdict])


def _tells(branch: str, student: Seen, teacher: Seen, unlabelled: tuple[int, int], task: Task) -> Answer:
    """Within a class, does the student's sensor say anything about the teacher's answer? Where labels lack, does it without the class?

    `unlabelled` pairs of all in training.
    """
    question = f"Can the teacher on {branch} tell the student what its labels do not?"
    if not task.one_class:
        alone = "this test conditions on a row's class; rows of this task do not have exactly one"
        every = f"this test compares rows that have one label in common, which rows with {task.noun} seldom have"
        return Answer(question, "unclear", alone if task.of_classes else every)
    answers = task.measures().scale(teacher.run.predictions)
    ours, theirs, classes = by_group(student.run, student.deep, answers)
    chosen = np.random.default_rng(0).permutation(len(ours))[:NUM_ROWS]
    dependence: Dependence = dependence_within(ours[chosen], theirs[chosen], classes[chosen])
    significant = dependence.p < SIGNIFICANT  # not where it is not a number
    if not np.isfinite(dependence.p):
        alignment = "within the classes one of the networks says the same of every row"
    else:
        alignment = f"alignment within classes {in_words(dependence)} of {len(chosen)} groups"
        alignment += "" if significant else ": no sign that it tells more than the class"
    few = f"{unlabelled[0]} of {unlabelled[1]} training pairs carry no label"
    if not unlabelled[0]:
        noise = "" if significant else ", which every training pair carries: its soft targets may be noise to the student"
        return Answer(question, "for" if significant else "unclear", alignment + noise)
    if significant:
        return Answer(question, "for", f"{alignment}; {few}, and there the teacher's class is new information")
    # without a label the class itself would be news, if the student's sensor shows any of it
    free = dependence_within(ours[chosen], theirs[chosen], np.zeros(len(chosen), np.int64))
    if free.p < SIGNIFICANT:
        return Answer(
            question, "for", f"{alignment}; {few}, and there the teacher's class is new information: without holding it {in_words(free)}"
        )
    blind = f"; without holding it {in_words(free)}" if np.isfinite(free.p) else ""
    return Answer(question, "unclear", f"{alignment}; {few}, but the student's sensor shows no sign of what the teacher says{blind}")


def _features(pairs: PairedDataset, views: Sequence[View], branch: str, alike: Dependence | None) -> Answer:
    """Where the teacher's answers close no gap: may pairs teach by features, which need no label and no better teacher?

    `views` are the student's and the teacher's, `alike` how far their last stages agree. What pairs teach shows in a run alone: open.
    """
    both = [row for row in pairs.rows if all(has(row, view) for view in views)]
    few = sum(row.labels is None for row in both)
    seen = f"{few} of {len(both)} training pairs carry no label" if few else f"all {len(both)} training pairs carry a label"
    if alike is not None and np.isfinite(alike.p):
        seen += f"; what the two networks see on val is {'alike' if alike.p < SIGNIFICANT else 'not shown to be alike'}, {in_words(alike)}"
    # pretrained weights are the camera's; it teaches whichever network sees something else
    camera = 0 if any(isinstance(one, RGB) for one in views[0].sensors) else 1
    source, target = (views[at].sensors[0].name for at in (camera, 1 - camera))
    whose = "the teacher" if camera == 0 else "the student"
    way = f"xkd pretrain {pairs.manifest.root} --from {source} --to {target}, in a config PretrainedOnPairs as the start of {whose}"
    return Answer(f"May pairs of {branch} without labels still teach?", "unclear", f"{seen}; only a run shows: {way}")


def alignment(student: Seen, teacher: Seen) -> Dependence:
    """Of the last stages, group by group, whatever the class."""
    ours, theirs, _ = by_group(student.run, student.deep, teacher.deep)
    chosen = np.random.default_rng(0).permutation(len(ours))[:NUM_ROWS]
    return dependence_within(ours[chosen], theirs[chosen], np.zeros(len(chosen), np.int64))


def in_words(dependence: Dependence) -> str:
    return f"{dependence.cka:.3f}, by chance {dependence.chance:.3f}; p = {dependence.p:.3f} by permutation"


def by_group(
    run: TestRun, ours: NDArray[np.float32], theirs: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Means over the rows of one group and class: rows of one plant, scene or drive are no independent witnesses."""
    units, place = np.unique(np.stack([run.clusters, run.target.astype(str)], 1), axis=0, return_inverse=True)
    place = place.reshape(-1)
    counts = np.bincount(place)[:, None]
    means = []
    for reading in (ours, theirs):
        flat = reading.reshape(len(reading), -1).astype(np.float64)
        sums = np.zeros((len(units), flat.shape[1]))
        np.add.at(sums, place, flat)
        means.append(sums / counts)
    return means[0], means[1], units[:, 1].astype(np.int64)


def _pairs(config: Config, branch: str) -> Answer:
    """The student's sensors and this teacher's, in train and val."""
    branches = as_plain(config.distiller.branches)
    sensors = {name: {sensor.name for sensor in build(branches[name]["view"]).sensors} for name in (config.distiller.student, branch)}
    ours, theirs = sensors.values()
    question = f"Do the pairs of {branch} fit?"
    checked = brief(Manifest.load(config.train_dataloader.dataset.root), splits=("train", "val"))
    pairs = [one for one in checked.residuals if {one.first, one.second} & ours and {one.first, one.second} & theirs - ours]
    if not pairs:
        return Answer(
            question,
            "for" if theirs <= ours else "unclear",
            "one sensor, so there is nothing to align" if theirs <= ours else "no row has both",
        )
    findings = [finding for one in pairs for finding in residual_findings(one, MAX_RESIDUAL)]
    text = "; ".join(finding.text for finding in findings)
    grave = [finding for finding in findings if finding.severity != "note"]
    if not grave:
        return Answer(question, "for", text)
    return Answer(question, "unclear" if all("not measurable" in finding.text for finding in grave) else "against", text)


def as_json(diagnosis: Diagnosis) -> Mapping[str, Any]:
    return {"advice": diagnosis.advice, "answers": [answer.__dict__ for answer in diagnosis.answers]}
