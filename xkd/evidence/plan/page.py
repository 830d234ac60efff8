"""The page of a plan: every stage, what each chain has kept, the curve of each test, and how to get the numbers again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from xkd.data.manifest import Manifest
from xkd.evidence.page.caveats import CAVEAT_SMOKE
from xkd.evidence.page.write import made
from xkd.evidence.plan.results import ChainResult, Results
from xkd.evidence.plan.show import in_words, listings, title
from xkd.evidence.plan.stages import OWN, Plan
from xkd.report import page
from xkd.report.charts import Chart

ONE_SEED: Final = "One seed: intervals are of the test rows alone."


def write_plan_page(path: Path, plan: Plan, results: Results, command: str) -> None:
    """Write `path` (HTML), of a plan of which some stage is tested."""
    measure = next(measure for of in results.stages.values() for measure in of.measures if measure.name == results.metric)
    last = list(results.stages.values())[-1]
    config = last.stage.arm.config()
    manifest = Manifest.load(config.test_dataloader.dataset.root)
    task = last.stage.task
    seeds = range(len(last.best))
    facts = {"plan": str(plan.path), "tests": ", ".join(plan.tests) or "of each stage its own"}
    report = page.Report(
        title=f"{plan.path.stem}: {len(plan.stages)} stages",
        introduction="Runs that build on each other; each network is tested on its own sensor alone.",
        headline=page.Headline(sentence(results), measure, None, None),
        names=(task.noun, task.described),
        arms=(),
        tables=(),
        # the plan names the configs, and each run's folder holds its own
        made=replace(made(manifest, config, seeds, facts, command), config=plan.path.read_text("utf-8")),
        charts=tuple(_chart(chain, results.metric) for chain in results.chains.values() if len(chain.stages) > 1),
        lists=tuple(listings(results)),
        caveats=(*[CAVEAT_SMOKE] * ("--smoke" in command.split()), *[ONE_SEED] * (len(seeds) == 1)),
    )
    page.write_report(path, report)


def sentence(results: Results) -> str:
    """The first thing to be read."""
    if results.chains:
        return "; ".join(f"chain {chain.name}: {in_words(chain)}" for chain in results.chains.values())
    told = [f"{name} {of.estimates[OWN][of.measures[0].name]}" for name, of in results.stages.items() if OWN in of.tests]
    return f"on test: {', '.join(told)}"


def _chart(chain: ChainResult, metric: str) -> Chart:
    def line(test: str) -> list[tuple[float, float]]:
        return [(float(at), chain.cells[stage, test].mean) for at, stage in enumerate(chain.stages, 1) if (stage, test) in chain.cells]

    lines = {title(test): line(test) for test in chain.tests}
    return Chart(f"Chain {chain.name}", "stages done", metric, lines)
