"""The deployed folder of a network with exits: a file for each segment, and in plan.json how sure each exit must be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from xkd.deploy.card import CardNotes, card_markdown, card_of
from xkd.deploy.export import ExportReport
from xkd.deploy.folder import Part, Told, check_place, folder_content, put_folder, samples_of
from xkd.deploy.segments import Chain, Running
from xkd.graph.branch import Branch
from xkd.tasks import Task


@dataclass(frozen=True)
class Stop:
    """What plan.json says of an exit: who stops there. `threshold` is of the calibrated confidence, None for never; the last has none."""

    temperature: float
    threshold: float | None
    share_on_test: float
    facts: Mapping[str, Any]  # for the card


def write_exits(
    branch: Branch, task: Task, folder: Path, chain: Chain, stops: Sequence[Stop], notes: CardNotes, below: float | None
) -> ExportReport:
    """Write `folder` as `write_folder` does, with the segments of `chain`; `below` is the confidence at which an image is handed on."""
    check_place(folder)
    samples, run = samples_of(branch.view), Running(chain.segments)
    samples["answers"] = np.stack([np.concatenate([answer[0] for answer in run(image[None])]) for image in samples["images"]])
    parts = []
    for number, (name, segment, stop) in enumerate(zip(chain.exits, chain.segments, stops, strict=True), 1):
        plan: dict[str, Any] = {"file": f"segment{number}.onnx", "takes": segment.takes, "gives": segment.gives, "answer": segment.answer}
        plan |= {"exit": name, "temperature": stop.temperature, "share_on_test": stop.share_on_test}
        parts.append(Part(segment.content, plan | ({} if name == chain.exits[-1] else {"threshold": stop.threshold})))
    last = chain.segments[-1].answer
    card = card_of(branch, task, notes, chain.model, sum(p.numel() for p in branch.parameters()))
    exits = {name: dict(stop.facts) for name, stop in zip(chain.exits, stops, strict=True)}
    shape = card.input_shape if chain.any_batch else (1, *card.input_shape[1:])
    card = replace(card, input_shape=shape, outputs={last: card.outputs[last]}, exits=exits)
    more = {} if below is None else {"hand_on_below": below}
    told = Told(card, card_markdown(card, str(parts[0].plan["file"])), notes, samples, task.tolerance, more)
    put_folder(folder, folder_content(branch, task, parts, told))
    return ExportReport(folder, card, sum(len(part.content) for part in parts), chain.max_difference, chain.num_compared)
