"""What a loss costs: forward and backward of each, beside torchdistill's of the same name, in turn in one process; and its memory.

    pip install torchdistill
    python tools/benchmark.py losses --repeats 200

Time is the median of all repeats, ours and theirs one after the other. Memory is the peak beyond the tensors themselves, of three passes
in a process of its own (Linux; on a GPU what its allocator says). torchdistill's SP and FSP have other norms, at the same cost; its CRD is
given embeddings, ours also makes them.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.table import Table
from torch import Tensor
from torchdistill.losses.mid_level import ATLoss, CRDLoss, DISTLoss, FSPLoss, KDLoss, LogitStdKDLoss, PKTLoss, RKDLoss, SPKDLoss, SRDLoss

from xkd.engine.screen import Screen
from xkd.losses import AT, CRD, DIST, FSP, KD, NST, PKT, RKD, SP, NormalizedDistance

LOGITS, VECTORS, MAPS, EMBEDDINGS = (1024, 1000), (256, 512), (64, 256, 28, 28), (64, 128)
NUM_ROWS, NUM_NEGATIVES = 50_000, 16_384  # of CRD
WORTH = 1.0  # ms: what is faster is not judged
PASSES = 3


@dataclass(frozen=True)
class Case:
    """One loss on tensors of one shape; theirs is None where torchdistill has no such loss."""

    shape: tuple[int, ...]
    ours: Callable[[Tensor, Tensor], Tensor]
    theirs: Callable[..., Tensor] | None


def cases() -> dict[str, Callable[[], Case]]:
    """Each made when it is its turn: CRD's memories are large."""
    pair = ("it", "output", "it", "output")
    side = {"io": "output", "path": "it"}
    flow = {f"{role}_{depth}": side for role in ("student", "teacher") for depth in ("first", "second")}
    return {
        "KD": lambda: Case(LOGITS, KD(), KDLoss(*pair, temperature=4.0, alpha=0.0)),
        "KD standardised": lambda: Case(LOGITS, KD(standardize=True), LogitStdKDLoss(*pair, temperature=4.0, alpha=0.0)),
        "DIST": lambda: Case(LOGITS, DIST(), DISTLoss(*pair)),
        "AT": lambda: Case(MAPS, AT(), ATLoss({"it": {"student": side, "teacher": side, "weight": 1.0}}, mode="code")),
        "SP": lambda: Case(MAPS, SP(), SPKDLoss("it", "it", reduction="batchmean")),
        "RKD": lambda: Case(VECTORS, RKD(), RKDLoss("it", "it", dist_factor=25.0, angle_factor=50.0, reduction="mean")),
        "PKT": lambda: Case(VECTORS, PKT(), PKTLoss(*pair)),
        "NormalizedDistance": lambda: Case(VECTORS, NormalizedDistance(), SRDLoss(*pair, *pair, exponent=4.0)),
        "FSP": lambda: Case(MAPS, our_fsp, FSPLoss({"it": flow})),
        "CRD": lambda: Case(EMBEDDINGS, our_crd(), their_crd()),
        "NST": lambda: Case(MAPS, NST(), None),
    }


def our_fsp(student: Tensor, teacher: Tensor) -> Tensor:
    value: Tensor = FSP()((student, student), (teacher, teacher))
    return value


def our_crd() -> Callable[[Tensor, Tensor], Tensor]:
    loss = CRD(NUM_ROWS, NUM_NEGATIVES)
    loss.bind(EMBEDDINGS[1:], EMBEDDINGS[1:])

    def compute(student: Tensor, teacher: Tensor) -> Tensor:
        value: Tensor = loss.to(student.device)(student, teacher, torch.arange(len(student), device=student.device))
        return value

    return compute


def their_crd() -> Callable[..., Tensor]:
    """Negatives are drawn for it: its own way to draw them fails."""
    loss = CRDLoss("it", "rows", "it", EMBEDDINGS[1], NUM_ROWS, NUM_NEGATIVES, NUM_ROWS)

    def compute(student: Any, teacher: Any, targets: None) -> Tensor:
        device, count = student["it"]["output"].device, len(student["it"]["output"])
        rows = torch.arange(count, device=device)
        drawn = torch.randint(NUM_ROWS, (count, NUM_NEGATIVES + 1), device=device)
        drawn[:, 0] = rows
        value: Tensor = loss({**student, "rows": {"input": {"pos_idx": rows, "contrast_idx": drawn}}}, teacher)
        return value

    return compute


def run(case: Case, side: str, student: Tensor, teacher: Tensor) -> None:
    if side == "ours":
        value = case.ours(student, teacher)
    else:
        assert case.theirs is not None
        value = case.theirs({"it": {"output": student}}, {"it": {"output": teacher}}, targets=None)
    torch.autograd.backward(value)
    student.grad = None


def tensors(case: Case, device: torch.device) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    student, teacher = torch.randn(case.shape, device=device), torch.randn(case.shape, device=device)
    return student.requires_grad_(), teacher


def timed(case: Case, side: str, student: Tensor, teacher: Tensor) -> float:
    """Milliseconds of one pass."""
    _wait(student.device)
    start = time.perf_counter()
    run(case, side, student, teacher)
    _wait(student.device)
    return 1000 * (time.perf_counter() - start)


def peak(name: str, side: str, device: str) -> float:
    """MB beyond the tensors themselves, in a process of its own."""
    command = [sys.executable, __file__, "--device", device, "--memory-of", name, "--side", side]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def memory(case: Case, side: str, device: torch.device) -> float:
    run(case, side, *tensors(Case((4, *case.shape[1:]), case.ours, None), device))  # what torch itself takes for its first pass
    student, teacher = tensors(case, device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = float(torch.cuda.memory_allocated(device))
    else:
        Path("/proc/self/clear_refs").write_text("5")  # the highest so far is the present
        before = _highest()
    for _ in range(PASSES):
        run(case, side, student, teacher)
    return ((torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _highest()) - before) / 1e6


def _highest() -> float:
    """Bytes of this process at the highest."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return 1024.0 * int(line.split()[1])


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=200, help="of each side (%(default)s)")
    parser.add_argument("--losses", nargs="+", choices=list(cases()), default=list(cases()), help="all, where none is named")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--memory-of", choices=list(cases()), help=argparse.SUPPRESS)
    parser.add_argument("--side", choices=("ours", "theirs"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    if arguments.memory_of:
        print(memory(cases()[arguments.memory_of](), arguments.side, device))
        return
    table = Table("loss", "shape", "ms", "torchdistill ms", "time against it", "MB", "torchdistill MB")
    for name in arguments.losses:
        case = cases()[name]()
        student, teacher = tensors(case, device)
        sides = ["ours", *(["theirs"] if case.theirs else [])]
        spent: dict[str, list[float]] = {side: [] for side in sides}
        for turn in range(arguments.repeats + 3):
            for side in sides:
                milliseconds = timed(case, side, student, teacher)
                if turn >= 3:  # the first ones warm up
                    spent[side].append(milliseconds)
        median = {side: statistics.median(of) for side, of in spent.items()}
        held = {side: f"{peak(name, side, arguments.device):.0f}" for side in sides}
        ratio = median["ours"] / median["theirs"] if case.theirs else float("nan")
        ratio_text = "-" if not case.theirs else f"{ratio:.2f}" if max(median.values()) > WORTH else f"({ratio:.2f})"
        theirs = f"{median['theirs']:.2f}" if case.theirs else "-"
        table.add_row(
            name, " x ".join(map(str, case.shape)), f"{median['ours']:.2f}", theirs, ratio_text, held["ours"], held.get("theirs", "-")
        )
    Screen().print(table)
    print(f"torch {torch.__version__}, {device}, {torch.get_num_threads()} threads; ratios in brackets: both below {WORTH:g} ms")


if __name__ == "__main__":
    main()
