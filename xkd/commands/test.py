"""`xkd test CONFIG CHECKPOINT`: the student alone, on its own sensor; files of other sensors are not opened."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from xkd.commands.checkpoint_argument import add_arm, checkpoint_of
from xkd.engine.config import parse_options
from xkd.engine.screen import Screen
from xkd.engine.use import test


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="xkd test", description="Measure a trained student on its single sensor.")
    parser.add_argument("config")
    parser.add_argument("checkpoint", help="a checkpoint of `xkd train`, such as work_dirs/NAME/best.pth")
    parser.add_argument("--split", choices=["test", "val"], default="test")
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    add_arm(parser)
    a = parser.parse_args(arguments)
    checkpoint = checkpoint_of(a)
    tested = test(a.config, checkpoint, split=a.split, options=parse_options(a.cfg_options))
    metrics, predictions, dataset = tested.metrics, tested.predictions, tested.dataset
    if a.json:
        print(json.dumps({**metrics, **({"rows_left_out": len(predictions.broken)} if predictions.broken else {})}))
        return 0
    console = Screen()
    console.print(
        f"{tested.student.name} on view '{tested.student.branch.view.name}' alone, {a.split} split of"
        f" {dataset.manifest.root}: {len(dataset)} rows,"
        f" measured on the {int(predictions.labelled.sum())} labelled ones",
    )
    if tested.student.of_crops:
        console.print("its rows are crops of images; of whole images these numbers say nothing")
    for reason, count in dataset.left_out.items():
        console.print(f"{count} rows left out ({reason})")
    for why in predictions.broken:
        console.print(f"left out: {why}")
    if predictions.broken:
        console.print(f"{len(predictions.broken)} rows could not be read and were left out", style="bold red")
    for name, value in metrics.items():
        console.print(f"  {name} {value:.4f}")
    return 0
