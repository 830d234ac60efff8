"""The numbers of a plan in files: plan.json holds everything, plan.csv a line for each number."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from typing import Any, Final

from xkd.evidence.plan.results import ChainResult, Results, StageResult
from xkd.evidence.plan.stages import OWN
from xkd.evidence.summary_files import exact, number, plain
from xkd.statistics import Estimate

COLUMNS: Final = ("kind", "name", "test", "number", "mean", "std", "low", "high")


def as_json(results: Results) -> dict[str, Any]:
    return {
        "metric": results.metric,
        "stages": {name: _stage(of) for name, of in results.stages.items()},
        "chains": {name: _chain(of) for name, of in results.chains.items()},
        "differences": [
            {"of": other, "minus": one, "average": plain(change), "p": number(p)} for (one, other), (change, p) in results.changes.items()
        ],
    }


def as_csv(results: Results) -> str:
    """Empty where nothing is defined; the test is empty for a stage's own."""
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(COLUMNS)
    for *names, of in _lines(results):
        values = (of.mean, of.std, of.low, of.high)
        table.writerow([*names, *("" if math.isnan(value) else f"{value:.6g}" for value in values)])
    return text.getvalue()


def _lines(results: Results) -> Iterator[tuple[str, str, str, str, Estimate]]:
    for name, of in results.stages.items():
        for test in of.tests:
            yield from (("stage", name, test, number, value) for number, value in of.estimates[test].items())
    for name, chain in results.chains.items():
        yield from (("chain", name, "", key, value) for key, value in _kept(chain).items())
    for (one, other), (change, p) in results.changes.items():
        yield "difference", f"{other} - {one}", "", "average", change
        yield "difference", f"{other} - {one}", "", "p", exact(p)


def _stage(of: StageResult) -> dict[str, Any]:
    return {
        "config": str(of.stage.arm.config().filename),
        "loads": list(of.stage.arm.linked),
        "chain": list(of.stage.chains),
        "learns": list(of.stage.learns),
        "folders": [str(folder) for folder in of.folders],
        "save_best": of.save_best,
        "best": list(of.best),
        "seconds": list(of.seconds),
        "reused": list(of.reused),
        "data": of.data,
        "test": _tested(of, OWN) if OWN in of.tests else None,
        "tests": {test: _tested(of, test) for test in of.tests if test != OWN},
    }


def _tested(of: StageResult, test: str) -> dict[str, Any]:
    return {
        "rows": [len(run.rows) for run in of.tests[test]],
        "measures": {name: plain(value) for name, value in of.estimates[test].items()},
        "per_seed": {measure.name: [number(measure.statistic(run)) for run in of.tests[test]] for measure in of.measures},
    }


def _chain(chain: ChainResult) -> dict[str, Any]:
    """`matrix` has a list for each stage, of the mean on each test; null where it cannot answer."""
    means = [[chain.cells.get((stage, test)) for test in chain.tests] for stage in chain.stages]
    return {
        "stages": list(chain.stages),
        "tests": list(chain.tests),
        "learned_after": list(chain.learned.after),
        "matrix": [[None if of is None else number(of.mean) for of in row] for row in means],
        **{name: plain(of) for name, of in _kept(chain).items()},
    }


def _kept(chain: ChainResult) -> dict[str, Estimate]:
    learned = chain.learned
    return {"average": learned.average(), "forgetting": learned.forgetting(), "backward_transfer": learned.backward_transfer()}
