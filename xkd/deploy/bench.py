#!/usr/bin/env python3
"""Time the networks in the folders beside this file, one after the other, each by its own run.py, into one file.

python bench.py --threads 1 --out timings.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


def timings(folders: Sequence[Path], threads: int, seen: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """By folder's name, what its `run.py bench` says, with the processor, the size of its files in megabytes and the load before; or the

    error.
    """
    told: dict[str, Any] = {}
    for folder in folders:
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        command = [sys.executable, str(folder / "run.py"), "bench", "--threads", str(threads)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            told[folder.name] = {"error": done.stderr.strip() or f"run.py ended with {done.returncode}"}
        else:
            size = sum(file.stat().st_size for file in folder.glob("*.onnx")) / 1e6
            told[folder.name] = json.loads(done.stdout) | {"processor": processor(), "megabytes": round(size, 3), "load": load}
        seen(f"{folder.name}: {told[folder.name].get('median_ms', told[folder.name].get('error'))}")
    return told


def processor() -> str:
    """Its name, as far as the system says it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:  # no Linux
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Hardware", "Model"))]
    return names[0] if names else platform.processor()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of each network (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("timings.json"), metavar="FILE", help="(%(default)s)")
    a = parser.parse_args()
    place = Path(__file__).resolve().parent
    if not (folders := sorted(plan.parent for plan in place.glob("*/plan.json"))):
        parser.error(f"no folder beside this file has a plan.json, so there is nothing to time: {place}")
    told = timings(folders, a.threads, lambda line: print(line, file=sys.stderr, flush=True))
    a.out.write_text(json.dumps(told, indent=1) + "\n", "utf-8")
    print(f"{len(folders)} networks: {a.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
