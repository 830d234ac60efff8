"""What the runs of a plan came to: each stage on each test, and of each chain what it has kept."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xkd.evidence.plan.outlook import Ahead
from xkd.evidence.plan.stages import Plan, Stage
from xkd.evidence.runs import read_answers, run_key
from xkd.statistics import Comparison, Estimate, Learned, Measure, TestRun

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class StageResult:
    """A stage over seeds: `best` on val by `save_best`, `tests` its answers by test; `reused` of a seed: nothing was trained."""

    stage: Stage
    folders: Sequence[Path]
    save_best: str
    best: Sequence[float]
    seconds: Sequence[float]
    reused: Sequence[bool]
    data: str
    tests: Mapping[str, Sequence[TestRun]]

    @cached_property
    def comparisons(self) -> Mapping[str, Comparison]:
        return {test: Comparison({test: runs}) for test, runs in self.tests.items()}

    @property
    def measures(self) -> tuple[Measure, ...]:
        return self.stage.task.measures().main

    @cached_property
    def estimates(self) -> Mapping[str, Mapping[str, Estimate]]:
        """Of every test, by the measure's name."""
        return {
            test: {measure.name: compared.estimate(test, measure.statistic) for measure in self.measures}
            for test, compared in self.comparisons.items()
        }


@dataclass(frozen=True)
class ChainResult:
    """The stages of a chain on the tests that it has learned, or on all that its last stage can answer; `cells` are by (stage, test)."""

    name: str
    stages: Sequence[str]
    tests: Sequence[str]
    cells: Mapping[tuple[str, str], Estimate]
    learned: Learned


@dataclass(frozen=True)
class Results:
    """All of a plan; `changes` are the differences of two chains' averages, with their p, by their names."""

    stages: Mapping[str, StageResult]
    metric: str
    chains: Mapping[str, ChainResult]
    changes: Mapping[tuple[str, str], tuple[Estimate, float]]


def chosen_metric(plan: Plan, metric: str) -> str:
    """The named measure, or the first of the last stage that has one. `ValueError` where a chain that is tested lacks it."""
    measured = [stage for stage in plan.stages if not stage.arm.silent]
    known = {stage.name: [measure.name for measure in stage.task.measures().main] for stage in measured}
    every = list(dict.fromkeys(name for names in known.values() for name in names))
    if metric and metric not in every:
        raise ValueError(f"no stage is judged by --metric {metric}; there are {every}")
    metric = metric or (known[measured[-1].name][0] if measured else "")
    for name, stages in plan.chains.items() if plan.compared else ():
        if lacking := [stage.name for stage in stages if metric not in known.get(stage.name, [metric])]:
            raise ValueError(f"stages {lacking} of chain '{name}' are not judged by {metric}, so its tests make no matrix; name --metric")
    return metric


def gathered(plan: Plan, folders: Mapping[str, Path], ahead: Sequence[Ahead], seeds: Sequence[int], metric: str) -> Results:
    """What finished runs have left in their folders; `ahead` says what was there before."""
    before = {run_key(one.stage, one.seed): one.state == "reused" for one in ahead}
    stages = {}
    for stage in plan.stages:
        keys = [run_key(stage.name, seed) for seed in seeds]
        told: list[dict[str, Any]] = [json.loads((folders[key] / "result.json").read_text("utf-8")) for key in keys]
        stages[stage.name] = StageResult(
            stage,
            [folders[key] for key in keys],
            told[0]["save_best"],
            [float(one["best"]) for one in told],
            [float(one["seconds"]) for one in told],
            [before[key] for key in keys],
            str(stage.arm.config().test_dataloader.dataset.get("root", "")),
            {test: [read_answers(stage.arm, folders[key], test) for key in keys] for test in stage.arm.asked},
        )
    chains = {name: made for name, of in plan.chains.items() if (made := _chain(name, of, plan.compared, stages, metric))}
    pairs = [(one, other) for one, other in combinations(chains, 2) if set(chains[one].tests) == set(chains[other].tests)]
    return Results(stages, metric, chains, {(one, other): chains[other].learned.minus(chains[one].learned) for one, other in pairs})


def _chain(name: str, stages: Sequence[Stage], tests: Sequence[str], results: Mapping[str, StageResult], metric: str) -> ChainResult | None:
    """None where there is nothing that its last stage could be tested on."""
    tested = [stage for stage in stages if not stage.arm.silent]
    after = {test: at for at, stage in reversed(list(enumerate(tested))) for test in stage.learns}
    asked = [test for test in tests if (test in after if after else tested and test in tested[-1].arm.asked)]
    if not asked:
        return None
    measure = next(of for of in results[tested[-1].name].measures if of.name == metric)
    cells = {(stage.name, test): results[stage.name] for stage in tested for test in asked if test in stage.arm.asked}
    compared = {(stage, test): of.comparisons[test] for (stage, test), of in cells.items()}
    names = [stage.name for stage in tested]
    # clusters of stages that answered the same rows are drawn alike
    learned = Learned(
        _filled({(stage, test): of.per_seed(test, measure.statistic) for (stage, test), of in compared.items()}, names, asked),
        _filled({(stage, test): of.drawn(test, measure.statistic) for (stage, test), of in compared.items()}, names, asked),
        tuple(after[test] for test in asked) if after else (),
        measure.higher,
    )
    estimates = {(stage, test): of.estimates[test][metric] for (stage, test), of in cells.items()}
    return ChainResult(name, names, asked, estimates, learned)


def _filled(cells: Mapping[tuple[str, str], Numbers], stages: Sequence[str], tests: Sequence[str]) -> Numbers:
    """(..., T, N) of cells (...), not a number where there is none."""
    none = np.full_like(next(iter(cells.values())), np.nan)
    return np.stack([np.stack([cells.get((stage, test), none) for test in tests], axis=-1) for stage in stages], axis=-2)
