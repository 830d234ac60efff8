"""A plan's results in tables: every stage, and a matrix for each chain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from xkd.evidence.plan.results import ChainResult, Results, StageResult
from xkd.evidence.plan.stages import OWN
from xkd.report.page import Listing

_NONE = "-"


def listings(results: Results) -> list[Listing]:
    """For the page, and, in the same words, for the screen."""
    tables = [_stages(results), *(_matrix(chain, results.metric) for chain in results.chains.values())]
    return [*tables, *([_changes(results)] if results.changes else [])]


def _stages(results: Results) -> Listing:
    stages = list(results.stages.values())
    measures = {measure.name: measure.heading for of in stages if OWN in of.tests for measure in of.measures}
    columns = ("stage", "best on val", *measures.values(), "seconds", "tested on", "reused")
    return Listing(
        "Stages", "mean over seeds; of the test split [95 % interval]", columns, tuple(_row(of, list(measures)) for of in stages)
    )


def _row(of: StageResult, measures: Sequence[str]) -> tuple[str, ...]:
    own = of.estimates.get(OWN, {})
    scores = [str(own.get(name, _NONE)) for name in measures]
    reused = {0: "no", len(of.reused): "yes"}.get(sum(of.reused), f"{sum(of.reused)} of {len(of.reused)}")
    where = f"{of.data}, {len(of.tests[OWN][0].rows)} rows" if own else _NONE
    return (of.stage.name, f"{fmean(of.best):.3f} {of.save_best}", *scores, f"{fmean(of.seconds):.0f}", where, reused)


def _matrix(chain: ChainResult, metric: str) -> Listing:
    """Stages down, tests across; below them what was kept."""
    rows = [(stage, *(str(chain.cells.get((stage, test), _NONE)) for test in chain.tests)) for stage in chain.stages]
    kept = in_words(chain)
    return Listing(
        f"Chain {chain.name}", f"{metric} on each test after each stage; {kept}", ("after", *map(title, chain.tests)), tuple(rows)
    )


def title(test: str) -> str:
    return "its own test" if test == OWN else test


def in_words(chain: ChainResult) -> str:
    numbers = {"average after the last stage": chain.learned.average()}
    numbers |= {"forgetting": chain.learned.forgetting(), "backward transfer": chain.learned.backward_transfer()}
    return ", ".join(f"{name} {value}" for name, value in numbers.items() if value.defined)


def _changes(results: Results) -> Listing:
    rows = tuple((f"{other} - {one}", str(change), _p(p)) for (one, other), (change, p) in results.changes.items())
    note = "difference of the averages after the last stage, paired over seeds; p of a paired t-test"
    return Listing("Chains compared", note, ("chains", results.metric, "p"), rows)


def _p(p: float) -> str:
    return _NONE if math.isnan(p) else f"{p:.3f}"
