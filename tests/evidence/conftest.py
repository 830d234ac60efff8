"""The tiny data set where the configs of engine_runs.py find it."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True, scope="module")
def _found(data_root: Path) -> None:
    """Every test here finds the tiny data set by its name."""
