"""The peak is that of what happened since it was reset; what is freed stays for the next step."""

from __future__ import annotations

import mmap
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

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


CHILD = """
import ctypes, resource, sys
from xkd.engine.memory import keep_freed, keeps_freed, peak_bytes, reset_peak

glibc = ctypes.CDLL(None)
glibc.malloc.restype, glibc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
glibc.free.argtypes = [ctypes.c_void_p]
glibc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
SIZE = 16 * 2**20  # 4096 pages; eight of them are more than glibc keeps of itself

def step():  # as tensors would be, but that nothing small comes to lie between them
    places = [glibc.malloc(SIZE) for _ in range(8)]
    for place in places:
        glibc.memset(place, 1, SIZE)
    for place in places:
        glibc.free(place)

def faults():
    step()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

reset_peak()
before = peak_bytes()
print(faults())
keep_freed()
print(keeps_freed()[1], file=sys.stderr)
print(faults())
reset_peak()
print((peak_bytes() - before) / 2**20)
"""


def freed(tmp_path: Path, **variables: str) -> tuple[str, list[float]]:
    """In a process of its own: what is said; faults per step of 32,768 pages before and after it, and MB that a reset then leaves."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, "-c", CHILD]
    child = subprocess.run(command, check=True, capture_output=True, text=True, env={**environment, **variables}, cwd=tmp_path)
    return child.stderr, [float(line) for line in child.stdout.split()]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc" or torch.cuda.is_available(), reason="of glibc, where the processor computes")
def test_freed_memory_is_kept_for_the_next_step_and_given_back_at_the_reset(tmp_path: Path) -> None:
    reason, (returned, kept, left) = freed(tmp_path)
    assert "kept for the next step" in reason
    assert kept < 0.01 * returned
    assert left < 20


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc" or torch.cuda.is_available(), reason="of glibc, where the processor computes")
def test_what_the_environment_says_of_freed_memory_is_left(tmp_path: Path) -> None:
    reason, (returned, kept, _) = freed(tmp_path, MALLOC_TRIM_THRESHOLD_="131072")
    assert "as MALLOC_TRIM_THRESHOLD_ in the environment" in reason
    assert kept > 0.5 * returned
