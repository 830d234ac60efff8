"""The deployed folder: the network, its card, a plan, and run.py, which needs neither xkd nor torch."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

import xkd
from xkd.batch import View
from xkd.deploy.card import INPUT, CardNotes, ModelCard, card_markdown, of_frames
from xkd.deploy.export import ExportReport, Network, card_json, network_of, probe_images
from xkd.geometry import IDENTITY, Box
from xkd.graph.branch import Branch
from xkd.modalities.clip import Clip, Footage
from xkd.modality import Portable, filled
from xkd.tasks import Task

MODEL: Final = "model.onnx"
_PLAN: Final = "plan.json"
_FORMAT: Final = 1
_SCRIPTS: Final = ("run.py", "measured.py", "streams.py", "without_opencv.py")
_OF_COUNTS: Final = "counts.py"
_OF_ONE_CLASS: Final = "exits.py"  # such answers have a confidence
_COUNT: Final = 1.0  # of 8 bits, by which Pillow and numpy may differ from OpenCV
_SAMPLES: Final = ((2.3, 1.4), (0.7, 0.7))  # sizes of the pictures to prepare: one is averaged down, one enlarged

_RUN: Final = """## This folder

`run.py` needs numpy, onnxruntime and opencv-python-headless (or Pillow): `pip install numpy onnxruntime opencv-python-headless`.

```sh
python run.py check                          # does this machine give the answers that are stored here?
python run.py photos/ --out answers.csv      # image files, and folders of them
python run.py --camera 0                     # until Ctrl-C
python run.py --video clip.mp4 --out answers.csv
python run.py bench --threads 1 --out timings.json
```
"""

_OF_CLIPS: Final = """
The network takes clips: image files are strips, frames side by side; of a camera or a video a window slides. plan.json says in `clip` how
frames are taken: `fps` of the data (or `--fps`), `every` how many, and `strip`, how many a file holds (null: those that the network takes).
"""


def write_folder(
    branch: Branch, task: Task, folder: Path, notes: CardNotes, change: Callable[[Network], Network] = lambda network: network
) -> ExportReport:
    """Write `folder`: the ONNX file, card.json and card.md, plan.json, samples with their answers, run.py and what it needs beside it.

    An earlier exported folder is replaced, whole or not at all, once `run.py check` has found the new one right. `ValueError` for a folder
    that holds anything else, and for what `export_onnx` refuses. `change` is done to the network, such as to make it one of int8.
    """
    check_place(folder)
    if not task.recipe:
        raise ValueError(f"run.py knows no answers of a {type(task).__name__}; --out student.onnx writes the network alone")
    last = list(task.outputs)[-1]
    exported = network_of(branch, task, notes)
    network = change(exported)
    samples = samples_of(branch.view)
    samples["answers"], plain = (_answers(of.content, task, samples["images"]) for of in (network, exported))
    # another processor's int8 may be as far from this one's as int8 is from float
    tolerance = max(task.tolerance, exported.tolerance, float(np.abs(samples["answers"] - plain).max()))
    part = Part(network.content, {"file": MODEL, "takes": [INPUT], "gives": [last], "answer": last})
    page = card_markdown(network.card, MODEL, task.usage)
    put_folder(folder, folder_content(branch, task, [part], Told(network.card, page, notes, samples, tolerance)))
    return ExportReport(folder / MODEL, network.card, len(network.content), network.max_difference, network.num_compared)


def _answers(content: bytes, task: Task, images: NDArray[Any]) -> NDArray[Any]:
    """The last of the task's outputs, image by image, as run.py asks."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run([list(task.outputs)[-1]], {INPUT: image[None]})[0] for image in images])


def check_place(folder: Path) -> None:
    """`ValueError` where something stands in the folder's place that is no exported folder, and for a name with a suffix."""
    if folder.suffix and not folder.is_dir():
        raise ValueError(f"an exported model is a .onnx file or a folder, whose name has no suffix; got '{folder}'")
    if folder.exists() and not (folder / _PLAN).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is there and is no folder that xkd export wrote: name a new one, or a file .onnx")


def samples_of(view: View) -> dict[str, NDArray[Any]]:
    """Pictures as a camera gives them and as training prepares them, and images to answer: made up, as data may be somebody's."""
    samples: dict[str, NDArray[Any]] = {}
    probes = probe_images(view).numpy()
    images = [probes[0], probes[-1]]
    if _recipe(view):
        [sensor] = view.sensors
        for number, factors in enumerate(_SAMPLES):
            height, width = (max(round(side * factor), 1) for side, factor in zip(view.size, factors, strict=True))
            picture = _picture(view, height, width, holed=number == 0)
            shown = _cut(picture, sensor.frames) if isinstance(sensor, Clip) else picture
            placed = filled(sensor.place(shown, IDENTITY, view.size, Box(0, 0, width, height)), sensor)
            samples[f"picture{number}"] = picture
            samples[f"prepared{number}"] = np.ascontiguousarray(placed.transpose(2, 0, 1))
            images.insert(0, samples[f"prepared{number}"])
    return {**samples, "images": np.stack(images)}


def _cut(strip: NDArray[Any], frames: int) -> Footage:
    return Footage(tuple(np.split(strip, frames, axis=1)), tuple(range(frames)))


def _picture(view: View, height: int, width: int, holed: bool) -> NDArray[Any]:
    """A slope with noise, within the sensor's range, of a clip over all of a strip; of a sensor with floats one has a hole."""
    rng, frames = np.random.default_rng(0), view.modality.frames if isinstance(view.modality, Clip) else 1
    low, high = view.modality.range
    width *= frames
    slope = np.linspace(0, 0.7, height)[:, None, None] * np.linspace(0, 1, width)[:, None]
    shares = slope + 0.3 * rng.random((height, width, view.modality.channels // frames))
    values: NDArray[Any] = (low + (high - low) * shares).astype(np.float32)
    if _recipe(view)["kind"] == "colour":
        return np.asarray(np.rint(values), np.uint8)
    if holed:
        values[: height // 3, : width // 3] = np.nan
    return values


def _recipe(view: View) -> Mapping[str, Any]:
    """How run.py reads files; empty where it does not."""
    modality = of_frames(view.sensors[0])
    return modality.recipe if len(view.sensors) == 1 and isinstance(modality, Portable) else {}


@dataclass(frozen=True)
class Part:
    """A file of the network, and what plan.json says of it: its name, the tensors that it takes and gives, which is the answer."""

    content: bytes
    plan: Mapping[str, Any]


@dataclass(frozen=True)
class Told:
    """What a folder says of its network; `tolerance` is that of an answer, `more` goes into plan.json."""

    card: ModelCard
    page: str  # the card for people
    notes: CardNotes
    samples: Mapping[str, NDArray[Any]]
    tolerance: float
    more: Mapping[str, Any] = field(default_factory=dict)


def folder_content(branch: Branch, task: Task, parts: Sequence[Part], told: Told) -> dict[str, bytes]:
    """Files by name."""
    view = branch.view
    recipe = _recipe(view) or {"kind": "array"}
    packed = io.BytesIO()
    np.savez_compressed(packed, allow_pickle=False, **told.samples)
    scripts = [*_SCRIPTS, *([_OF_COUNTS] if recipe["kind"] == "counts" else []), *([_OF_ONE_CLASS] if task.one_class else [])]
    content = {
        **{part.plan["file"]: part.content for part in parts},
        "card.json": card_json(told.card),
        "samples.npz": packed.getvalue(),
        **{name: (files("xkd.deploy") / name).read_bytes() for name in scripts},
        **task.beside,
    }
    plan = {
        "format": _FORMAT,
        "made_by": f"xkd {xkd.__version__}",
        "precision": told.card.precision,
        "runtime": told.card.needs,
        "input": {"name": INPUT, "size": list(view.size), "dtype": told.card.input_dtype},
        "image": {
            **recipe,
            "outside": [value for sensor in view.sensors for value in of_frames(sensor).outside],
            **_clip(view, told.notes),
        },
        "crops": told.notes.crops,
        "segments": [part.plan for part in parts],
        "answer": {"suffix": "", **task.recipe},
        **told.more,
        "tolerance": {"prepared": _prepared_tolerance(view), "answers": told.tolerance},
        "sha256": {name: hashlib.sha256(text).hexdigest() for name, text in content.items() if name != "run.py"},
    }
    content[_PLAN] = (json.dumps(plan, indent=2, ensure_ascii=False) + "\n").encode()
    content["card.md"] = f"{told.page}\n{_RUN}{_OF_CLIPS if 'clip' in plan['image'] else ''}".encode()
    return content


def _clip(view: View, notes: CardNotes) -> dict[str, Any]:
    """How run.py takes frames: None where the data do not say, or say several things."""
    clip = view.modality
    if not isinstance(clip, Clip):
        return {}
    return {"clip": {"frames": clip.frames, "every": clip.every, "fps": None, "strip": None, **notes.clips}}


def _prepared_tolerance(view: View) -> float:
    low, high = view.modality.range
    return _COUNT if _recipe(view).get("kind") == "colour" else 1e-4 * (high - low)


def put_folder(folder: Path, content: Mapping[str, bytes]) -> None:
    """Write it beside its place, let its run.py check itself, then move it there; `ValueError` says what run.py found wrong."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary, old = (folder.with_name(f".{folder.name}.{os.getpid()}.{kind}") for kind in ("new", "old"))
    try:
        temporary.mkdir()
        for name, text in content.items():
            (temporary / name).write_bytes(text)
        environment = os.environ | {"XKD_CHECKED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, str(temporary / "run.py"), "check"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ValueError(f"the folder does not run here, so it is not kept: {done.stdout}{done.stderr}".strip())
        if folder.exists():
            folder.rename(old)
        temporary.rename(folder)
    except OSError as error:
        raise OSError(f"cannot write {folder}: {error.strerror}; what was there is untouched") from error
    finally:
        if old.exists() and not folder.exists():
            old.rename(folder)
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
