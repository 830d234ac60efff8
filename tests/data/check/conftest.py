"""Pairs of shapes without a fault: to look at, and to plant one in."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from shape_pairs import make_set


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read-only."""
    return make_set(tmp_path_factory.mktemp("sound") / "shapes")


@pytest.fixture
def copy(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "shapes"))
