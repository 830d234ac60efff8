"""A first config, tried before it is kept: it must be readable, and its graph must bind."""

from __future__ import annotations

import tempfile
from pathlib import Path

from xkd.data.check.brief import brief
from xkd.data.manifest import Manifest
from xkd.engine.config import load_config
from xkd.engine.loaders import build_distiller
from xkd.evidence.arms import make_arms
from xkd.evidence.worth import worth_of
from xkd.init.choices import Choices, Wishes, choose
from xkd.init.facts import Facts, gather
from xkd.init.starts import Residuals, camera_of, starts_of, without_pairs
from xkd.init.write import place, render


def first_config(manifest: Manifest, root: str, wishes: Wishes, out: Path, command: str, task: str = "") -> bool:
    """Write it to `out`; False where it is there already and the same. `root` is how the config names the data."""
    facts = gather(manifest, wishes.student, wishes.teachers, task, wishes.target)
    choices = choose(facts, wishes)
    starts = starts_of(facts, choices, wishes, residuals_of(facts, choices))
    with tempfile.TemporaryDirectory() as folder:
        tried = Path(folder) / "config.py"
        tried.write_text(render(facts, choices, starts, root, str(out), command), "utf-8")
        against = {name: of.against for name, of in worth_of(load_config(tried)).items() if of.against}
        text = render(facts, choices, without_pairs(starts, against), root, str(out), command)
        tried = Path(folder) / "config_of_choice.py"
        tried.write_text(text, "utf-8")
        build_distiller(load_config(tried).distiller, seed=0, smoke=True)
        make_arms(tried, {})
    return place(text, out)


def residuals_of(facts: Facts, choices: Choices) -> Residuals:
    """How the others' sensors are aligned with the camera's; nothing is read where no pretrained weights are asked for."""
    nodes = [*choices.teachers, choices.student]
    camera = camera_of(facts, nodes)
    if not choices.weights.value or camera is None:
        return {}
    found = brief(facts.manifest, splits=("train", "val")).residuals
    others = {node.column for node in nodes} - {camera.column}
    return {name: next((one for one in found if {one.first, one.second} == {name, camera.column}), None) for name in others}
