"""`xkd export CONFIG CHECKPOINT`: the student as ONNX with the normalisation inside, its model card, and in a folder a runner as well."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from xkd.commands.checkpoint_argument import add_arm, checkpoint_of
from xkd.engine.config import parse_options
from xkd.engine.int8 import Int8
from xkd.engine.screen import Screen
from xkd.engine.use import export


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="xkd export", description="Export the student to ONNX, checked against PyTorch before it is kept."
    )
    parser.add_argument("config")
    parser.add_argument("checkpoint")
    parser.add_argument("--out", default="student.onnx", help="a file .onnx, or a folder for the model and its runner (%(default)s)")
    parser.add_argument("--precision", choices=("float32", "int8"), default="float32", help="(%(default)s)")
    parser.add_argument("--for", dest="target", choices=("processors", "tensorrt"), default="processors", help="int8 (%(default)s)")
    lost = "int8: refused where more of the first measure is lost on val or test (%(default)s)"
    parser.add_argument("--lose-at-most", type=float, default=0.01, metavar="SHARE", help=lost)
    parser.add_argument("--calibrate-on", type=int, default=256, metavar="ROWS", help="int8: training rows (%(default)s)")
    parser.add_argument("--no-test", action="store_true", help="leave the test split's metrics out of the card (the data may be elsewhere)")
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE")
    add_arm(parser)
    a = parser.parse_args(arguments)
    checkpoint = checkpoint_of(a)
    int8 = Int8(a.target, a.lose_at_most, a.calibrate_on) if a.precision == "int8" else None
    console, options = Screen(), parse_options(a.cfg_options)
    report = export(a.config, checkpoint, a.out, with_test=not a.no_test, int8=int8, options=options, say=console.print)
    console.print(f"{report.model}: {report.num_bytes / 1e6:.1f} MB, {report.card.parameters:,} parameters")
    console.print(f"largest difference of a probability from PyTorch on {report.num_compared} images: {report.max_difference:.1e}")
    if a.out.endswith(".onnx"):
        console.print(f"model card: {report.model.with_suffix('.md')} and {report.model.with_suffix('.json')}")
    else:
        console.print(f"the folder's page: {report.model.with_name('card.md')}; on the device first: python {a.out}/run.py check")
    return 0
