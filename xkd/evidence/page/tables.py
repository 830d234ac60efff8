"""The tables of a comparison's page: what each arm scored, where it looks, how near it is to its teacher, what it costs."""

from __future__ import annotations

from collections.abc import Mapping

from xkd.engine.outline import Outline
from xkd.evidence.answers import NUM_PROBED
from xkd.evidence.arms import Arm
from xkd.evidence.costs import Cost
from xkd.report import page
from xkd.statistics import UNDEFINED, Summary

LOOKS = (
    page.Metric("epg", "attention inside the mask"),
    page.Metric("epg_lift", "lift over chance", "times"),
    page.Metric("lift_within", "lift on the object alone", "times"),
    page.Metric("pointing_game", "pointing game"),
    page.Metric("iou", "IoU, from half of the range on"),
    page.Metric("no_map", "empty maps"),
)
FAITH = (
    page.Metric("insertion", "insertion (higher is better)"),
    page.Metric("deletion", "deletion (lower is better)"),
    page.Metric("randomised", "correlation with the map of random weights", "number"),
)
FIDELITY = (page.Metric("agreement", "same class as the teacher"), page.Metric("kl", "KL divergence from it, nats", "number"))
CALIBRATION = "calibration_error"
MINUS_ALONE = "minus_alone"


def report_arm(arm: Arm, cost: Cost, summary: Summary, classes: tuple[str, ...]) -> page.ArmRow:
    metrics = {**summary.arms[arm.name], **summary.scores[arm.name]}
    metrics.update({f"recall {name}": estimate for name, estimate in zip(classes, summary.recall[arm.name], strict=True)})
    for score, each in summary.class_scores.get(arm.name, {}).items():
        metrics.update({f"{score} {name}": estimate for name, estimate in zip(classes, each, strict=True)})
    config, branch = arm.tested()
    view = Outline.of(config).view_of(branch)["name"]
    asides = flat_maps(summary.undefined[arm.name])
    if arm.name in summary.minus_alone:
        metrics[MINUS_ALONE] = summary.minus_alone[arm.name]
        p = summary.minus_alone_p[arm.name]
        asides |= {MINUS_ALONE: f"p {p:.2g}"} if p == p else {}
    return page.ArmRow(arm.title, f"sees {view}", metrics, facts(cost), asides)


def flat_maps(undefined: Mapping[str, float]) -> dict[str, str]:
    """How many of the rows that could have a score have none, since a map is flat."""
    notes = {}
    for name, whole in (("iou", "epg"), ("randomised", "insertion")):
        if name in undefined and undefined[whole] < undefined[name] < 1:
            share = (undefined[name] - undefined[whole]) / (1 - undefined[whole])
            notes[name] = f"{100 * share:.0f} % undefined (flat)"
    return notes


def class_gains(summary: Summary, classes: tuple[str, ...]) -> page.ArmRow:
    """A row of the table of recalls: what distillation changed for each class."""
    changes = {f"recall {name}": change for name, change in zip(classes, summary.recall_gain, strict=True)}
    return page.ArmRow("distilled minus alone", "paired", changes)


def facts(cost: Cost) -> dict[str, str]:
    """A cost in words; what an earlier version did not count is left out."""
    entries = {
        "training": f"{cost.seconds:.0f} s",
        "parameters": f"{cost.parameters / 1e6:.2f} M",
        "MFLOPs per image": f"{cost.flops / 1e6:.0f}",
        "latency, one image": f"{cost.latency:.1f} ms",
    }
    return entries | ({"peak memory of training": f"{cost.peak_memory / 2**20:.0f} MiB"} if cost.peak_memory else {})


def tables(summary: Summary, classes: tuple[str, ...], unit: str, teacher: str, probed: int = NUM_PROBED) -> tuple[page.Table, ...]:
    """Overall, the metric that the comparison is judged by first; recall per class; attention where it was asked for; fidelity."""
    overall = [page.Metric(name, name.replace("_", " ")) for name in summary.arms["alone"] if name != CALIBRATION]
    overall.sort(key=lambda metric: metric.key != summary.metric)
    overall.insert(1, page.Metric(MINUS_ALONE, f"{summary.metric.replace('_', ' ')} minus student alone", "points"))
    note = f"mean over seeds, 95 % bootstrap interval over {unit} and seeds"
    tested = "; p is of a paired t-test over seeds" if any(p == p for p in summary.minus_alone_p.values()) else ""
    made = [
        page.Table("Test split", f"{note}{tested}", tuple(overall), chart=True),
        page.Table("Recall per class", "", tuple(page.Metric(f"recall {name}", name) for name in classes)),
    ]
    looks, faith = (tuple(one for one in of if _asked(summary, one.key)) for of in (LOOKS, FAITH))
    if looks:
        made.append(page.Table("Where it looks", _undefined(summary), looks))
        lift = "lift_within" if any(one.key == "lift_within" for one in looks) else "epg_lift"
        title = next(one.title for one in looks if one.key == lift)
        per_class = tuple(page.Metric(f"{lift} {name}", name, "times") for name in classes)
        if lift in summary.class_scores.get("distilled", {}):
            made.append(page.Table(f"Where it looks, per class: {title}", "1 is what attention spread evenly would get", per_class))
    if faith:
        made.append(
            page.Table(
                "Whether the maps can be trusted",
                f"on {probed} test images at most: area under the probability of the predicted class while the pixels of most attention"
                " are put in, or taken away; and how much of a map is left when the weights are thrown away (near 1: it shows the image,"
                " not the network; undefined where one of the two maps is flat)",
                faith,
            )
        )
    near = tuple(one for one in FIDELITY if _asked(summary, one.key))
    if near:
        made.append(page.Table(f"How near it is to the {teacher}", "on the test split, each on its own sensor", near))
    made.append(page.Table("Calibration", "expected calibration error, 15 bins", (page.Metric(CALIBRATION, "calibration error"),)))
    return tuple(made)


def _undefined(summary: Summary) -> str:
    """Rows without a mask have no score; the reader hears how many."""
    rates: Mapping[str, float] = {arm: of["epg"] for arm, of in summary.undefined.items() if "epg" in of}
    return f"rows with a mask, {100 * (1 - min(rates.values())):.0f} % of them; an empty map scores 0" if rates else ""


def _asked(summary: Summary, key: str) -> bool:
    """Of the distilled student; where every map is flat, "undefined" is an answer too."""
    scores = summary.scores["distilled"]
    flat = key == "randomised" or (key == "iou" and scores.get("epg", UNDEFINED).defined)
    return key in scores and (scores[key].defined or flat)
