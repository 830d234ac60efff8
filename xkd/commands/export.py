"""`xkd export CONFIG CHECKPOINT`: the student as ONNX with the normalisation inside, its model card, and in a folder a runner as well."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from xkd.commands.checkpoint_argument import add_arm, checkpoint_of
from xkd.engine.config import parse_options
from xkd.engine.screen import Screen
from xkd.engine.use import export


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="xkd export", description="Export the student to ONNX, checked against PyTorch before it is kept."
    )
    parser.add_argument("config")
    parser.add_argument("checkpoint")
    parser.add_argument("--out", default="student.onnx", help="a file .onnx, or a folder for the model and its runner (%(default)s)")
    parser.add_argument("--no-test", action="store_true", help="leave the test split's metrics out of the card (the data may be elsewhere)")
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE")
    add_arm(parser)
    a = parser.parse_args(arguments)
    checkpoint = checkpoint_of(a)
    report = export(a.config, checkpoint, a.out, with_test=not a.no_test, options=parse_options(a.cfg_options))
    console = Screen()
    console.print(f"{report.model}: {report.num_bytes / 1e6:.1f} MB, {report.card.parameters:,} parameters")
    console.print(f"largest difference of a probability from PyTorch on {report.num_compared} images: {report.max_difference:.1e}")
    if a.out.endswith(".onnx"):
        console.print(f"model card: {report.model.with_suffix('.md')} and {report.model.with_suffix('.json')}")
    else:
        console.print(f"the folder's page: {report.model.with_name('card.md')}; on the device first: python {a.out}/run.py check")
    return 0
