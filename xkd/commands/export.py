"""`xkd export CONFIG CHECKPOINT`: the student as ONNX with the normalisation inside, and its model card."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from xkd.data.paired import PairedDataset
from xkd.deploy.export import CardNotes, export_onnx
from xkd.engine.config import load_config, parse_options
from xkd.engine.loaders import build_loader
from xkd.engine.screen import Screen
from xkd.engine.student import load_student, registered
from xkd.evaluate import measure, predict


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="xkd export", description="Export the student to ONNX, checked against PyTorch before it is kept."
    )
    parser.add_argument("config")
    parser.add_argument("checkpoint")
    parser.add_argument("--out", default="student.onnx")
    parser.add_argument("--no-test", action="store_true", help="leave the test split's metrics out of the card (the data may be elsewhere)")
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE")
    a = parser.parse_args(arguments)
    config = load_config(a.config, parse_options(a.cfg_options))
    student = load_student(config, a.checkpoint)
    metrics: dict[str, float] = {}
    data = ""
    caveats: tuple[str, ...] = ()
    if not a.no_test:
        loader = build_loader(config.test_dataloader, seed=0, views=[student.branch.view])
        predictions = predict(student.branch, student.task, loader)
        if predictions.broken:
            raise ValueError(f"the card would be of {len(predictions)} rows alone: {predictions.broken[0]}; mend it, or say --no-test")
        metrics = measure(student.task, predictions)
        dataset: PairedDataset = loader.dataset  # type: ignore[assignment]  # DataLoader forgets the type
        data = f"{dataset.manifest.name}, test split, measured on {int(predictions.labelled.sum())} labelled rows of {len(dataset)}"
        caveats = registered(dataset.manifest, student.branch.view)
    described = f"the student '{student.name}' of {Path(a.config).name}"
    notes = CardNotes(Path(a.config).stem, described, data, metrics, caveats)
    report = export_onnx(student.branch, student.task, Path(a.out), notes)
    console = Screen()
    console.print(f"{report.model}: {report.num_bytes / 1e6:.1f} MB, {report.card.parameters:,} parameters")
    console.print(f"largest difference of a probability from PyTorch on {report.num_compared} images: {report.max_difference:.1e}")
    console.print(f"model card: {report.model.with_suffix('.md')} and {report.model.with_suffix('.json')}")
    return 0
