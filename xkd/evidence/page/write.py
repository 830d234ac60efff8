"""The page of a comparison: its tables, charts and panels, gathered from the finished runs."""

from __future__ import annotations

import datetime
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import timm
import torch
from mmengine.config import Config
from rich.console import Console

import xkd
from xkd.builder import build
from xkd.data.check.brief import brief
from xkd.data.manifest import Manifest, manifest_files
from xkd.data.rows import SPLITS
from xkd.data.targets import NOTHING
from xkd.engine.config import as_plain
from xkd.engine.outline import Outline
from xkd.engine.panels import Looker, named_samples, panel_rows, picture_method, test_samples
from xkd.engine.student import load_student
from xkd.evidence.answers import CLUSTER, num_probed
from xkd.evidence.arm import Arm, ArmRun
from xkd.evidence.arms import first_teacher
from xkd.evidence.flips import Flips
from xkd.evidence.page.caveats import CAVEAT_SMOKE, caveats
from xkd.evidence.page.charts import curves, descent, gradient_shares, reliability
from xkd.evidence.page.flips import changes
from xkd.evidence.page.tables import each_gain, report_arm, tables
from xkd.evidence.particulars import Particulars
from xkd.report import page
from xkd.report.charts import Chart
from xkd.statistics import BEYOND, Summary
from xkd.tasks import Task
from xkd.visualise import draw_folder

NUM_PANELS, NUM_FLIPS = 8, 6
PICTURE_NOTE = "Student's input, teacher's sensor, then where each network looks, or what it says of each pixel; the outline is the mask."
INTRODUCTION = "Every arm is measured on the same test images, each network on its own sensor alone."
# arm -> a title, and what the distilled student is held against
TILES: Mapping[str, tuple[str, str]] = {
    "shuffled": ("Effect of pairing", "the student on shuffled pairs"),
    "shuffled_within": (
        "Effect of exact pairing within a label",
        "pairs shuffled among rows of like labels: what pairs tell beyond these",
    ),
    "shuffled_frames": ("Effect of motion", "the student that sees its frames in random order"),
    "shuffled_masks": ("Effect of the masks' places", "the student that masks of other rows steer"),
    "masks": ("The teacher's part", "the student alone with the same masks"),
    "same_sensor": ("The second sensor's part", "the student taught by its own sensor"),
    "scratch": ("Beyond no weights", "the student alone from random weights"),
    "longer": ("Beyond more steps", "the student alone with as many steps"),
    "self_taught": ("Beyond its own teacher", "the student that is its own teacher"),
    "smoothed": ("Beyond smoothed labels", "the student alone with smoothed labels"),
}


def write_page(
    path: Path,
    config: Config,
    arms: list[Arm],
    runs: Mapping[str, list[ArmRun]],
    summary: Summary,
    details: Particulars,
    command: str,
    console: Console,
) -> None:
    """Write `path` (HTML) and the pictures below `panels/` and `flips/` beside it."""
    manifest = Manifest.load(config.test_dataloader.dataset.root)
    task: Task = build(as_plain(config.distiller.task), "distiller.task")
    unit = resampled(config, runs["alone"][0])
    facts = {"test rows": str(len(runs["alone"][0].test.rows)), "resampled": unit}
    pictured = [arm for arm in arms if not arm.variant]  # twenty lines in one chart tell nobody anything
    drawn = [arm for arm in pictured if arm.name != "shuffled" and not arm.control]
    teacher = first_teacher(arms)
    report = page.Report(
        title=f"{manifest.name}: {_question(config, teacher)}",
        introduction=f"{INTRODUCTION} {labels_note(arms)}",
        headline=headline(summary, teacher is not None),
        names=(task.noun, task.described),
        arms=(*(report_arm(arm, details.costs[arm.name], summary) for arm in arms), each_gain(summary)),
        tables=tables(summary, unit, teacher.title if teacher else "", num_probed(config.get("compare") or {})),
        made=made(manifest, config, range(len(runs["alone"])), facts, command),
        pictures=tuple(pictures(path.parent, config, drawn, runs, details.changed)),
        charts=tuple(charts(arms, pictured, runs, summary)),
        confusions=tuple(confusions(arms, runs, summary)),
        lists=(*changes(details.changed, runs, task), alikeness(details.likeness)),
        data=data_facts(manifest, config),
        caveats=(*[CAVEAT_SMOKE] * ("--smoke" in command.split()), *caveats(manifest, len(runs["alone"]), arms, summary)),
    )
    page.write_report(path, report)
    console.print(f"page: {path}")


def made(manifest: Manifest, config: Config, seeds: Sequence[int], facts: Mapping[str, str], command: str) -> page.Provenance:
    """How to get the numbers again."""
    return page.Provenance(
        command=command,
        config=config.pretty_text,
        data=manifest.name,
        licence=manifest.licence,
        seeds=tuple(seeds),
        date=datetime.date.today().isoformat(),
        versions={
            "xkd": xkd.__version__,
            "torch": torch.__version__,
            "timm": timm.__version__,
            "python": platform.python_version(),
        },
        facts=facts,
    )


def headline(summary: Summary, taught: bool = True) -> page.Headline:
    scores = [summary.scores[arm].get("epg") for arm in ("alone", "distilled")]
    attention = (scores[0], scores[1]) if scores[0] and scores[1] and scores[1].defined else None
    controls = []
    for control, baseline in ((summary.control, "the student alone"), (summary.control_smoothed, "smoothed labels")):
        if control is not None:
            helps = (
                f"better than {baseline}, so what helps is not the pairing"
                if summary.measure.better(control)
                else "pairs mixed up must not help"
            )
            controls.append(page.Control(f"Shuffled pairs against {baseline}", control, helps))
    controls += [_tile(arm, summary) for arm in BEYOND if arm in summary.beyond]
    return page.Headline(
        summary.finding,
        summary.measure,
        summary.gain,
        summary.share if taught else None,
        attention,
        tuple(controls),
        summary.gain_p,
        bool(summary.objections),
        summary.attention if summary.attention and summary.attention.measured else None,
        summary.purpose,
    )


def _tile(arm: str, summary: Summary) -> page.Control:
    title, against = TILES[arm]
    return page.Control(title, summary.beyond[arm], f"{summary.purpose.student} against {against}")


def _question(config: Config, teacher: Arm | None) -> str:
    if teacher:
        return "does the teacher help?"
    if (outline := Outline.of(config)).steers:
        return "do masks steer where it looks?"
    return "do pairs without labels help?" if outline.on_pairs else "does distillation help?"


def pictures(folder: Path, config: Config, arms: list[Arm], runs: Mapping[str, list[ArmRun]], changed: Flips) -> list[page.Picture]:
    """Contact sheets with the networks of the first seed: test images of each class, and those that distillation changed."""
    lookers = []
    for arm in arms:
        source, branch = arm.tested()
        if branch not in source.distiller.branches:
            continue  # an ensemble looks nowhere, its networks do
        student = load_student(source, str(runs[arm.name][0].checkpoint), branch)
        lookers.append(Looker(arm.title, student, picture_method(source, branch)))
    task = lookers[-1].student.task
    ids = [*list(changed.gained)[:NUM_FLIPS], *list(changed.lost)[:NUM_FLIPS]]
    wanted = {"panels": test_samples(config, "test", NUM_PANELS)} | ({"flips": named_samples(config, "test", ids)} if ids else {})
    captions = {
        "panels": ("What they see", PICTURE_NOTE),
        "flips": ("What distillation changed", score.note if (score := task.measures().rows) else ""),
    }
    sheets = []
    for name, (samples, views) in wanted.items():
        sheet = draw_folder(panel_rows(samples, views, lookers), folder / name, task.names)
        sheets.append(page.Picture(*captions[name], sheet))
    return sheets


def alikeness(likeness: Mapping[str, tuple[float, float]]) -> page.Listing:
    """CKA of what the terms compare."""
    rows = tuple((name, *(f"{value:.3f}" for value in values)) for name, values in likeness.items())
    note = "centred kernel alignment of the readings that terms compare, test split, first seed; 1 is the same arrangement of the rows"
    return page.Listing("How alike student and teacher see", note, ("readings", "alone", "distilled"), rows)


def data_facts(manifest: Manifest, config: Config) -> dict[str, str]:
    """Who has what, which share is labelled, how far the pairs of some rows lie apart."""
    checked = brief(manifest)
    rows = checked.balance.rows
    facts = {"rows": ", ".join(f"{split} {rows[split]}" for split in SPLITS)}
    for name in ("a label", "a mask", *checked.balance.sensors):
        have = checked.balance.have[name]
        if sum(have.values()):
            facts[f"rows with {name}"] = ", ".join(f"{split} {have[split]}" for split in SPLITS)
    dataset = as_plain(config.train_dataloader.dataset)
    trained = [row for row in Manifest.load(dataset["root"]).rows if row.split == "train"]
    if drawn := sum(bool(row.scores) for row in trained):
        facts["training rows with scored boxes"] = f"{drawn} of {len(trained)}"
    if Manifest.load(dataset["root"]).root != manifest.root:
        facts["training reads another data set"] = f"{dataset['root']}; the rows counted here are those of {manifest.name}"
    for kind in ("labels", "masks"):
        if (fraction := dataset.get(kind, {}).get("fraction", 1.0)) < 1:
            facts[f"{kind} that training keeps"] = f"{100 * fraction:g} %"
    remarks: dict[str, list[str]] = {}
    for finding in checked.findings:
        remarks.setdefault(f"{finding.subject} ({finding.severity})", []).append(finding.text)
    return facts | {subject: "; ".join(texts) for subject, texts in remarks.items()}


def labels_note(arms: list[Arm]) -> str:
    """Whether all arms learned from the same labels."""
    shares = {}
    for arm in arms:
        dataset = arm.config().train_dataloader.dataset
        labels = dataset.get("labels", {})
        # boxes that a detector drew make another data set, not other labels
        unlabelled = not manifest_files(dataset) or dataset.get("target") == NOTHING
        rows = () if unlabelled else Manifest.load(dataset.root).rows
        known = frozenset((row.id, row.labels, row.numbers) for row in rows if row.split == "train")
        shares[arm.title] = (0.0 if unlabelled else float(labels.get("fraction", 1.0)), int(labels.get("seed", 0)), known)
    usual = Counter(shares.values()).most_common(1)[0][0]
    others = [f"{title} ({100 * of[0]:.0f} %)" for title, of in shares.items() if of != usual]
    same = f"All arms have the same labels, {100 * usual[0]:.0f} % of those of the training rows"
    return f"{same}, except that these have others: {', '.join(others)}." if others else f"{same}."


def charts(arms: list[Arm], pictured: list[Arm], runs: Mapping[str, list[ArmRun]], summary: Summary) -> list[Chart]:
    drawn = [curves(pictured, runs), descent(arms, runs), gradient_shares(runs["distilled"][0])]
    drawn += [reliability(pictured, runs, bins)] if (bins := summary.measures.bins) else []
    return [chart for chart in drawn if chart.lines]


def confusions(arms: list[Arm], runs: Mapping[str, list[ArmRun]], summary: Summary) -> list[page.Confusion]:
    if (confusion := summary.measures.confusion) is None:
        return []
    shown = [arm for arm in arms if arm.name in ("alone", "distilled")]
    return [page.Confusion(arm.title, np.sum([confusion(run.test) for run in runs[arm.name]], axis=0).tolist()) for arm in shown]


def resampled(config: Config, run: ArmRun) -> str:
    """What the bootstrap draws: "410 test rows" or "50 values of 'frame' of 410 test rows"."""
    cluster = as_plain(config.get("compare") or {}).get("cluster", CLUSTER)
    rows, number = len(run.test.rows), len(set(run.test.clusters.tolist()))
    return f"{rows} test rows" if number == rows else f"{number} values of '{cluster}' of {rows} test rows"
