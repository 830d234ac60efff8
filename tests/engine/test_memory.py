"""The peak is that of what happened since it was reset."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from xkd.engine.memory import peak_bytes, reset_peak


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux forgets a process's peak")
def test_an_array_that_is_gone_counts_until_the_reset() -> None:
    reset_peak()
    before = peak_bytes()
    array = np.ones(64 * 2**20, np.uint8)
    assert array.sum() > 0
    assert peak_bytes() > before + 32 * 2**20
    del array
    reset_peak()
    assert peak_bytes() < before + 32 * 2**20
