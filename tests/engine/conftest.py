"""The tiny data set where the configs of engine_runs.py find it, and one finished run that several tests look at."""

from __future__ import annotations

from pathlib import Path

import engine_runs as runs
import pytest


@pytest.fixture(autouse=True, scope="module")
def _found(data_root: Path) -> None:
    """Every test here finds the tiny data set by its name."""


@pytest.fixture(scope="module")
def graph_run(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of two epochs of `GRAPH`; read-only."""
    folder = tmp_path_factory.mktemp("graph")
    runs.run_training(runs.config_of(folder, runs.GRAPH, {"train_cfg.max_epochs": 2}), folder / "run")
    return folder / "run"
