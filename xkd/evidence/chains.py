"""Teachers that begin with what another teacher of the comparison has learned: which they are, and which is trained first."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from mmengine.config import Config

from xkd.engine.outline import Outline
from xkd.graph.weights import Checkpoint


def begun(config: Config, files: Mapping[str, str]) -> dict[str, str]:
    """By branch of a teacher's own config, the arm that it begins with: the one that makes the file of its `Checkpoint`.

    `files` are the other teachers' by arm, as the students' config names them. Each seed has its own run of either.
    """
    arms = {file: arm for arm, file in reversed(list(files.items()))}
    paths = {name: of["weights"].get("path", "") for name, of in Outline.of(config).branches.items() if _from_file(of["weights"]["type"])}
    return {name: arms[path] for name, path in paths.items() if path in arms}


def _from_file(kind: type) -> bool:
    return issubclass(kind, Checkpoint)


def in_order(path: Path, needed: Mapping[str, Collection[str]]) -> list[str]:
    """The names, each after those that it needs, else as they come; `ValueError` where some need each other."""
    done: list[str] = []
    while waiting := [name for name in needed if name not in done]:
        ready = [name for name in waiting if set(needed[name]) <= set(done)]
        if not ready:
            raise ValueError(f"{path}: the teachers {waiting} begin with each other's checkpoints: one must begin with another file")
        done += ready
    return done
