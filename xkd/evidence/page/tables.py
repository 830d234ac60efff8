"""The tables of a comparison's page: what each arm scored, where it looks, how near it is to its teacher, what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xkd.engine.outline import Outline
from xkd.evidence.answers import NUM_PROBED
from xkd.evidence.arm import Arm
from xkd.evidence.costs import Cost
from xkd.report import page
from xkd.statistics import LIFT, SHARE, UNDEFINED, Estimate, Summary

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
MINUS_ALONE, TIMES_ALONE, LIFT_CHANGE = "minus_alone", "lift_times_alone", "lift_minus_alone"
CALIBRATION_NOTE = "expected calibration error, 15 bins"
TRUST_NOTE = (
    "on {} test images at most: {}how much of a map is left when the weights are thrown away (near 1: it shows the image, not the network;"
    " undefined where one of the two maps is flat)"
)
FOLLOWED_NOTE = "area under the probability of the predicted class while the pixels of most attention are put in, or taken away; and "


def report_arm(arm: Arm, cost: Cost, summary: Summary) -> page.ArmRow:
    metrics = {**summary.arms[arm.name], **summary.scores[arm.name]}
    if summary.measures.each:
        metrics.update(_by_name(summary.measures.each.key, summary, summary.each[arm.name]))
    for score, each in summary.each_scores.get(arm.name, {}).items():
        metrics.update(_by_name(score, summary, each))
    config, branch = arm.tested()
    view = Outline.of(config).view_of(branch)["name"]
    asides = flat_maps(summary.undefined[arm.name])
    if arm.name in summary.minus_alone:
        metrics[MINUS_ALONE] = summary.minus_alone[arm.name]
        p = summary.minus_alone_p[arm.name]
        asides |= {MINUS_ALONE: f"p {p:.2g}"} if p == p else {}
    if summary.attention and (moved := summary.attention.arms.get(arm.name)):
        for key, change, p in ((TIMES_ALONE, moved.ratio, moved.ratio_p), (LIFT_CHANGE, moved.difference, moved.difference_p)):
            metrics[key] = change
            asides |= {key: f"p {p:.2g}"} if p == p else {}
    return page.ArmRow(arm.title, f"sees {view}", metrics, facts(cost), asides)


def flat_maps(undefined: Mapping[str, float]) -> dict[str, str]:
    """How many of the rows that could have a score have none, since a map is flat."""
    notes = {}
    for name, whole in (("iou", "epg"), ("randomised", "insertion")):
        if name in undefined and undefined[whole] < undefined[name] < 1:
            share = (undefined[name] - undefined[whole]) / (1 - undefined[whole])
            notes[name] = f"{100 * share:.0f} % undefined (flat)"
    return notes


def _by_name(key: str, summary: Summary, each: Sequence[Estimate]) -> dict[str, Estimate]:
    return {f"{key} {name}": estimate for name, estimate in zip(summary.names, each, strict=True)}


def each_gain(summary: Summary) -> page.ArmRow:
    """A row of the table of single names: what distillation changed for each class, or for each number."""
    changes = _by_name(summary.measures.each.key, summary, summary.each_gain) if summary.measures.each else {}
    return page.ArmRow(f"{summary.purpose.student} minus alone", "paired", changes)


def facts(cost: Cost) -> dict[str, str]:
    """A cost in words; what an earlier version did not count is left out."""
    entries = {
        "training": f"{cost.seconds:.0f} s",
        "parameters": f"{cost.parameters / 1e6:.2f} M",
        "MFLOPs per image": f"{cost.flops / 1e6:.0f}",
        "latency, one image": f"{cost.latency:.1f} ms",
    }
    return entries | ({"peak memory of training": f"{cost.peak_memory / 2**20:.0f} MiB"} if cost.peak_memory else {})


def tables(summary: Summary, unit: str, teacher: str, probed: int = NUM_PROBED) -> tuple[page.Table, ...]:
    """Overall, the measure that the comparison is judged by first; one for each name; where it looks; how near the teacher it is."""
    judged = summary.measure
    overall = [page.Metric(of.name, of.heading, of.style) for of in summary.measures.main]
    overall.sort(key=lambda metric: metric.key != judged.name)
    change = f", {judged.unit}" if judged.heading != judged.words else ""
    overall.insert(1, page.Metric(MINUS_ALONE, f"{judged.words} minus student alone{change}", judged.change_style))
    note = f"mean over seeds, 95 % bootstrap interval over {unit} and seeds"
    tested = "; p is of a paired t-test over seeds" if any(p == p for p in summary.minus_alone_p.values()) else ""
    made = [page.Table("Test split", f"{note}{tested}", tuple(overall), chart=True)]
    if each := summary.measures.each:
        of_names = [each.measure(k) for k in range(len(each.names))]
        single = zip(each.names, of_names, strict=True)
        made.append(page.Table(each.title, "", tuple(page.Metric(f"{each.key} {name}", of.heading, of.style) for name, of in single)))
    made += _of_attention(summary, probed)
    titles = summary.measures.near.titles if summary.measures.near else {}
    near = [page.Metric(key, title, "percent" if unit == SHARE else "number") for key, (title, unit) in titles.items()]
    if near := [one for one in near if _asked(summary, one.key)]:
        made.append(page.Table(f"How near it is to the {teacher}", "on the test split, each on its own sensor", tuple(near)))
    if aside := summary.measures.aside:
        made.append(page.Table("Calibration", CALIBRATION_NOTE, tuple(page.Metric(of.name, of.heading, of.style) for of in aside)))
    return tuple(made)


def _of_attention(summary: Summary, probed: int) -> list[page.Table]:
    made = []
    looks, faith = (tuple(one for one in of if _asked(summary, one.key)) for of in (LOOKS, FAITH))
    if looks:
        made.append(page.Table("Where it looks", _undefined(summary), _against_alone(looks, summary)))
        lift = "lift_within" if any(one.key == "lift_within" for one in looks) else "epg_lift"
        title = next(one.title for one in looks if one.key == lift)
        per_class = tuple(page.Metric(f"{lift} {name}", name, "times") for name in summary.names)
        if lift in summary.each_scores.get("distilled", {}):
            made.append(page.Table(f"Where it looks, per class: {title}", "1 is what attention spread evenly would get", per_class))
    if faith:
        followed = any(one.key == "insertion" for one in faith)
        made.append(page.Table("Whether the maps can be trusted", TRUST_NOTE.format(probed, FOLLOWED_NOTE if followed else ""), faith))
    return made


def _against_alone(looks: Sequence[page.Metric], summary: Summary) -> tuple[page.Metric, ...]:
    """The columns, with two more beside attention over chance: against that of the student alone."""
    if summary.attention is None or not summary.attention.measured:
        return tuple(looks)
    more = (page.Metric(TIMES_ALONE, "lift, times student alone", "times"), page.Metric(LIFT_CHANGE, "lift minus student alone", "change"))
    return tuple(one for metric in looks for one in ((metric, *more) if metric.key == LIFT else (metric,)))


def _undefined(summary: Summary) -> str:
    """Rows without a mask have no score; the reader hears how many."""
    rates: Mapping[str, float] = {arm: of["epg"] for arm, of in summary.undefined.items() if "epg" in of}
    return f"rows with a mask, {100 * (1 - min(rates.values())):.0f} % of them; an empty map scores 0" if rates else ""


def _asked(summary: Summary, key: str) -> bool:
    """Of the distilled student; where every map is flat, "undefined" is an answer too."""
    scores = summary.scores["distilled"]
    flat = key == "randomised" or (key == "iou" and scores.get("epg", UNDEFINED).defined)
    return key in scores and (scores[key].defined or flat)
