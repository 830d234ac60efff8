"""The model card: all that is needed to run an exported file, for programs and for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, TypeVar

import onnx
import onnxruntime
import torch

import xkd
from xkd.batch import View
from xkd.changes.rounded import bits_of
from xkd.graph.branch import Branch
from xkd.modalities import RGB, Clip
from xkd.modality import Modality
from xkd.tasks import Task

INPUT: Final = "images"
_Seen = TypeVar("_Seen")
# the highest that each onnxruntime was seen to open
_OPSETS: Final = {18: "1.15", 19: "1.16", 20: "1.17", 21: "1.18", 22: "1.21", 23: "1.23", 25: "1.24"}
_IR_VERSIONS: Final = {9: "1.15", 10: "1.18", 11: "1.23", 13: "1.24"}
_CHAIN: Final = (
    "from pathlib import Path",
    "",
    "from run import Model",
    "",
    "model = Model()",
    'probabilities = model.run(model.prepare(model.read(Path("photo.jpg"))))  # of the first exit that is sure enough',
    'print(model.last[0]["exit"], probabilities)',
)
_WHOLE = "resize the whole image"
_CUT = "cut the crop out of the image, with as much around the object as in training, and resize it"
_OF_CROPS = "it learned and was measured on crops of images; of whole images its answers mean little"


@dataclass(frozen=True)
class CardNotes:
    """What only the caller knows about the model: its name, what it learned from, what it scored, what to beware of."""

    name: str
    description: str = ""
    data: str = ""  # data set, its licence
    metrics: Mapping[str, float] = field(default_factory=dict)
    caveats: tuple[str, ...] = ()
    crops: bool = False  # whether it learned and was measured on crops of images
    clips: Mapping[str, float | None] = field(default_factory=dict)  # of the data: `fps` of its clips, and `strip`, how many a file holds


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
    precision: str
    quantisation: dict[str, Any]  # of int8: what calibrated it, its scores and its time beside those of float32
    exits: dict[str, dict[str, Any]]  # of a network that may stop early: what each exit scores, costs, and who stops there
    needs: dict[str, str]  # the lowest onnxruntime that runs the file, and why: its opset and its IR version
    versions: dict[str, str]


def input_dtype(view: View) -> torch.dtype:
    """`uint8` where the sensor's values are 8-bit counts by definition, else `float32`."""
    return torch.uint8 if isinstance(of_frames(view.modality), RGB) else torch.float32


def of_frames(modality: _Seen) -> _Seen | Modality:
    """The sensor of a clip's frames; any other is its own."""
    return modality.sensor if isinstance(modality, Clip) else modality


def card_of(branch: Branch, task: Task, notes: CardNotes, model: Any, parameters: int) -> ModelCard:
    """Of the ONNX `model` that was made of the branch."""
    modality, (height, width), needs = branch.view.modality, branch.view.size, needs_of(model)
    order = "RGB" if isinstance(of_frames(modality), RGB) else f"as the sensor '{modality.name}' reads them"
    clip = f"of each of {modality.frames} frames, every {modality.every} of the data's, " if isinstance(modality, Clip) else ""
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
        channel_order=f"{order} of the first frame, then of the second, and so on" if clip else order,
        preparation=f"{clip}{_CUT if notes.crops else _WHOLE} to height {height}, width {width}; by area where a side shrinks to half"
        " or less, else bilinear",
        normalisation={"mean": tuple(branch.mean.flatten().tolist()), "std": tuple(branch.std.flatten().tolist())},
        outputs={name: text.format(height=height, width=width) for name, text in task.outputs.items()},
        parameters=parameters,
        data=notes.data,
        metrics=dict(notes.metrics),
        caveats=(*notes.caveats, *([_OF_CROPS] if notes.crops else []), *_rounded(branch)),
        precision="float32",
        quantisation={},
        exits={},
        needs=needs,
        versions={
            "xkd": xkd.__version__,
            "torch": torch.__version__,
            "onnx": onnx.__version__,
            "onnxruntime": onnxruntime.__version__,
            "opset": needs["opset"],
        },
    )


def _rounded(branch: Branch) -> list[str]:
    """What a file of floats holds of a network that learned with few bits."""
    bits = bits_of(branch.model)
    if bits is None:
        return []
    return [
        f"it learned with weights of {bits[0]} bits, and {bits[1]} bits for what goes into a layer, and answers so; the file holds both"
        " as 32-bit floats, so it is no smaller and no faster than that of a network that is not rounded"
    ]


def needs_of(model: Any) -> dict[str, str]:
    """The lowest onnxruntime that opens an ONNX model: `ValueError` for one that is newer than all that were tried."""
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    lowest = [_first(_OPSETS, "opset", opset), _first(_IR_VERSIONS, "IR version", model.ir_version)]
    return {
        "onnxruntime": max(lowest, key=lambda version: [int(part) for part in version.split(".")]),
        "opset": str(opset),
        "ir": str(model.ir_version),
    }


def _first(known: Mapping[int, str], what: str, version: int) -> str:
    for most, runtime in known.items():
        if version <= most:
            return runtime
    raise ValueError(f"the exporter wrote {what} {version}; which onnxruntime reads it is known up to {max(known)}")


def plain_card(card: ModelCard) -> dict[str, Any]:
    """For programs: the names stand under what they are, such as "classes"."""
    return {card.noun if key == "names" else key: value for key, value in asdict(card).items() if key != "noun"}


def card_markdown(card: ModelCard, file_name: str, usage: Sequence[str] = ()) -> str:
    """The card for people, with a script that runs the model, and the lines that follow it."""
    low, high = card.value_range
    batch, channels, height, width = card.input_shape
    lines = [
        f"# {card.name}",
        "",
        *([card.description, ""] if card.description else []),
        "| | |",
        "|---|---|",
        f"| sensor | {card.sensor}, {card.unit}, ordinary values {low:g} to {high:g} |",
        f"| input | `{card.input_name}`: {card.input_dtype} ({batch}, {channels}, {height}, {width}), {card.layout} |",
        f"| channels | {card.channel_order} |",
        f"| preparation | {card.preparation}; no normalisation, it is inside |",
        *(f"| output | `{name}`: {shape} |" for name, shape in card.outputs.items()),
        f"| {card.noun} | {', '.join(f'{i} {name}' for i, name in enumerate(card.names)).replace('|', chr(92) + '|')} |",
        f"| parameters | {card.parameters:,}, {card.precision} |",
        f"| runs with | onnxruntime {card.needs['onnxruntime']} or newer (opset {card.needs['opset']}, IR {card.needs['ir']}) |",
        *([f"| data | {card.data} |"] if card.data else []),
        *_quantised(card.quantisation),
        *(f"| exit {name} | {', '.join(f'{what}: {_shown(of)}' for what, of in facts.items())} |" for name, facts in card.exits.items()),
        *(f"| {name} | {value:.4g} |" for name, value in card.metrics.items()),
        f"| versions | {', '.join(f'{name} {version}' for name, version in card.versions.items())} |",
        "",
        *(["## Beware", "", *(f"- {caveat}" for caveat in card.caveats), ""] if card.caveats else []),
        "## Run it",
        "",
        "```python",
        *(_CHAIN if card.exits else _script(card, file_name)),
        *usage,
        "```",
        "",
    ]
    return "\n".join(lines)


def _shown(value: float | None) -> str:
    return "never" if value is None else f"{value:.4g}"


def _script(card: ModelCard, file_name: str) -> list[str]:
    """That runs a model of one file."""
    answer = list(card.outputs)[-1]
    _, channels, height, width = card.input_shape
    return [
        "import numpy as np",
        "import onnxruntime",
        "",
        f'session = onnxruntime.InferenceSession("{file_name}", providers=["CPUExecutionProvider"])',
        f"images = np.zeros((1, {channels}, {height}, {width}), np.{card.input_dtype})  # your image here, {card.unit}",
        f'{answer} = session.run(["{answer}"], {{"{card.input_name}": images}})[0]',
    ]


def _quantised(facts: Mapping[str, Any]) -> list[str]:
    """Rows of the card: a measure on each split, time and size, of float32 and of int8."""
    if not facts:
        return []
    rows = [f"| int8 | for {facts['for']}, calibrated on {facts['calibrated_on']} training rows |"]
    for split, of in facts["scores"].items():
        rows += [f"| {split} {name}, float32 and int8 | {value:.4g} and {of['int8'][name]:.4g} |" for name, value in of["float32"].items()]
    times, sizes = facts["milliseconds_here"], facts["bytes"]
    return [
        *rows,
        f"| ms for one image, one thread, where it was exported | {times['float32']:.3f} and {times['int8']:.3f} |",
        f"| MB | {sizes['float32'] / 1e6:.2f} and {sizes['int8'] / 1e6:.2f} |",
    ]
