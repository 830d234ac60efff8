"""The tiny data set where the configs of engine_runs.py find it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True, scope="module")
def _found(data_root: Path) -> None:
    """Every test here finds the tiny data set by its name."""


@pytest.fixture(autouse=True, scope="module")
def _few_pictures() -> Iterator[None]:
    """Each row of a page's pictures costs as much as a tiny run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xkd.evidence.page.write.NUM_PANELS", 2)
        patch.setattr("xkd.evidence.page.write.NUM_FLIPS", 2)
        yield
