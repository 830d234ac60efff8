"""CHECKPOINT of a command: a file, the folder of a run, or that of a comparison, in which `--arm` and `--seed` name one."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arm(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--arm", default="", help="where CHECKPOINT is the folder of a comparison: which of its arms, such as distilled")
    parser.add_argument("--seed", type=int, default=0, help="and which of its seeds (%(default)s)")


def checkpoint_of(a: argparse.Namespace) -> str:
    """The file; `FileNotFoundError` or `ValueError` names the arms and seeds that there are."""
    place = Path(a.checkpoint)
    if place.is_file():
        return str(place)
    if not place.is_dir():
        own = [of for of in sorted(Path("work_dirs").glob(f"*{Path(a.config).stem}*/")) if next(of.rglob("best.pth"), None)]
        there = f"; there are the folders {', '.join(map(str, own))}, which may stand in its place" if own else ""
        raise FileNotFoundError(f"no checkpoint {place}{there}")
    if not a.arm and (place / "best.pth").is_file():
        return str(place / "best.pth")
    runs = [run for root in (place, place / "runs") for run in sorted(root.glob("*/seed*_*/best.pth"))]
    named = sorted({f"--arm {run.parent.parent.name} --seed {run.parent.name.removeprefix('seed').split('_')[0]}" for run in runs})
    if not named:
        last = sorted(place.glob("epoch_*.pth"), key=lambda file: file.stat().st_mtime)
        there = f"; a run that is not finished has left {last[-1]}" if last else ""
        raise FileNotFoundError(f"{place} holds no finished run: no best.pth, and no arms of a comparison{there}")
    found = [run for run in runs if run.parent.parent.name == a.arm and run.parent.name.startswith(f"seed{a.seed}_")]
    if not found:
        raise ValueError(f"{place} holds the runs of a comparison: name one of {', '.join(named)}")
    return str(max(found, key=lambda run: run.stat().st_mtime))  # of several configs the one that was trained last
