"""One simulated set that all tests of leafsim look at."""

from __future__ import annotations

from pathlib import Path

import pytest
from leafsim_sets import NUM_SCENES, made


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read-only."""
    return made(tmp_path_factory.mktemp("sets") / "leafsim", num_scenes=NUM_SCENES)
