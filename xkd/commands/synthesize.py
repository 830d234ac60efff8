"""`xkd synthesize CONFIG CHECKPOINT --out FOLDER`: what a trained generator makes, as a data set to look at and to learn from."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from xkd.commands.checkpoint_argument import add_arm, checkpoint_of
from xkd.engine.config import load_config, parse_options
from xkd.engine.screen import Screen
from xkd.engine.synthesize import synthesize


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="xkd synthesize", description="Write images that a run's generator makes, as a data set.")
    parser.add_argument("config")
    parser.add_argument("checkpoint")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="a new folder, for images, manifest and contact sheet")
    parser.add_argument("--num", type=int, default=100, help="of images (%(default)s)")
    parser.add_argument("--branch", default="", help="the generator, where several branches make images")
    parser.add_argument("--draw", type=int, default=0, help="another number makes other images (%(default)s)")
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE")
    add_arm(parser)
    a = parser.parse_args(arguments)
    config = load_config(a.config, parse_options(a.cfg_options))
    sheet = synthesize(config, checkpoint_of(a), a.out, num=a.num, branch=a.branch, seed=a.draw)
    Screen().print(f"{a.num} images: {a.out}, to look at: {sheet}")
    return 0
