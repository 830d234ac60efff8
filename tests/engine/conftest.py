"""The tiny data set where the configs of engine_runs.py find it, and one finished run that several tests look at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import engine_runs as runs
import pytest


@pytest.fixture(autouse=True, scope="module")
def data_root(tiny_dataset: Path) -> Iterator[Path]:
    """`root="tiny"` is the session's data set."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XKD_DATA_ROOT", str(tiny_dataset.parent))
        yield tiny_dataset


@pytest.fixture(scope="module")
def graph_run(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of two epochs of `GRAPH`; read-only."""
    folder = tmp_path_factory.mktemp("graph")
    runs.run_training(runs.config_of(folder, runs.GRAPH, {"train_cfg.max_epochs": 2}), folder / "run")
    return folder / "run"
