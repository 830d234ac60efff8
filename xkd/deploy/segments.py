"""A network with exits as a chain of ONNX files, each of which ends at an exit and gives what the next ones need."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
import torch
from jaxtyping import Shaped
from numpy.typing import NDArray
from torch import Tensor, nn

from xkd.changes.rounded import inputs_of
from xkd.deploy.card import INPUT
from xkd.deploy.export import BATCH_SIZES, compare, probe_images, traced, twin_of
from xkd.deploy.int8 import session_of
from xkd.graph.branch import Branch
from xkd.graph.example import example_batch
from xkd.tasks import Task

DEEPEST: Final = "output"
_ROUNDS: Final = 5
_RUNS: Final = 40


@dataclass(frozen=True)
class Segment:
    """One file: names of the tensors that it takes and gives, of which one is the exit's answer."""

    content: bytes
    takes: tuple[str, ...]
    gives: tuple[str, ...]
    answer: str


@dataclass(frozen=True)
class Chain:
    """The student's exits by name, the output last, and a segment for each; `alone` is the network without exits, in one file."""

    exits: tuple[str, ...]
    segments: tuple[Segment, ...]
    alone: Segment
    model: Any  # the ONNX model that was cut
    max_difference: float  # of an exit's answer from PyTorch
    num_compared: int  # images
    any_batch: bool = True  # or one image at a time


@dataclass(frozen=True)
class Times:
    """Milliseconds for one image on one thread of the machine that measured: until each exit, and of the network without exits."""

    exits: tuple[float, ...]
    alone: float


class _Exiting(nn.Module):
    """Sensor values in, the prediction of each exit out; the branch's taps stay, as the heads read them."""

    def __init__(self, branch: Branch, task: Task, exits: Sequence[str]) -> None:
        super().__init__()
        self.branch, self.task, self.exits = twin_of(branch), task, tuple(exits)
        self.branch.memory_format = torch.contiguous_format
        self.batch = example_batch([branch.view], task, 1, torch.device("cpu"))

    def forward(self, images: Shaped[Tensor, "b c h w"]) -> tuple[Tensor, ...]:
        capture = self.branch.run(images, self.batch, self.task)
        return tuple(self.task.deployed(capture[name]) for name in self.exits)


def chain_of(branch: Branch, task: Task, exits: Sequence[str]) -> Chain:
    """Heads of the branch, in the order in which the network reaches them, and its output as segments.

    One graph is traced and cut, and whatever lives at a cut is passed on: the tap's map, a skip connection, a number made of a shape.
    So every network that exports can be cut; one that is traced for a fixed number of images is a chain for one. onnxruntime runs it on
    random and extreme images, at several batch sizes: `ValueError` where an exit's answer differs from PyTorch's by more than the task
    tolerates, or is not finite, and for a network that is rounded.
    """
    if inputs_of(branch.model):
        raise ValueError(
            f"{type(branch.model).__name__} learned with few bits (changes=Rounded): exits are of float networks; use xkd export"
        )
    names = (*exits, DEEPEST)
    answers = [answer_name(task, name) for name in names]
    network, probes = _Exiting(branch, task, names).eval(), probe_images(branch.view)
    model = traced(network, probes[:2], answers)
    if fixed := model.graph.input[0].type.tensor_type.shape.dim[0].HasField("dim_value"):
        model = traced(network, probes[:1], answers, any_batch=False)
    segments = cut(model, answers)
    run = Running(segments)
    worst = compare(
        lambda images: list(run(images)), network, dict.fromkeys(answers, task.tolerance), probes, (1,) if fixed else BATCH_SIZES
    )
    (alone,) = cut(model, answers[-1:])
    return Chain(names, tuple(segments), alone, model, worst, len(probes), not fixed)


def answer_name(task: Task, exit_name: str) -> str:
    """Of the tensor with an exit's answer; the output's is that of a network without exits."""
    last = list(task.outputs)[-1]
    return last if exit_name == DEEPEST else f"{last}_{exit_name}"


def cut(model: Any, answers: Sequence[str]) -> list[Segment]:
    """The ONNX `model` in a file for each of these outputs: what it needs of the nodes that no earlier one has.

    Nodes that none of them needs are left out. A value that a later file needs is an output of the one that makes it.
    """
    graph = model.graph
    makers = {name: place for place, node in enumerate(graph.node) for name in node.output}
    owner: dict[int, int] = {}  # the file of each node
    for file, answer in enumerate(answers):
        todo = [makers[answer]]
        while todo:
            if (place := todo.pop()) not in owner:
                owner[place] = file
                todo.extend(makers[name] for name in _read(graph.node[place]) if name in makers)
    inputs = {value.name for value in graph.input}
    takes: list[dict[str, None]] = [{} for _ in answers]  # in an order of their own, as a set has none
    gives: list[dict[str, None]] = [{answer: None} for answer in answers]
    for place in sorted(owner):
        for name in _read(graph.node[place]):
            maker = owner[makers[name]] if name in makers else None
            if name in inputs or (maker is not None and maker != owner[place]):
                takes[owner[place]][name] = None
            if maker is not None and maker != owner[place]:
                gives[maker][name] = None
    own = [[node for place, node in enumerate(graph.node) if owner.get(place) == file] for file in range(len(answers))]
    return [_file(model, nodes, [*t], [*g], a) for nodes, t, g, a in zip(own, takes, gives, answers, strict=True)]


def _read(node: Any) -> Iterator[str]:
    """Names of the values that a node reads, those read by graphs inside it (of an `If`) too."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        for inner in (attribute.g, *attribute.graphs):
            made = {name for one in inner.node for name in one.output}
            yield from (name for one in inner.node for name in _read(one) if name not in made)
            yield from (value.name for value in inner.output if value.name not in made)


def _file(model: Any, nodes: Sequence[Any], takes: Sequence[str], gives: Sequence[str], answer: str) -> Segment:
    graph = model.graph
    known = {value.name: value for value in (*graph.input, *graph.value_info, *graph.output)}
    read = {name for node in nodes for name in _read(node)}
    weights = [value for value in graph.initializer if value.name in read]
    made = onnx.helper.make_graph(nodes, answer, [known[name] for name in takes], [known[name] for name in gives], weights)
    own = onnx.ModelProto()
    own.CopyFrom(model)
    del own.metadata_props[:]
    own.graph.CopyFrom(made)
    onnx.checker.check_model(own)
    return Segment(own.SerializeToString(), tuple(takes), tuple(gives), answer)


class Running:
    """Segments in onnxruntime, on one thread: called with images, it gives the answer of one exit after the other."""

    def __init__(self, segments: Iterable[Segment]) -> None:
        self.parts = [(segment, session_of(segment.content)) for segment in segments]

    def __call__(self, images: Shaped[NDArray[Any], "b c h w"]) -> Iterator[NDArray[Any]]:
        values = {INPUT: images}
        for segment, session in self.parts:
            given = session.run(segment.gives, {name: values[name] for name in segment.takes})
            values |= zip(segment.gives, given, strict=True)
            yield values[segment.answer]


def times_of(chain: Chain, image: Shaped[NDArray[Any], "1 c h w"]) -> Times:
    """The chain and the network without exits in turn: medians, of five rounds the least, as other work disturbs some."""
    both = Running(chain.segments), Running([chain.alone])
    medians: tuple[list[NDArray[Any]], ...] = ([], [])
    for _ in range(_ROUNDS):
        for run, kept in zip(both, medians, strict=True):
            kept.append(np.median([_until(run, image) for _ in range(_RUNS)], 0))
    until, alone = (1000 * np.min(kept, 0) for kept in medians)
    return Times(tuple(until.tolist()), float(alone[0]))


def _until(run: Callable[[NDArray[Any]], Iterator[NDArray[Any]]], image: NDArray[Any]) -> list[float]:
    """Seconds until each answer."""
    began = time.perf_counter()
    return [time.perf_counter() - began for _ in run(image)]
