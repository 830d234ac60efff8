"""What a run says before it begins: its rows, its graph with what each part costs, how good its teachers are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from rich.console import Console
from rich.table import Table

from xkd.data.paired import PairedDataset
from xkd.engine.loaders import build_loader
from xkd.evaluate import measure, predict
from xkd.graph.distiller import Distiller, count_flops
from xkd.graph.weights import EMA


def print_rows(loaders: Mapping[str, Any], console: Console) -> None:
    """What there is to learn from, and what is left out: nothing is dropped silently."""
    for split, loader in loaders.items():
        dataset: PairedDataset = loader.dataset
        share = f" (labels.fraction {dataset.labels.fraction:g})" if dataset.labels.fraction < 1 else ""
        masks = f", {dataset.num_masked} with a mask (masks.fraction {dataset.masks.fraction:g})" if dataset.masks.fraction < 1 else ""
        console.print(f"{split}: {len(dataset)} rows, {int((dataset.strata >= 0).sum())} of them labelled{share}{masks}")
        for reason, count in dataset.left_out.items():
            console.print(f"{split}: {count} rows left out ({reason})")


def measure_teachers(distiller: Distiller, config: Config, seed: int, console: Console) -> None:
    """Each frozen teacher is measured on val before it teaches, on its own view."""
    for name, branch in distiller.branches.items():
        if branch.frozen and not isinstance(branch.weights, EMA):
            loader = build_loader(config.val_dataloader, seed, views=[branch.view])
            predictions = predict(branch, distiller.task, loader)
            metrics = measure(distiller.task, predictions)
            without = f" ({len(predictions.broken)} rows could not be read)" if predictions.broken else ""
            console.print(f"teacher '{name}' on val: " + ", ".join(f"{key} {value:.3f}" for key, value in metrics.items()) + without)


def describe(distiller: Distiller) -> Table:
    """The dry run as a table: each reading's shape, and what each branch and term costs."""
    table = Table("reading", "shape (C, H, W)", "parameters", "MFLOPs per image", title="The graph", title_justify="left")
    for name, branch in distiller.branches.items():
        count = sum(p.numel() for p in branch.parameters())
        label = "frozen" if branch.frozen else "learns"
        flops = count_flops(branch, distiller.task) / 1e6
        table.add_row(f"{name} ({label}, view {branch.view.name})", str(branch.view.size), f"{count:,}", f"{flops:.0f}")
        for reading, shape in branch.shapes.items():
            table.add_row(f"  {name}.{reading}", str(tuple(shape)))
    for name, term in distiller.terms.items():
        count = sum(p.numel() for p in term.parameters())
        weight = "scheduled" if callable(term.weight) else f"{term.weight:g}"
        edge = f"{weight} * {type(term.loss).__name__}({', '.join(term.readings)})"
        flops = distiller.term_flops[name] / 1e6
        table.add_row(f"term {name}", edge, f"{count:,}" if count else "", f"{flops:.3g}" if flops else "")
    return table
