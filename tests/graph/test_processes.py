"""Rows of several processes: what they have together, whatever each has."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch
from core_models import RGB_VIEW, TASK, THERMAL_VIEW
from torch import distributed, nn

from xkd.graph.branch import Branch
from xkd.graph.distiller import Distiller
from xkd.graph.example import example_batch
from xkd.graph.term import Term
from xkd.graph.weights import Random
from xkd.losses import SP, CrossEntropy
from xkd.projectors import MLP


def graph() -> Distiller:
    torch.manual_seed(0)
    rgb, thermal = (nn.Sequential(nn.Flatten(), nn.Linear(pixels, 3)) for pixels in (3 * 16 * 16, 16 * 24))
    distiller = Distiller(
        {
            "rgb": Branch(rgb, RGB_VIEW, Random()),
            "thermal": Branch(thermal, THERMAL_VIEW, Random(frozen=True), frozen=True),
        },
        {
            "ce": Term(CrossEntropy(), "rgb.output", "batch.target"),
            "sp": Term(SP(), "rgb.output", "thermal.output", projector=MLP(), weight=3.0, gather=True),
        },
        "rgb",
        TASK,
    )
    distiller.bind()
    return distiller.double()


def gradients(distiller: Distiller, rows: slice, thermal: int) -> dict[str, torch.Tensor]:
    """By those of six rows of which the first `thermal` have both sensors."""
    whole = example_batch([RGB_VIEW, THERMAL_VIEW], TASK, 6, torch.device("cpu"))
    count = rows.stop - rows.start
    batch = replace(
        example_batch([RGB_VIEW, THERMAL_VIEW], TASK, count, torch.device("cpu")),
        views={name: images[rows] for name, images in whole.views.items()},
        present={"rgb": torch.ones(count, dtype=torch.bool), "thermal": (torch.arange(6) < thermal)[rows]},
        target=whole.target[rows],
    )
    distiller(batch).loss.backward()
    return {name: parameter.grad.clone() for name, parameter in distiller.named_parameters() if parameter.grad is not None}


def one_of_two(rank: int, folder: str) -> None:
    distributed.init_process_group("gloo", f"file://{folder}/store", timedelta(seconds=30), world_size=2, rank=rank)
    for thermal in (3, 5, 0):
        distiller = graph()
        step = gradients(distiller, slice(3 * rank, 3 * rank + 3), thermal)
        for gradient in step.values():
            distributed.all_reduce(gradient)
        torch.save({name: gradient / 2 for name, gradient in step.items()}, f"{folder}/{rank}_{thermal}.pth")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("processes")
    with ProcessPoolExecutor(2, get_context("forkserver")) as pool:
        list(pool.map(one_of_two, range(2), [str(path)] * 2))
    return path


@pytest.mark.parametrize("thermal", [3, 5, 0], ids=["one has none", "one has fewer", "none has any"])
@pytest.mark.parametrize("rank", [0, 1])
def test_gathered_rows_teach_as_in_one_process(rank: int, thermal: int, folder: Path) -> None:
    expected = gradients(graph(), slice(0, 6), thermal)
    step = torch.load(folder / f"{rank}_{thermal}.pth", weights_only=True)
    assert step.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(step[name], gradient, msg=lambda text, name=name: f"{name}: {text}")
