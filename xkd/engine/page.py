"""The page of a comparison: its tables, learning curves and panels, gathered from the finished runs."""

from __future__ import annotations

import datetime
import json
import platform
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import timm
import torch
from mmengine.config import Config
from rich.console import Console

import xkd
from xkd.compare import Summary, confusion
from xkd.data.manifest import Manifest
from xkd.engine.arms import CLUSTER, MASKS, Arm, ArmRun, alone, has_pairs
from xkd.engine.config import as_plain
from xkd.engine.panels import Looker, panel_rows, picture_method, test_samples
from xkd.engine.student import load_student
from xkd.report import page
from xkd.report.charts import Chart
from xkd.visualise import draw_folder

NUM_PANELS = 8
PICTURE_NOTE = "Student's input, teacher's sensor, then where each network looks, or what it says of each pixel; the outline is the mask."
INTRODUCTION = "Every arm is measured on the same test images, each network on its own sensor alone."
CAVEAT_SHUFFLED = (
    "The control with shuffled pairs was not run, so nothing here shows that the gain comes from the pairs. Add its arm: shuffled."
)
CAVEAT_MASKS = (
    "The distilled student was also shown the masks of labelled rows, the student alone was not: the gain belongs to teacher and masks"
    " together. The arm 'masks' tells them apart."
)
CAVEAT_SMOKE = "A smoke run: one step per arm shows that everything runs, its numbers mean nothing."
CAVEAT_SEEDS = "One seed: the interval speaks of the test images alone, not of the luck of initialisation. Use --seeds 3 or more."


def write_page(
    path: Path, config: Config, arms: list[Arm], runs: Mapping[str, list[ArmRun]], summary: Summary, command: str, console: Console
) -> None:
    """Write `path` (HTML) and the pictures below `panels/` beside it."""
    manifest = Manifest.load(config.test_dataloader.dataset.root)
    classes = tuple(as_plain(config.distiller.task)["classes"])  # of pixels they are not the manifest's
    unit = resampled(config, runs["alone"][0])
    metric = summary.metric.replace("_", " ")
    pictured = [arm for arm in arms if not arm.variant]  # twenty lines in one chart tell nobody anything
    attention = (summary.energy["alone"], summary.energy["distilled"]) if summary.energy["distilled"].defined else None
    report = page.Report(
        title=f"{manifest.name}: does the teacher help?",
        introduction=f"{INTRODUCTION} {labels_note(arms)}",
        finding=page.Finding(summary.finding, metric, summary.gain, summary.share, summary.control, attention, summary.beyond_masks),
        classes=classes,
        arms=tuple(report_arm(arm, runs[arm.name], summary, classes) for arm in arms),
        tables=tables(summary, classes, unit),
        made=page.Made(
            command=command,
            config=config.pretty_text,
            data=manifest.name,
            licence=manifest.licence,
            seeds=tuple(range(len(runs["alone"]))),
            date=datetime.date.today().isoformat(),
            versions={
                "xkd": xkd.__version__,
                "torch": torch.__version__,
                "timm": timm.__version__,
                "python": platform.python_version(),
            },
            facts={"test rows": str(len(runs["alone"][0].test.rows)), "resampled": unit},
        ),
        pictures=(page.Picture("What they see", PICTURE_NOTE, draw_panels(path.parent / "panels", config, pictured, runs)),),
        charts=(curves(pictured, runs),),
        confusions=tuple(confusions(arms, runs, manifest)),
        caveats=(*[CAVEAT_SMOKE] * ("--smoke" in command.split()), *caveats(manifest, len(runs["alone"]), arms)),
    )
    page.write_report(path, report)
    console.print(f"page: {path}")


def tables(summary: Summary, classes: tuple[str, ...], unit: str) -> tuple[page.Table, ...]:
    """Overall, the metric that the comparison is judged by first; recall per class; attention where there are masks."""
    overall = [page.Metric(name, name.replace("_", " ")) for name in sorted(summary.arms["alone"], key=lambda name: name != summary.metric)]
    made = [
        page.Table("Test split", f"mean over seeds, 95 % bootstrap interval over {unit} and seeds", tuple(overall), chart=True),
        page.Table("Recall per class", "", tuple(page.Metric(f"recall {name}", name) for name in classes)),
    ]
    if summary.energy["distilled"].defined:
        made.append(page.Table("Where it looks", "share of attention inside the mask", (page.Metric("energy", "energy inside"),)))
    return tuple(made)


def draw_panels(folder: Path, config: Config, arms: list[Arm], runs: Mapping[str, list[ArmRun]]) -> Path:
    """A contact sheet of test images with the networks of the first seed, and one PNG for each image."""
    lookers = []
    for arm in arms:
        if arm.name == "shuffled":
            continue
        source = arm.config()
        student = load_student(source, str(runs[arm.name][0].checkpoint), arm.branch)
        lookers.append(Looker(arm.title, student, picture_method(source, arm.branch)))
    samples, views = test_samples(config, "test", NUM_PANELS)
    rows = panel_rows(samples, views, lookers, lookers[-1].student.task.classes)
    return draw_folder(rows, folder, lookers[-1].student.task.classes)


def report_arm(arm: Arm, runs: list[ArmRun], summary: Summary, classes: tuple[str, ...]) -> page.Arm:
    metrics = dict(summary.arms[arm.name])
    metrics.update({f"recall {name}": estimate for name, estimate in zip(classes, summary.recall[arm.name], strict=True)})
    if summary.energy[arm.name].defined:
        metrics["energy"] = summary.energy[arm.name]
    parameters = sum(p.numel() for p in load_student(arm.config(), str(runs[0].checkpoint), arm.branch).branch.model.parameters())
    seconds = sum(run.seconds for run in runs) / len(runs)
    facts = {"training": f"{seconds:.0f} s", "parameters": f"{parameters / 1e6:.2f} M"}
    return page.Arm(arm.title, f"sees {as_view(arm)}", metrics, facts)


def labels_note(arms: list[Arm]) -> str:
    """Whether all arms learned from the same labels."""
    shares = {}
    for arm in arms:
        dataset = arm.config().train_dataloader.dataset
        shares[arm.title] = (dataset.root, float(dataset.get("label_fraction", 1.0)), int(dataset.get("label_seed", 0)))
    if len(set(shares.values())) == 1:
        share = next(iter(shares.values()))[1]
        return f"All arms have the same labels, {100 * share:.0f} % of those of the training rows."
    listed = ", ".join(f"{title} {100 * share:.0f} %" for title, (_, share, _) in shares.items())
    return f"The arms do not have the same labels: {listed}."


def as_view(arm: Arm) -> str:
    return str(arm.config().distiller.branches[arm.branch].view.name)


def curves(arms: list[Arm], runs: Mapping[str, list[ArmRun]]) -> Chart:
    """The score that checkpoints were chosen by, over epochs, of the first seed."""
    lines = {}
    score = json.loads((runs["distilled"][0].folder / "result.json").read_text())["save_best"]
    for arm in arms:
        points = []
        for log in sorted(runs[arm.name][0].folder.glob("*/vis_data/scalars.json")):
            for entry in map(json.loads, log.read_text().splitlines()):
                if score in entry:
                    points.append((float(entry["step"]), float(entry[score])))
        lines[arm.title] = points
    return Chart("Learning curves (first seed)", "epoch", score, lines)


def confusions(arms: list[Arm], runs: Mapping[str, list[ArmRun]], manifest: Manifest) -> list[page.Confusion]:
    if manifest.multilabel:
        return []
    shown = [arm for arm in arms if arm.name in ("alone", "distilled")]
    return [page.Confusion(arm.title, np.sum([confusion(run.test) for run in runs[arm.name]], axis=0).tolist()) for arm in shown]


def caveats(manifest: Manifest, seeds: int, arms: list[Arm]) -> list[str]:
    """What a reader must know before believing the finding; what the arms that were run leave open."""
    named = {arm.name: arm for arm in arms}
    distilled = named["distilled"].config()
    found = [CAVEAT_SEEDS] if seeds == 1 else []
    if "masks" not in named and alone(distilled, MASKS).distiller.terms != named["alone"].config().distiller.terms:
        found.append(CAVEAT_MASKS)
    if "shuffled" not in named and has_pairs(named["distilled"].config()):
        found.append(CAVEAT_SHUFFLED)
    if "simulated" in manifest.source:
        found.append("This data set is simulated: nothing here is evidence about the world.")
    return found


def resampled(config: Config, run: ArmRun) -> str:
    """What the bootstrap draws: "410 test rows" or "50 values of 'frame' of 410 test rows"."""
    cluster = as_plain(config.get("compare") or {}).get("cluster", CLUSTER)
    rows, number = len(run.test.rows), len(set(run.test.clusters.tolist()))
    return f"{rows} test rows" if number == rows else f"{number} values of '{cluster}' of {rows} test rows"
