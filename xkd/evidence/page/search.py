"""The page of a search: the front of accuracy against latency after each rung, who was left out and why, what it cost, the controls."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from mmengine.config import Config
from rich.box import SIMPLE_HEAD
from rich.table import Table

from xkd.builder import build
from xkd.data.manifest import Manifest
from xkd.engine.config import as_plain
from xkd.evidence.found import Found
from xkd.evidence.halving import Ran, Rung, front, kendall
from xkd.evidence.page.write import made
from xkd.evidence.timings import Budget
from xkd.report import page
from xkd.report.charts import Chart
from xkd.tasks import Task

CAVEATS: Final = (
    "One seed: intervals are of the test rows alone, and another seed may choose another network.",
    "The chosen network's score on val is the best of many, so it flatters; its score on test does not.",
    "Milliseconds are of the network, exported with random weights, for one prepared image; files are not read and no batch is filled.",
)
OF_FLOAT: Final = (
    "Scores are of the float networks, milliseconds and megabytes of the int8 files: what int8 loses is measured for the chosen network"
    " alone, when it is exported, and stands in its card."
)
_DASH: Final = "\N{EN DASH}"
_DIVERGED: Final = "diverged"


def sentence(found: Found, budget: Budget) -> str:
    of, test, cost = found.timings[found.chosen], found.test(found.finals[0].title), found.cost
    limit = f"{budget.milliseconds:g} ms" + (f" and {budget.megabytes:g} MB" if math.isfinite(budget.megabytes) else "")
    whose = "" if budget.precision == "float32" else " of the float network"
    return (
        f"{found.chosen}: {of.milliseconds:.3g} ms and {of.megabytes:.3g} MB in {budget.precision} (budget {limit}),"
        f" {found.measure.heading}{whose} on test {test}; found among {len(found.rungs[0].runs)} that fit,"
        f" in {100 * cost['share']:.0f} % of the seconds of training all to the end ({cost['all_to_the_end_is']})"
    )


def as_table(found: Found) -> Table:
    table = Table(title="Trained for the whole schedule, mean [95 % interval over test rows]", box=SIMPLE_HEAD)
    for heading in ("", "network", "ms", "MB", f"{found.save_best} (best)", f"test, {found.measure.heading}", "chosen - it"):
        table.add_column(heading)
    for of in found.finals:
        timing = found.timings[of.name]
        less = "" if of is found.finals[0] else str(found.less(of.title))
        cells = (f"{timing.milliseconds:.3g}", f"{timing.megabytes:.3g}", f"{of.ran.score:.3f}", str(found.test(of.title)), less)
        table.add_row(of.title, of.name, *cells)
    return table


def write_search_page(path: Path, config: Config, found: Found, budget: Budget, command: str) -> None:
    """Write `path` (HTML)."""
    task: Task = build(as_plain(config.distiller.task), "distiller.task")
    manifest = Manifest.load(config.test_dataloader.dataset.root)
    facts = {"test rows": str(len(found.tests.arms[found.finals[0].title][0].rows)), "timed": _where(found)}
    controls = tuple(page.Control(f"Against {of.title}", found.less(of.title), f"{of.name}, on test") for of in found.finals[1:])
    report = page.Report(
        title=f"{manifest.name}: the student under {budget.milliseconds:g} ms",
        introduction="Every candidate was exported in the precision that is deployed and timed; those that fit competed by distillation,"
        " the best of each rung trained for longer.",
        headline=page.Headline(sentence(found, budget), found.measure, None, None, controls=controls),
        names=(task.noun, task.described),
        arms=tuple(_row(found, place) for place in range(len(found.finals))),
        tables=(page.Table("On the test split", "", (page.Metric("test", found.measure.words, found.measure.style),), chart=True),),
        made=made(manifest, config, [found.facts["seed"]], facts, command),
        charts=tuple(_chart(rung, found, budget) for rung in _rungs(found)),
        lists=(_candidates(found), _by_labels(found), _left_out(found), _cost(found), *_orders(found)),
        caveats=(*CAVEATS, *([] if budget.precision == "float32" else [OF_FLOAT])),
    )
    page.write_report(path, report)


def _where(found: Found) -> str:
    machines = {of.machine for of in found.timings.values() if of.machine}
    loads = [of.load for of in found.timings.values() if of.load is not None]
    return "; ".join([*sorted(machines), *([f"load up to {max(loads):.1f} beside it"] if loads else [])])


def _row(found: Found, place: int) -> page.ArmRow:
    of = found.finals[place]
    timing = found.timings[of.name]
    facts = {
        "milliseconds": f"{timing.milliseconds:.3g}",
        "file": f"{timing.megabytes:.3g} MB",
        "parameters": f"{found.parameters[of.name] / 1e6:.2f} M",
        "training": f"{of.ran.seconds:.0f} s",
    }
    return page.ArmRow(of.title, of.name, {"test": found.test(of.title)}, facts)


def _rungs(found: Found) -> list[Rung]:
    """Those with several candidates; in the place of the last all, where all were trained to the end."""
    rungs = [rung for rung in found.rungs if len(rung.runs) > 1]
    if found.full is None:
        return rungs
    return [*(rung for rung in rungs if rung.epochs < found.rungs[-1].epochs), Rung(found.rungs[-1].epochs, found.full.runs)]


def _chart(rung: Rung, found: Found, budget: Budget) -> Chart:
    points = {name: (found.timings[name].milliseconds, ran.score) for name, ran in rung.runs.items() if not ran.diverged}
    line = [points[name] for name in front(points, found.higher)]
    title, x_title = f"After {rung.epochs} epochs", f"milliseconds for one image, {budget.precision}, {budget.threads} thread(s)"
    return Chart(title, x_title, found.save_best, {"front": line}, marks=points)


def _candidates(found: Found) -> page.Listing:
    columns = ("candidate", "ms", "± ms", "MB", "parameters, M", *_headings(found.rungs))
    columns += ("to the end, val", f"to the end, test {found.measure.heading}") if found.full else ()

    def cells(name: str) -> tuple[str, ...]:
        of = found.timings[name]
        facts = (f"{of.milliseconds:.3g}", f"{of.spread / 2:.2g}", f"{of.megabytes:.3g}", f"{found.parameters[name] / 1e6:.2f}")
        tests = found.full.test if found.full else {}
        ends = (_score(found.full.runs[name]), f"{tests[name]:.3f}" if name in tests else _DASH) if found.full else ()
        return (name, *facts, *_scores(name, found.rungs), *ends)

    note = f"{found.save_best} of each rung's run, the best validation of it; ± is half the interquartile range"
    return page.Listing("Candidates that fit", note, columns, tuple(cells(name) for name in found.rungs[0].runs))


def _by_labels(found: Found) -> page.Listing:
    rows = tuple((name, *_scores(name, found.by_labels)) for name in (found.by_labels[0].runs if found.by_labels else ()))
    return page.Listing("The same search by labels alone", "", ("candidate", *_headings(found.by_labels)), rows)


def _headings(rungs: Sequence[Rung]) -> list[str]:
    return [f"after {rung.epochs} epochs" for rung in rungs]


def _scores(name: str, rungs: Sequence[Rung]) -> list[str]:
    return [_score(rung.runs[name]) if name in rung.runs else _DASH for rung in rungs]


def _score(ran: Ran) -> str:
    return _DIVERGED if ran.diverged else f"{ran.score:.3f}"


def _left_out(found: Found) -> page.Listing:
    return page.Listing("Left out", "", ("candidate", "why"), tuple({**found.left_out, **found.diverged}.items()))


def _cost(found: Found) -> page.Listing:
    cost = found.cost
    rows = [
        *((f"rung of {rung.epochs} epochs, {len(rung.runs)} candidates", _seconds(rung)) for rung in found.rungs),
        ("the search", f"{cost['seconds']:.0f}"),
        ("of these, filling the teacher cache", f"{cost['of_these_filling_the_teacher_cache']:.0f}"),
        (f"all that fit to the end, {cost['all_to_the_end_is']}", f"{cost['all_to_the_end_seconds']:.0f}"),
        ("the search's share of it, %", f"{100 * cost['share']:.0f}"),
        ("its share of the epochs, %", f"{100 * cost['share_of_epochs']:.0f}"),
        *((f"{name}, which both need", f"{seconds:.0f}") for name, seconds in found.teachers.items()),
        *([("the control by labels alone", f"{cost['by_labels_seconds']:.0f}")] if found.by_labels else []),
    ]
    note = "Seconds of training, added up over runs that may have been beside each other. Each rung is a run from the start."
    return page.Listing("What it cost", note, ("what", "seconds"), tuple(rows))


def _seconds(rung: Rung) -> str:
    return f"{sum(ran.seconds for ran in rung.runs.values()):.0f}"


def _orders(found: Found) -> list[page.Listing]:
    """How well a rung foretells the end, where all were trained to it."""
    if found.full is None:
        return []
    val = {name: ran.score for name, ran in found.full.runs.items()}
    taus = [(rung.epochs, kendall(rung, val)) for rung in found.rungs if rung.epochs < found.rungs[-1].epochs]
    rows = [(f"Kendall's tau, {epochs} epochs and the end, val", _DASH if math.isnan(tau) else f"{tau:.2f}") for epochs, tau in taus]
    ends = (found.save_best, val, found.higher), (f"test {found.measure.heading}", found.full.test, found.measure.higher)
    for what, scores, higher in ends:
        best, regret = found.regret(scores, higher)
        rows.append((f"regret in {what} (best: {best})", f"{regret:.3f}"))
    return [page.Listing("What the search missed", "", ("what", "value"), tuple(rows))]
