"""The peak memory of a run: of the accelerator where there is one, else of this process."""

from __future__ import annotations

import contextlib
import resource
import sys
from pathlib import Path

import torch

_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


def reset_peak() -> None:
    """Count from now on. Where an operating system cannot forget (macOS), the peak is that of the process so far."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    elif _CLEAR.exists():
        with contextlib.suppress(OSError):  # a sandbox may forbid it: then the peak is that of the process
            _CLEAR.write_text("5")  # proc(5): resets the peak resident set size to the current one


def peak_bytes() -> int:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    lines = _STATUS.read_text().splitlines() if _STATUS.exists() else []
    if peak := [line for line in lines if line.startswith("VmHWM")]:
        return int(peak[0].split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
