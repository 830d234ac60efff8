"""`xkd pretrain DATA --from SENSOR --to SENSOR`: a network on one sensor learns from a pretrained one on another, without labels."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from xkd.commands.graph_arguments import networks_of
from xkd.evidence.pretrain import pretrain


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="xkd pretrain",
        description="A pretrained network on one sensor, the camera, teaches one on another by features, on all pairs, labelled or not.",
    )
    parser.add_argument("dataset", help="its folder, or its name below XKD_DATA_ROOT; xkd prepare-dataset makes one, labelled or not")
    parser.add_argument("--from", dest="source", required=True, metavar="SENSOR", help="the column that the pretrained network sees")
    parser.add_argument("--to", dest="target", required=True, metavar="SENSOR", help="the column of the network that learns")
    text = "timm's models: rgb=resnet34 thermal=resnet18 (resnet18; the learner's is the teacher's)"
    parser.add_argument("--networks", nargs="+", default=[], metavar="SENSOR=MODEL", help=text)
    parser.add_argument("--weights", default="", metavar="FILE", help="of the pretrained network, or its folder, in place of timm's hub")
    parser.add_argument("--epochs", type=int, default=0, help="(by the number of steps)")
    parser.add_argument("--quick", action="store_true", help="small images and few steps: a first answer in minutes")
    parser.add_argument("--trust-pairs", action="store_true", help="go on where the alignment of pairs cannot be measured, or is poor")
    text = "where rows are crops: learn from so many windows of each frame in their place, 0 for the crops themselves (0)"
    parser.add_argument("--windows", type=int, default=0, metavar="N", help=text)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work-dir", default="", help="where everything goes (work_dirs/NAME-OF-DATA_SENSOR_to_SENSOR)")
    a = parser.parse_args(arguments)
    pretrain(
        a.dataset,
        source=a.source,
        target=a.target,
        networks=networks_of(a.networks),
        weights=a.weights,
        epochs=a.epochs,
        quick=a.quick,
        trust_pairs=a.trust_pairs,
        windows=a.windows,
        seed=a.seed,
        work_dir=a.work_dir,
    )
    return 0
