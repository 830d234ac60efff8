"""Export: a branch becomes one ONNX file that takes the sensor's own values and needs neither xkd nor torch, and a model card."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from jaxtyping import Shaped
from torch import Tensor, nn

import xkd
from xkd.batch import Batch, View
from xkd.files import write_together
from xkd.graph.branch import Branch
from xkd.graph.example import example_batch
from xkd.modalities import RGB
from xkd.tasks import Task

INPUT = "images"
_BATCH_SIZES = (1, 2, 5)  # any batch must work, not only the one that was traced
_WHOLE = "resize the whole image"
_CUT = "cut the crop out of the image, with as much around the object as in training, and resize it"
_OF_CROPS = "it learned and was measured on crops of images; of whole images its answers mean little"
_METADATA_KEY = "xkd"


@dataclass(frozen=True)
class CardNotes:
    """What only the caller knows about the model: its name, what it learned from, what it scored, what to beware of."""

    name: str
    description: str = ""
    data: str = ""  # data set, its licence
    metrics: Mapping[str, float] = field(default_factory=dict)
    caveats: tuple[str, ...] = ()
    crops: bool = False  # whether it learned and was measured on crops of images


@dataclass(frozen=True)
class ModelCard:
    """All that is needed to run the file: written beside it as JSON and Markdown, and into its metadata under "xkd"."""

    name: str
    description: str
    noun: str  # what the outputs are of, "classes"
    names: tuple[str, ...]
    sensor: str  # the manifest's column
    unit: str
    value_range: tuple[float, float]
    input_name: str
    input_shape: tuple[str | int, ...]  # ("batch", channels, height, width)
    input_dtype: str
    layout: str
    channel_order: str
    preparation: str
    normalisation: dict[str, tuple[float, ...]]  # inside the model
    outputs: dict[str, str]
    parameters: int
    data: str
    metrics: dict[str, float]
    caveats: tuple[str, ...]
    versions: dict[str, str]


@dataclass(frozen=True)
class ExportReport:
    """What was written, and how far it was from PyTorch on random and on extreme inputs."""

    model: Path
    card: ModelCard
    num_bytes: int
    max_difference: float  # of a prediction
    num_compared: int  # images


class Deployed(nn.Module):
    """Sensor values in, outputs and predictions out; holds copies, so the branch keeps its device, mode and hooks."""

    mean: Tensor
    std: Tensor

    def __init__(self, branch: Branch, task: Task) -> None:
        super().__init__()
        twin = copy.deepcopy(branch)
        twin.taps.close()  # tracing would hand its hooks tensors that do not exist
        self.model = twin.model.cpu().float()
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


def export_onnx(branch: Branch, task: Task, path: Path, notes: CardNotes) -> ExportReport:
    """Write `path` (.onnx), its card (.json) and the card for people (.md), all three or none.

    The input is NCHW in the sensor's unit, `uint8` for RGB and `float32` otherwise, of any batch size; the normalisation is
    inside. Before it is kept, the file is run by onnxruntime on random and extreme images and compared with PyTorch: `ValueError`
    where a prediction differs by more than the task tolerates or is not finite, or where `path` does not end in .onnx.
    """
    if path.suffix != ".onnx":
        raise ValueError(f"an exported model is a .onnx file, got '{path}'")
    deployed = Deployed(branch, task).eval()
    probes = probe_images(branch.view)
    model = _traced(deployed, probes[:2])
    card = _card(branch, task, notes, model, sum(p.numel() for p in deployed.model.parameters()))
    model.metadata_props.add(key=_METADATA_KEY, value=json.dumps(_plain(card)))
    content = model.SerializeToString()
    difference = _compare(content, deployed, probes)
    path.parent.mkdir(parents=True, exist_ok=True)
    card_text = json.dumps(_plain(card), indent=2, ensure_ascii=False) + "\n"
    files = {
        path.with_suffix(".json"): card_text.encode(),
        path.with_suffix(".md"): card_markdown(card, path.name, task.usage).encode(),
        path: content,
        **{path.with_name(name): text for name, text in task.beside.items()},
    }
    write_together(files)
    return ExportReport(path, card, len(content), difference, len(probes))


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


def input_dtype(view: View) -> torch.dtype:
    """`uint8` where the sensor's values are 8-bit counts by definition, else `float32`."""
    return torch.uint8 if isinstance(view.modality, RGB) else torch.float32


def _traced(deployed: Deployed, example: Tensor) -> Any:
    program = torch.onnx.export(
        deployed,
        (example,),
        dynamo=True,
        input_names=[INPUT],
        output_names=list(deployed.task.outputs),
        dynamic_shapes={INPUT: {0: torch.export.Dim("batch")}},
        verbose=False,
    )
    if program is None:
        raise ValueError(f"torch.onnx gave no program for {type(deployed.model).__name__}")
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


def _compare(content: bytes, deployed: Deployed, probes: Tensor) -> float:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    worst = 0.0
    for size in _BATCH_SIZES:
        for images in torch.split(probes, size):
            with torch.no_grad():
                expected = deployed(images)[-1].numpy()
            given = session.run([list(deployed.task.outputs)[-1]], {INPUT: images.numpy()})[0]
            if given.shape != expected.shape or not np.isfinite(given).all():
                raise ValueError(
                    f"onnxruntime gives {given.shape} with values that are not all finite, PyTorch {expected.shape}: not exported"
                )
            worst = max(worst, float(np.abs(given - expected).max()))
    if worst > (allowed := deployed.task.tolerance):
        name = list(deployed.task.outputs)[-1]
        raise ValueError(f"onnxruntime and PyTorch differ by up to {worst:.2g} in {name}, {allowed:g} is allowed: not exported")
    return worst


def _card(branch: Branch, task: Task, notes: CardNotes, model: Any, parameters: int) -> ModelCard:
    modality, (height, width) = branch.view.modality, branch.view.size
    colour = isinstance(modality, RGB)
    return ModelCard(
        name=notes.name,
        description=notes.description,
        noun=task.noun,
        names=task.described,
        sensor=modality.name,
        unit=modality.unit,
        value_range=modality.range,
        input_name=INPUT,
        input_shape=("batch", modality.channels, height, width),
        input_dtype=str(input_dtype(branch.view)).removeprefix("torch."),
        layout="NCHW",
        channel_order="RGB" if colour else f"as the sensor '{modality.name}' reads them",
        preparation=f"{_CUT if notes.crops else _WHOLE} to height {height}, width {width}; by area where a side shrinks to half"
        " or less, else bilinear",
        normalisation={"mean": tuple(branch.mean.flatten().tolist()), "std": tuple(branch.std.flatten().tolist())},
        outputs={name: text.format(height=height, width=width) for name, text in task.outputs.items()},
        parameters=parameters,
        data=notes.data,
        metrics=dict(notes.metrics),
        caveats=(*notes.caveats, *([_OF_CROPS] if notes.crops else [])),
        versions={
            "xkd": xkd.__version__,
            "torch": torch.__version__,
            "onnx": onnx.__version__,
            "onnxruntime": onnxruntime.__version__,
            "opset": str(next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))),
        },
    )


def _plain(card: ModelCard) -> dict[str, Any]:
    """For programs: the names stand under what they are, such as "classes"."""
    return {card.noun if key == "names" else key: value for key, value in asdict(card).items() if key != "noun"}


def card_markdown(card: ModelCard, file_name: str, usage: Sequence[str] = ()) -> str:
    """The card for people, with a script that runs the model, and the lines that follow it."""
    low, high = card.value_range
    answer = list(card.outputs)[-1]
    _, channels, height, width = card.input_shape
    lines = [
        f"# {card.name}",
        "",
        *([card.description, ""] if card.description else []),
        "| | |",
        "|---|---|",
        f"| sensor | {card.sensor}, {card.unit}, ordinary values {low:g} to {high:g} |",
        f"| input | `{card.input_name}`: {card.input_dtype} (batch, {channels}, {height}, {width}), {card.layout} |",
        f"| channels | {card.channel_order} |",
        f"| preparation | {card.preparation}; no normalisation, it is inside |",
        *(f"| output | `{name}`: {shape} |" for name, shape in card.outputs.items()),
        f"| {card.noun} | {', '.join(f'{i} {name}' for i, name in enumerate(card.names)).replace('|', chr(92) + '|')} |",
        f"| parameters | {card.parameters:,} |",
        *([f"| data | {card.data} |"] if card.data else []),
        *(f"| {name} | {value:.4g} |" for name, value in card.metrics.items()),
        f"| versions | {', '.join(f'{name} {version}' for name, version in card.versions.items())} |",
        "",
        *(["## Beware", "", *(f"- {caveat}" for caveat in card.caveats), ""] if card.caveats else []),
        "## Run it",
        "",
        "```python",
        "import numpy as np",
        "import onnxruntime",
        "",
        f'session = onnxruntime.InferenceSession("{file_name}", providers=["CPUExecutionProvider"])',
        f"images = np.zeros((1, {channels}, {height}, {width}), np.{card.input_dtype})  # your image here, {card.unit}",
        f'{answer} = session.run(["{answer}"], {{"{card.input_name}": images}})[0]',
        *usage,
        "```",
        "",
    ]
    return "\n".join(lines)
