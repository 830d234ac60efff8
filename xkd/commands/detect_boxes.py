"""`xkd detect-boxes DATASET`: a detector draws the boxes that steer a classifier; a new data set with the same files holds them."""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from pathlib import Path

import torch

from xkd.batch import View
from xkd.data.manifest import Manifest, find_dataset, sensor
from xkd.data.redraw import with_boxes
from xkd.data.write import check_new
from xkd.engine.detector import SMALL, Quality, Recipe, detect, judge, load_detector, train_detector
from xkd.engine.screen import Screen
from xkd.geometry import overlap


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="xkd detect-boxes",
        description="Train a detector on the boxes of some training rows, or load one; draw boxes with scores for all training rows.",
    )
    parser.add_argument("dataset", help="its folder, or its name below XKD_DATA_ROOT")
    parser.add_argument("--sensor", required=True, help="the column that the detector sees")
    parser.add_argument("--size", type=int, nargs=2, required=True, metavar=("HEIGHT", "WIDTH"), help="of its images, in pixels")
    parser.add_argument("--out", required=True, help="folder of the new data set")
    parser.add_argument("--detector", default=SMALL, help=f"{SMALL}, or a detector of torchvision by its name")
    parser.add_argument("--fraction", type=float, default=1.0, help="of the training rows with boxes, which the detector learns from")
    parser.add_argument("--checkpoint", help="a state_dict of the detector, in place of training")
    parser.add_argument("--threshold", type=float, default=0.4, help="least score of a box that is kept (%(default)s)")
    parser.add_argument("--steps", type=int, default=Recipe.steps, help="of training (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    a = parser.parse_args(arguments)
    if not 0 <= a.threshold <= 1:
        raise ValueError(f"--threshold is a score, 0 to 1, got {a.threshold:g}")
    manifest = Manifest.load(find_dataset(a.dataset))
    view = View(a.sensor, sensor(str(manifest.root), a.sensor), (a.size[0], a.size[1]))
    console = Screen()
    check_new(Path(a.out))  # before hours of training
    shown: set[str] = set()
    if a.checkpoint:
        detector = load_detector(a.checkpoint, a.detector, view)
    else:
        recipe = Recipe(steps=a.steps, seed=a.seed)
        detector, shown = train_detector(
            a.detector, manifest, view, a.fraction, recipe, lambda step, loss: console.print(f"step {step}/{a.steps}, loss {loss:.3f}")
        )
    print_quality(judge(detector, manifest, view, "val", a.threshold), a.threshold, console)
    detections = dict(detect(detector, manifest, view, "train", a.threshold))
    annotated = {row.id: row for row in manifest.rows if row.id in shown}
    # where somebody drew the boxes, theirs are certain, but for regions to ignore
    for name, row in annotated.items():
        unsure = [(box, score) for box, score in detections.get(name, ()) if any(overlap(box, region) for region in row.ignored)]
        detections[name] = [*((box, 1.0) for box, _ in row.boxes or ()), *unsure]
    weights = io.BytesIO()
    torch.save(detector.state_dict(), weights)
    out = with_boxes(manifest, detections, Path(a.out), {"detector.pth": weights.getvalue()})
    drawn = {name: boxes for name, boxes in detections.items() if name not in shown}
    console.print(
        f"{len(drawn)} rows with {sum(map(len, drawn.values()))} detected boxes, {len(shown)} as they were annotated: {out}. Train with"
        " dataset=dict(masks=dict(type=Masks, source='boxes'))",
    )
    return 0


def print_quality(quality: Quality, threshold: float, console: Screen) -> None:
    """What the detector is worth, on rows that it has not learned from."""
    if not quality.rows:
        console.print("no val row has boxes: how good the detector is cannot be said")
    elif quality.precision is None:
        text = (
            f"the detector found nothing with a score of {threshold:g} in {quality.rows} val rows: train it for more --steps, on a larger"
        )
        console.print(f"{text} --fraction or with a larger --size, or lower the --threshold", style="bold red")
    elif quality.recall is not None:
        console.print(
            f"on {quality.rows} val rows with boxes: {quality.recall:.0%} of their area found; of the area found, by its scores,"
            f" {quality.precision:.0%} is theirs"
        )
