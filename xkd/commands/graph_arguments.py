"""The options by which `init` and `distill` are told who teaches whom."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from xkd.init.choices import Wishes
from xkd.init.ways import TASKS


def add_graph_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", help="its folder, or its name below XKD_DATA_ROOT; xkd prepare-dataset makes one")
    parser.add_argument("--teacher", nargs="+", required=True, metavar="SENSOR", help="columns of the manifest that teachers see")
    parser.add_argument("--student", required=True, metavar="SENSOR", help="the column that the deployed network sees")
    text = "timm's models: teacher=resnet34 student=mobilenetv4_conv_small, or by sensor (by the number of rows)"
    parser.add_argument("--networks", nargs="+", default=[], metavar="BRANCH=MODEL", help=text)
    parser.add_argument("--pretrained", action="store_true", help="start from timm's pretrained weights (fetched from its hub)")
    parser.add_argument("--weights", default="", metavar="FILE", help="of the pretrained network, or its folder, in place of timm's hub")
    parser.add_argument("--task", default="", choices=["", *TASKS], help="(by what rows have: numbers or labels, else masks, else boxes)")
    parser.add_argument("--target", default="", metavar="SENSOR", help="of --task dense: the column that is learned, pixel by pixel")
    parser.add_argument("--epochs", type=int, default=0, help="(by the number of steps)")
    parser.add_argument("--quick", action="store_true", help="small images and few steps: a first answer in minutes")


def wishes_of(a: argparse.Namespace) -> Wishes:
    pretrained = a.pretrained or bool(a.weights)
    return Wishes(a.student, tuple(a.teacher), networks_of(a.networks), pretrained, a.epochs, a.quick, a.weights, a.target)


def networks_of(texts: Sequence[str]) -> dict[str, str]:
    """["student=resnet10t"] -> {"student": "resnet10t"}."""
    networks = {}
    for text in texts:
        branch, equals, model = text.partition("=")
        if not (branch and equals and model):
            raise ValueError(f"--networks takes BRANCH=MODEL, such as student=resnet10t; got '{text}'")
        networks[branch] = model
    return networks
