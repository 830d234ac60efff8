"""From a checked data set to a distilled student and an answer: check, config, teacher and student alone, diagnosis, arms, page, export."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from torch import nn

from xkd.data.check.run import PairCheck
from xkd.data.manifest import Manifest, find_dataset
from xkd.deploy.export import Deployed, ExportReport
from xkd.engine.config import load_config
from xkd.engine.progress import Display, shown_on
from xkd.engine.student import Student, load_student
from xkd.engine.use import Prediction, export, predict
from xkd.evidence.arms import is_teacher, make_arms
from xkd.evidence.compare import Compared, compare
from xkd.evidence.data_page import PAGE, check_data
from xkd.evidence.diagnosis import Diagnosis, as_json, diagnose
from xkd.evidence.first import first_config
from xkd.evidence.runs import run_all
from xkd.files import write_atomically
from xkd.init.choices import Wishes
from xkd.init.ways import other_tasks
from xkd.statistics import Summary

ARMS: Final = ("alone", "distilled", "shuffled", "shuffled_masks")  # beside the teachers: what the first answer rests on
_SAMPLED: Final = 100  # rows whose pixels the check reads


@dataclass(frozen=True)
class Distilled:
    """What `distill` gives: the numbers (`summary`), the student, and where everything lies.

    `student` is a plain module: images (B, C, H, W) in the sensor's unit, of the view's size, give (logits, probabilities).
    """

    folder: Path
    config: Path
    check: PairCheck
    diagnosis: Diagnosis
    compared: Compared
    exported: ExportReport
    command: str = ""  # that led here, "" in a script

    @property
    def summary(self) -> Summary:
        return self.compared.summary

    @property
    def report(self) -> Path:
        return self.compared.report

    @property
    def checkpoint(self) -> Path:
        """Of the distilled student, first seed."""
        return self.compared.checkpoint("distilled")

    def load(self) -> Student:
        return load_student(load_config(self.config), str(self.checkpoint))

    @property
    def student(self) -> nn.Module:
        of = self.load()
        return Deployed(of.branch, of.task).eval()

    def predict(self, images: Sequence[str | Path]) -> list[Prediction]:
        """Of image files, and of all images in folders, from the student's sensor alone."""
        return predict(self.load(), images)

    def export(self, out: str | Path) -> ExportReport:
        """The student as ONNX, with its model card, to another place."""
        return export(self.config, self.checkpoint, out)

    def lines(self) -> list[str]:
        """Did it help, where is what, what to do next: ten lines at most."""
        summary = self.summary
        accuracy = {name: str(of[summary.metric]) for name, of in summary.arms.items()}
        named = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in accuracy.items())
        metric = summary.measure.heading
        seeds = len(self.compared.runs["distilled"])
        again = f"{self.command} --seeds 3" if self.command else "xkd.distill(..., seeds=3)"
        more = f"{again}, for an answer to rest on; what is finished is reused"
        questions = "; ".join(f"{one.question} {one.verdict}" for one in self.diagnosis.answers)
        controls = f"xkd compare {self.config} --work-dir {self.compared.folder} --seeds {seeds} --controls"
        return [
            f"{metric} on test: {named}",
            summary.finding,
            f"before the long run: {self.diagnosis.advice}{f' ({questions})' if questions else ''}",
            f"data: {len(self.check.findings)} findings, {self.folder / 'check' / PAGE}",
            f"page: {self.report}",
            f"model: {self.exported.model} ({self.exported.num_bytes / 1e6:.1f} MB), its card beside it",
            f"checkpoint: {self.checkpoint}",
            f"config, yours to change: {self.config}",
            f"next: {more if seeds < 3 else controls}",
        ]


def distill(  # noqa: PLR0913  # each is an option of the command
    data: str | Path,
    *,
    student: str = "",
    teacher: str | Sequence[str] = (),
    config: str | Path = "",
    networks: Mapping[str, str] | None = None,
    pretrained: bool = False,
    weights: str | Path = "",
    task: str = "",
    target: str = "",
    epochs: int = 0,
    quick: bool = False,
    seeds: int = 1,
    jobs: int = 0,
    work_dir: str | Path = "",
    display: Display | None = None,
    command: str = "",
) -> Distilled:
    """All of it, resumable: what is finished in `work_dir` (work_dirs/NAME-OF-DATA_STUDENT without one) is reused.

    `data` is a data set's folder or its name below XKD_DATA_ROOT, `teacher` and `student` columns of its manifest; `config` is used in
    place of one that is written, `weights` (of one network for all) in place of timm's hub. `task="dense"` learns the column `target`.
    `quick` takes small images and few steps. In a script, call it below `if __name__ == "__main__":`, since runs are processes.
    """
    root = find_dataset(str(data))
    manifest = Manifest.load(root)
    teachers = (teacher,) if isinstance(teacher, str) else tuple(teacher)
    _check_named(manifest, config, student, teachers)
    folder = Path(work_dir or f"work_dirs/{manifest.name}_{student or Path(config).stem}" + ("_quick" if quick else ""))
    with shown_on(display, width=150) as screen:
        say = screen.console.rule
        say("1/5 the data")
        check = checked(manifest, folder / "check", command, screen)
        say("2/5 the config")
        wishes = Wishes(student, teachers, networks or {}, pretrained or bool(weights), epochs, quick, str(weights), target)
        path = config_of(config, folder, root, wishes, task, command, screen)
        runs = folder / "runs"
        say("3/5 teacher and student alone, and what they tell before the rest")
        diagnosis = diagnosed(path, runs, jobs, screen)
        say("4/5 the comparison")
        arms = [arm.name for arm in make_arms(path, {}) if is_teacher(arm) or arm.name in ARMS]
        compared = compare(path, seeds=seeds, work_dir=runs, arms=arms, jobs=jobs, display=screen, command=command)
        say("5/5 the model")
        exported = export(path, compared.checkpoint("distilled"), folder / "student.onnx")
        done = Distilled(folder, path, check, diagnosis, compared, exported, command)
        say("the answer")
        for line in done.lines():
            screen.console.print(line, highlight=False)
    return done


def _check_named(manifest: Manifest, config: str | Path, student: str, teachers: Sequence[str]) -> None:
    if not config and not (student and teachers):
        raise ValueError(f"name who teaches whom, teacher= and student=, of {sorted(manifest.modalities)}, or a config=")


def checked(manifest: Manifest, out: Path, command: str, display: Display) -> PairCheck:
    """`ValueError` where training would refuse the data, with the first reasons."""
    check = check_data(manifest, out, display.progress, command=command, sample=_SAMPLED)
    for finding in check.findings:
        if finding.severity != "note":
            display.console.print(f"{finding.severity}, {finding.subject}: {finding.text}", highlight=False)
    display.console.print(f"{check.files} files, {len(check.findings)} findings: {out / PAGE}")
    if check.errors:
        first = next(finding.text for finding in check.findings if finding.severity == "error")
        raise ValueError(f"{manifest.root}: {check.errors} errors in the data, the first: {first}. All of them: {out / PAGE}")
    return check


def config_of(config: str | Path, folder: Path, root: str, wishes: Wishes, task: str, command: str, display: Display) -> Path:
    """The config that is named, or that in `folder`, which is written where it is not there yet: its owner may have changed it."""
    path = Path(config) if config else folder / "config.py"
    manifest = Manifest.load(root)
    is_new = not path.exists() and first_config(manifest, root, wishes, path, command or "xkd.distill", task)
    if is_new and (others := other_tasks(manifest, task or wishes.target)):
        display.console.print(others, highlight=False)
    kept = "is used as it is; for other networks, epochs or sizes edit it, or name another --work-dir"
    display.console.print(f"{path} {'is written' if is_new else kept}")
    return path


def diagnosed(config: Path, runs: Path, jobs: int, display: Display) -> Diagnosis:
    """Teachers and the student alone are trained as the comparison needs them, and looked at on val."""
    arms = make_arms(config, {})
    first = [arm for arm in arms if is_teacher(arm) or arm.name == "alone"]
    run_all(partial(make_arms, config, {}), first, [0], runs, {"amp": False, "smoke": False}, jobs, display)
    diagnosis = diagnose(arms, 1.0, runs, display)
    for one in diagnosis.answers:
        display.console.print(f"{one.question} {one.verdict}: {one.reason}", highlight=False)
    write_atomically(runs / "diagnosis.json", json.dumps(as_json(diagnosis), indent=1).encode())
    return diagnosis
