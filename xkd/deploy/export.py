"""Export: a branch becomes one ONNX file that takes the sensor's own values and needs neither xkd nor torch, and a model card."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from jaxtyping import Shaped
from numpy.typing import NDArray
from torch import Tensor, nn

from xkd.batch import Batch, View
from xkd.changes.rounded import bake, inputs_of
from xkd.deploy.card import INPUT, CardNotes, ModelCard, card_markdown, card_of, input_dtype, plain_card
from xkd.files import write_together
from xkd.graph.branch import Branch
from xkd.graph.example import example_batch
from xkd.tasks import Task

BATCH_SIZES = (1, 2, 5)  # any batch must work, not only the one that was traced
_METADATA_KEY = "xkd"


@dataclass(frozen=True)
class ExportReport:
    """What was written, and how far it was from PyTorch on random and on extreme inputs."""

    model: Path
    card: ModelCard
    num_bytes: int
    max_difference: float  # of a prediction
    num_compared: int  # images


@dataclass(frozen=True)
class Network:
    """An ONNX model that answers as PyTorch does, with its card in its metadata, before anything is written."""

    content: bytes
    card: ModelCard
    max_difference: float
    num_compared: int
    tolerance: float = 0.0  # by how much an answer may differ on another machine, beside the task's


class Deployed(nn.Module):
    """Sensor values in, outputs and predictions out; holds copies, so the branch keeps its device, mode and hooks.

    Rounded weights stand in it as they are used; `rounded` says whether inputs of layers are rounded as well.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, branch: Branch, task: Task, *, rounded: bool = True) -> None:
        super().__init__()
        twin = twin_of(branch)
        twin.taps.close()  # tracing would hand its hooks tensors that do not exist
        self.model = twin.model
        bake(self.model, activations=rounded)
        self.register_buffer("mean", branch.mean.cpu().float())
        self.register_buffer("std", branch.std.cpu().float())
        self.task, self.class_map = task, branch.class_map
        self.batch: Batch = example_batch([branch.view], task, 1, torch.device("cpu"))

    def forward(self, images: Shaped[Tensor, "b c h w"]) -> tuple[Tensor, ...]:
        def answer(inputs: Tensor) -> Any:
            output = self.model(inputs)
            return output if self.class_map is None else self.class_map(output, self.task.names)

        output = self.task.call(answer, (images.to(torch.float32) - self.mean) / self.std, self.batch)
        return (output, self.task.deployed(output))[-len(self.task.outputs) :]


def twin_of(branch: Branch) -> Branch:
    """A copy on the processor, in float32."""
    return copy.deepcopy(branch).cpu().float()


def export_onnx(
    branch: Branch, task: Task, path: Path, notes: CardNotes, change: Callable[[Network], Network] = lambda network: network
) -> ExportReport:
    """Write `path` (.onnx), its card (.json) and the card for people (.md), all three or none.

    The input is NCHW in the sensor's unit, `uint8` for RGB and `float32` otherwise, of any batch size; the normalisation is
    inside. Before it is kept, the file is run by onnxruntime on random and extreme images and compared with PyTorch: `ValueError`
    where a prediction differs by more than the task tolerates or is not finite, or where `path` does not end in .onnx. `change` is done
    to the network then, such as to make it one of int8.
    """
    if path.suffix != ".onnx":
        raise ValueError(f"an exported model is a .onnx file, got '{path}'")
    network = change(network_of(branch, task, notes))
    files = {
        path.with_suffix(".json"): card_json(network.card),
        path.with_suffix(".md"): card_markdown(network.card, path.name, task.usage).encode(),
        path: network.content,
        **{path.with_name(name): text for name, text in task.beside.items()},
    }
    write_together(files)
    return ExportReport(path, network.card, len(network.content), network.max_difference, network.num_compared)


def network_of(branch: Branch, task: Task, notes: CardNotes) -> Network:
    """What `export_onnx` writes; raises what it does."""
    deployed = Deployed(branch, task).eval()
    probes = probe_images(branch.view)
    names = list(task.outputs)
    model = traced(deployed, probes[:2], names)
    card = card_of(branch, task, notes, model, sum(p.numel() for p in deployed.model.parameters()))
    content, tolerance = with_card(model, card), _of_rounding(branch, deployed, probes)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    tolerances = {names[-1]: max(task.tolerance, tolerance)}
    worst = compare(lambda images: session.run(names[-1:], {INPUT: images}), deployed, tolerances, probes)
    return Network(content, card, worst, len(probes), tolerance)


def _of_rounding(branch: Branch, deployed: Deployed, probes: Tensor) -> float:
    """What rounded inputs of layers change in an answer: a value near a half may be rounded to the other side elsewhere."""
    if not inputs_of(branch.model):
        return 0.0
    exact = Deployed(branch, deployed.task, rounded=False).eval()
    with torch.no_grad():
        return float((deployed(probes)[-1] - exact(probes)[-1]).abs().max())


def with_card(model: Any, card: ModelCard) -> bytes:
    """The ONNX `model` as a file, its card in the metadata."""
    del model.metadata_props[:]
    model.metadata_props.add(key=_METADATA_KEY, value=json.dumps(plain_card(card)))
    content: bytes = model.SerializeToString()
    return content


def card_json(card: ModelCard) -> bytes:
    """The card for programs."""
    return (json.dumps(plain_card(card), indent=2, ensure_ascii=False) + "\n").encode()


def probe_images(view: View) -> Shaped[Tensor, "n c h w"]:
    """What the exported model is tried on: noise, constants at both ends of the sensor's range and beyond, steps, one bright pixel."""
    low, high = view.modality.range
    shape = (view.modality.channels, *view.size)
    noise = low + (high - low) * torch.rand((5, *shape), generator=torch.Generator().manual_seed(0))
    ends = torch.stack([torch.full(shape, value) for value in (low, high, (low + high) / 2)])
    steps = torch.full((2, *shape), low)
    steps[0, :, ::2, ::2] = high
    steps[1, :, view.size[0] // 2, view.size[1] // 2] = high
    images = torch.cat([noise, ends, steps])
    if input_dtype(view) == torch.uint8:
        return images.round().to(torch.uint8)
    beyond = torch.stack([torch.full(shape, low - (high - low)), torch.zeros(shape)])  # a broken sensor, an empty image
    return torch.cat([images, beyond])


def traced(network: nn.Module, example: Shaped[Tensor, "b c h w"], outputs: Sequence[str], any_batch: bool = True) -> Any:
    """The network as an ONNX model for any batch size, or for the example's, its outputs so named."""
    program = torch.onnx.export(
        network,
        (example,),
        dynamo=True,
        input_names=[INPUT],
        output_names=list(outputs),
        dynamic_shapes={INPUT: {0: torch.export.Dim("batch")}} if any_batch else None,
        verbose=False,
    )
    if program is None:
        raise ValueError(f"torch.onnx gave no program for {type(network).__name__}")
    model = program.model_proto
    _strip_traces(model.graph)
    onnx.checker.check_model(model)
    return model


def _strip_traces(graph: onnx.GraphProto) -> None:
    """Take the stack traces, with the paths of the machine that exported it, off the nodes and the branches of an `If` within them."""
    for node in graph.node:
        del node.metadata_props[:]
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                _strip_traces(inner)


def compare(
    run: Callable[[NDArray[Any]], Sequence[NDArray[Any]]],
    network: nn.Module,
    tolerances: Mapping[str, float],
    probes: Shaped[Tensor, "n c h w"],
    sizes: Sequence[int] = BATCH_SIZES,
) -> float:
    """The largest difference of what onnxruntime gives by `run` from the last outputs of `network`, which have these names.

    `ValueError` where it is more than an output's tolerance, or where what is given is not finite, or not of PyTorch's shape, at some
    batch size.
    """
    worst = 0.0
    for size in sizes:
        for images in torch.split(probes, size):
            with torch.no_grad():
                expected = [output.numpy() for output in network(images)[-len(tolerances) :]]
            for (name, most), given, wanted in zip(tolerances.items(), run(images.numpy()), expected, strict=True):
                if given.shape != wanted.shape or not np.isfinite(given).all():
                    raise ValueError(
                        f"onnxruntime gives {name} {given.shape} with values that are not all finite, PyTorch {wanted.shape}: not exported"
                    )
                if (far := float(np.abs(given - wanted).max())) > most:
                    raise ValueError(f"onnxruntime and PyTorch differ by up to {far:.2g} in {name}, {most:g} is allowed: not exported")
                worst = max(worst, far)
    return worst
