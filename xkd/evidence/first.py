"""A first config, tried before it is kept: it must be readable, and its graph must bind."""

from __future__ import annotations

import tempfile
from pathlib import Path

from xkd.data.manifest import Manifest
from xkd.engine.config import load_config
from xkd.engine.loaders import build_distiller
from xkd.evidence.arms import make_arms
from xkd.init.choices import Wishes, choose
from xkd.init.facts import gather
from xkd.init.write import place, render


def first_config(manifest: Manifest, root: str, wishes: Wishes, out: Path, command: str, task: str = "") -> bool:
    """Write it to `out`; False where it is there already and the same. `root` is how the config names the data."""
    facts = gather(manifest, wishes.student, wishes.teachers, task)
    text = render(facts, choose(facts, wishes), root, str(out), command)
    with tempfile.TemporaryDirectory() as folder:
        tried = Path(folder) / "config.py"
        tried.write_text(text, "utf-8")
        build_distiller(load_config(tried).distiller, seed=0, smoke=True)
        make_arms(tried, {})
    return place(text, out)
