"""Memory of a run: the peak, of the accelerator where there is one, else of this process; what is freed stays for the next step."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import platform
import sys
from pathlib import Path
from typing import Final

import torch

_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # mallopt(3): M_TRIM_THRESHOLD, where -1 is never; M_MMAP_THRESHOLD
_MEMORY = Path("/proc/meminfo")
_LIMIT, _USED = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
_LARGEST: Final = 32 * 2**20  # bytes; glibc's limit. Larger ones in the heap (M_MMAP_MAX=0) can leave it in pieces, several times too big
_SAID_BY: Final = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "GLIBC_TUNABLES")


def keeps_freed() -> tuple[bool, str]:
    """Whether `keep_freed` changes anything here, and what becomes of freed memory, with the reason."""
    if torch.cuda.is_available():
        return False, "as the C library does (tensors are the GPU's)"
    if variables := [name for name in _SAID_BY if name in os.environ]:
        return False, f"as {' and '.join(variables)} in the environment"
    if platform.libc_ver()[0] != "glibc":
        return False, "as the C library does (it is not glibc)"
    return True, "kept for the next step (saves page faults)"


def keep_freed() -> None:
    """Has the C library keep what is freed.

    A step on the processor frees its maps and asks for as many in the next; glibc may return them to the system in between, and each of
    their pages is then a fault, up to a tenth of a step. Tensors of more than 32 MB are still returned. The peak is the same;
    `reset_peak` gives back what is left of an earlier run.
    """
    if keeps_freed()[0]:
        glibc = ctypes.CDLL(None)
        glibc.mallopt(_MMAP_THRESHOLD, _LARGEST)
        glibc.mallopt(_TRIM_THRESHOLD, -1)


def reset_peak() -> None:
    """Count from now on. Where an operating system cannot forget (macOS), the peak is that of the process so far."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    elif _CLEAR.exists():
        if platform.libc_ver()[0] == "glibc":
            ctypes.CDLL(None).malloc_trim(0)  # what an earlier run has freed is not this one's
        with contextlib.suppress(OSError):  # a sandbox may forbid it: then the peak is that of the process
            _CLEAR.write_text("5")  # proc(5): resets the peak resident set size to the current one


def peak_bytes() -> int:
    """Of this process or its accelerator; 0, which is "not known", where the system does not say (Windows)."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    lines = _STATUS.read_text().splitlines() if _STATUS.exists() else []
    if peak := [line for line in lines if line.startswith("VmHWM")]:
        return int(peak[0].split()[1]) * 1024
    if importlib.util.find_spec("resource") is None:
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def available_bytes() -> int:
    """What this machine, or the container (cgroup v2), has left for more processes; a lot where that cannot be known."""
    left = sys.maxsize
    if _MEMORY.is_file():
        fields = dict(line.split(":", 1) for line in _MEMORY.read_text("utf-8").splitlines())
        left = int(fields["MemAvailable"].split()[0]) * 1024
    if _LIMIT.is_file() and _USED.is_file() and (limit := _LIMIT.read_text("utf-8").strip()) != "max":
        left = min(left, int(limit) - int(_USED.read_text("utf-8")))
    return max(left, 0)
