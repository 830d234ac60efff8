"""The tiny data set where configs find it, and runs that several tests look at."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def data_root(tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`root="tiny"` of the configs in engine_runs.py is the session's data set."""
    monkeypatch.setenv("XKD_DATA_ROOT", str(tiny_dataset.parent))
    return tiny_dataset
