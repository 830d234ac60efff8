"""`xkd test CONFIG CHECKPOINT`: the student alone, on its own sensor; files of other sensors are not opened."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from xkd.data.paired import PairedDataset
from xkd.engine.checks import check_classes
from xkd.engine.config import load_config, parse_options
from xkd.engine.loaders import build_loader
from xkd.engine.screen import Screen
from xkd.engine.student import load_student
from xkd.evaluate import measure, predict


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="xkd test", description="Measure a trained student on its single sensor.")
    parser.add_argument("config")
    parser.add_argument("checkpoint", help="a checkpoint of `xkd train`, such as work_dirs/NAME/best.pth")
    parser.add_argument("--split", choices=["test", "val"], default="test")
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    a = parser.parse_args(arguments)
    config = load_config(a.config, parse_options(a.cfg_options))
    student = load_student(config, a.checkpoint)
    loader = build_loader(config[f"{a.split}_dataloader"], seed=0, views=[student.branch.view])
    check_classes(student.task, {a.split: loader})
    predictions = predict(student.branch, student.task, loader)
    metrics = measure(student.task, predictions)
    if a.json:
        print(json.dumps({**metrics, **({"rows_left_out": len(predictions.broken)} if predictions.broken else {})}))
        return 0
    console = Screen()
    dataset: PairedDataset = loader.dataset  # type: ignore[assignment]  # DataLoader forgets the type
    console.print(
        f"{student.name} on view '{student.branch.view.name}' alone, {a.split} split of {dataset.manifest.root}: {len(dataset)} rows,"
        f" measured on the {int(predictions.labelled.sum())} labelled ones",
    )
    for reason, count in dataset.left_out.items():
        console.print(f"{count} rows left out ({reason})")
    for why in predictions.broken:
        console.print(f"left out: {why}", markup=False)
    if predictions.broken:
        console.print(f"{len(predictions.broken)} rows could not be read and were left out", style="bold red")
    for name, value in metrics.items():
        console.print(f"  {name} {value:.4f}")
    return 0
