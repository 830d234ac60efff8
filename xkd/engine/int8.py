"""A student in int8: calibrated on training rows, measured beside the float one, refused where too much is lost."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from mmengine.config import Config
from numpy.typing import NDArray

from xkd.changes.rounded import bake, bits_of
from xkd.data.loader import collate
from xkd.data.paired import PairedDataset
from xkd.deploy.card import INPUT
from xkd.deploy.export import Network
from xkd.deploy.int8 import Target, milliseconds, rounded, session_of, told
from xkd.engine.config import as_plain
from xkd.engine.loaders import build_loader
from xkd.engine.student import Student
from xkd.evaluate import Predictions, measure, predict_by
from xkd.graph.branch import Branch
from xkd.statistics.measures import SHARE, Measure

_BATCH: Final = 32  # images


@dataclass(frozen=True)
class Int8:
    """What `xkd export --precision int8` asks for.

    `lose_at_most` is a share of the rows for an accuracy, and of the float network's score for a measure with a unit. `rows` of the train
    split calibrate, without augmentation, as many of each class as there are.
    """

    target: Target = "processors"
    lose_at_most: float = 0.01
    rows: int = 256

    def __post_init__(self) -> None:
        if self.target not in ("processors", "tensorrt"):
            raise ValueError(f"int8 is for 'processors' or 'tensorrt', not '{self.target}'")
        if not 0 <= self.lose_at_most < 1:
            raise ValueError(f"what may be lost is a share, from 0 to below 1; got {self.lose_at_most}")
        if self.rows < 1:
            raise ValueError(f"int8 is calibrated on one row or more; got {self.rows}")


def with_exact_inputs(branch: Branch) -> Branch:
    """For int8, whose ranges onnxruntime finds: a copy with the weights that it learned with, what goes into layers in float.

    `ValueError` for a network that learned with other bits than 8.
    """
    bits = bits_of(branch.model)
    if bits is None:
        return branch
    if bits != (8, 8):
        raise ValueError(
            f"int8 holds 8 bits, and the student learned with weights of {bits[0]} and activations of {bits[1]}: leave out --precision int8"
            " for a file of floats that answers as it does, or train it with Rounded(weights=8, activations=8)"
        )
    twin = copy.deepcopy(branch)
    bake(twin.model, activations=False)
    return twin


def in_int8(config: Config, student: Student, asked: Int8, say: Callable[[str], None]) -> Callable[[Network], Network]:
    """What makes the exported network an int8 one; `say` is told its scores, its time and its size beside the float one's.

    It raises `ValueError` where more than `lose_at_most` of the first measure is lost on val or test, and where the train split has no row
    of a class.
    """

    def change(network: Network) -> Network:
        images = calibration(config, student, asked.rows)
        small = rounded(network, images, asked.target)
        contents = {"float32": network.content, "int8": small.content}
        scores = {split: {name: _score(config, student, split, content) for name, content in contents.items()} for split in ("val", "test")}
        main = student.task.measures().main[0]
        lost = {split: loss(main, of["float32"][main.name], of["int8"][main.name]) for split, of in scores.items()}
        for split, of in scores.items():
            say(f"{split}: {main.words} {of['float32'][main.name]:.4f} in float, {of['int8'][main.name]:.4f} in int8")
        for split, worse in lost.items():
            if not worse <= asked.lose_at_most:  # a score may be undefined
                raise ValueError(
                    f"int8 loses {worse:.3f} of {main.words} on {split}, more than {asked.lose_at_most:g} (--lose-at-most): not exported."
                    " More --calibrate-on rows may help, a larger network, or float32"
                )
        times = milliseconds(contents, images[0][:1])
        sizes = {name: len(content) for name, content in contents.items()}
        say(f"one image, one thread: {times['float32']:.3f} ms in float, {times['int8']:.3f} ms in int8; {_sizes(sizes)}")
        if times["int8"] >= times["float32"]:
            say(
                "int8 is not faster than float on this machine, as small networks with depthwise convolutions may be; measure on the device"
            )
        facts = {"for": asked.target, "calibrated_on": sum(map(len, images)), "scores": scores, "milliseconds_here": times, "bytes": sizes}
        return told(small, facts, scores["test"]["int8"])

    return change


def loss(measure: Measure, before: float, after: float) -> float:
    """How much worse: of shares the difference, else as a share of what it was."""
    worse = before - after if measure.higher else after - before
    return worse if measure.unit == SHARE else worse / max(abs(before), np.finfo(float).tiny)


def _sizes(sizes: dict[str, int]) -> str:
    return f"{sizes['float32'] / 1e6:.2f} and {sizes['int8'] / 1e6:.2f} MB"


def calibration(config: Config, student: Student, most: int) -> list[NDArray[Any]]:
    """Batches of training images as the network takes them, read as val is; `ValueError` names a class without rows."""
    section = as_plain(config.val_dataloader)
    section = {**section, "num_workers": 0, "dataset": {**section["dataset"], "split": "train"}}
    view = student.branch.view
    loader: Any = build_loader(section, seed=0, views=[view])  # a DataLoader, which forgets what its dataset is
    dataset: PairedDataset = loader.dataset
    strata = np.asarray(dataset.strata)
    names = student.task.names if student.task.one_class else ()
    if missing := [name for k, name in enumerate(names) if not (strata == k).any()]:
        raise ValueError(f"the train split has no row of class '{missing[0]}' to calibrate int8 on")
    chosen = spread(strata.tolist(), most)
    parts = [collate([dataset[row] for row in chosen[start : start + _BATCH]]) for start in range(0, len(chosen), _BATCH)]
    return [batch.views[view.name][batch.present[view.name]].numpy() for batch in parts]


def spread(strata: Sequence[int], most: int) -> list[int]:
    """At most so many rows, but one of each stratum, as many of each where it has them, evenly from its first to its last."""
    groups = [np.flatnonzero(np.asarray(strata) == one) for one in sorted(set(strata))]
    share = max(most // len(groups), 1)
    rows = [group[np.linspace(0, len(group) - 1, min(share, len(group))).astype(int)] for group in groups]
    return sorted(np.concatenate(rows).tolist())


def _score(config: Config, student: Student, split: str, content: bytes) -> dict[str, float]:
    loader = build_loader(config[f"{split}_dataloader"], seed=0, views=[student.branch.view])
    session, raw = session_of(content), next(iter(student.task.outputs))

    def answer(images: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(session.run([raw], {INPUT: images.numpy()})[0])

    predictions: Predictions = predict_by(answer, student.branch.view, student.task, loader)
    return measure(student.task, predictions)
