"""The peak is that of what happened since it was reset."""

from __future__ import annotations

import mmap
import sys

import pytest

from xkd.engine.memory import peak_bytes, reset_peak


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux forgets a process's peak")
def test_memory_that_is_given_back_counts_until_the_reset() -> None:
    reset_peak()
    before = peak_bytes()
    with mmap.mmap(-1, 64 * 2**20) as fresh:  # an array might get memory that the process already holds
        fresh.write(b"1" * len(fresh))
        assert peak_bytes() > before + 32 * 2**20
    reset_peak()
    assert peak_bytes() < before + 32 * 2**20
