"""Does any teacher teach any student? The smallest network of every timm module teaches mobile-sized students, one step each.

python tools/zoo.py                                    # everything: every module, at its own size and at one that is not square
python tools/zoo.py --teachers vit swin_transformer --students resnet10t --out zoo.md

A teacher is run once at each size and its readings are kept: its first stage's map, which must be readable, its last stage's, the
attention of its last block that has any (else the activation energy of that stage), its logits. Each student then sees a smaller image that
is not square, projectors are bound, and it makes one optimiser step by a feature, an attention and a logit term. Weights are random. What
fails is listed with its reason.
"""

from __future__ import annotations

import argparse
import traceback
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn

from xkd.batch import View
from xkd.files import write_atomically
from xkd.graph.branch import Branch, Capture
from xkd.graph.example import example_batch
from xkd.graph.reading import Readings
from xkd.graph.term import Term
from xkd.graph.weights import Random
from xkd.losses import KD, AttentionCosine, FitNet
from xkd.modalities import RGB
from xkd.projectors import Conv1x1
from xkd.taps import Tap, attention_modules
from xkd.tasks import Classification

CLASSES = 5
ROWS = 2
STUDENT_SIZE = (96, 128)
ASPECT = 2  # of the size that is not square: a multiple of whatever its own size is a multiple of
STUDENTS = (
    "mobilenetv2_035",
    "mobilenetv3_small_050",
    "mobilenetv4_conv_small_035",
    "efficientnet_lite0",
    "mnasnet_small",
    "fbnetc_100",
    "lcnet_050",
    "tinynet_e",
    "ghostnet_050",
    "repghostnet_050",
    "hardcorenas_a",
    "mobileone_s0",
    "fastvit_t8",
    "repvit_m0_9",
    "edgenext_xx_small",
    "mobilevitv2_050",
    "regnety_002",
    "resnet10t",
    "convnext_atto",
    "rexnet_100",
)
TASK = Classification(tuple(map(str, range(CLASSES))))


@dataclass(frozen=True)
class Teacher:
    """A network's readings at one size, or why there are none."""

    module: str
    name: str
    size: tuple[int, int]
    capture: Capture
    attention: str  # what its attention was read from; of the activation energy also why no attention was
    failure: str = ""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teachers", nargs="+", default=[], metavar="MODULE", help="timm's modules (all)")
    parser.add_argument("--students", nargs="+", default=STUDENTS, metavar="MODEL")
    parser.add_argument("--most-parameters", type=float, default=2e8, help="larger teachers are left out and named (%(default).0e)")
    parser.add_argument("--out", type=Path, help="write the table as Markdown")
    a = parser.parse_args(arguments)
    if unknown := sorted({*a.teachers} - {*timm.list_modules()}):
        raise SystemExit(f"timm has no module '{unknown[0]}'; it has {timm.list_modules()}")
    if unknown := sorted({*a.students} - {*timm.list_models()}):
        raise SystemExit(f"timm has no model '{unknown[0]}'")
    torch.manual_seed(0)
    console = Console(width=160)
    warnings.filterwarnings("ignore", category=UserWarning, module="timm")
    chosen, left_out = smallest(a.teachers or timm.list_modules(), a.most_parameters, console)
    students = {name: student(name) for name in a.students}
    lines, pairs = [], Counter[str]()
    for module, name in track(chosen.items(), "teachers", console=console):
        for teacher in (captured(module, name, square=True), captured(module, name, square=False)):
            failures = (
                {of: step(teacher, branch) for of, branch in students.items()} if not teacher.failure else dict.fromkeys(students, "")
            )
            worked = 0 if teacher.failure else sum(not failure for failure in failures.values())
            pairs.update(worked=worked, all=len(students))
            reasons = [teacher.failure] if teacher.failure else sorted({f"{of}: {why}" for of, why in failures.items() if why})
            lines.append((teacher, worked, "; ".join(reasons)))
    text = report(lines, left_out, len(students), pairs)
    console.print(text, markup=False, soft_wrap=True)
    if a.out:
        write_atomically(a.out, text.encode())
    return 0


def smallest(modules: Sequence[str], most: float, console: Console) -> tuple[dict[str, str], dict[str, str]]:
    """Of each module the network with the fewest parameters, counted without memory for them; and what is left out, with the reason."""
    chosen, left_out = {}, {}
    for module in track(modules, "sizes", console=console):
        counts: dict[str, int] = {}
        for name in timm.list_models(module=module):
            try:
                with torch.device("meta"):
                    model = timm.create_model(name)
            except (RuntimeError, NotImplementedError):  # it computes with its weights as it is made, which need memory for that
                model = timm.create_model(name)
            counts[name] = sum(p.numel() for p in model.parameters())
        if not counts:
            continue
        name = min(counts, key=lambda one: (counts[one], one))
        if counts[name] > most:
            left_out[module] = f"{name} has {counts[name] / 1e6:.0f} million parameters"
        else:
            chosen[module] = name
    return chosen, left_out


def captured(module: str, name: str, square: bool) -> Teacher:
    """The teacher's readings at its own size, or at one that is twice as wide."""
    config: Any = timm.get_pretrained_cfg(name)
    _, height, width = config.input_size
    size = (height, width if square else width * ASPECT)
    try:
        model = network(name, size)
    except (ValueError, TypeError, AssertionError, RuntimeError) as error:
        return Teacher(module, name, size, {}, "", f"cannot be made for {size}: {one_line(error)}")
    view = View("teacher", RGB(), size)
    failure = ""
    for path in [*reversed([path for path in attention_modules(model) if path][-4:]), ""]:
        look = Tap(path, "attention") if path else Tap("stage:-1", "energy")
        branch = Branch(model, view, Random(frozen=True), taps={"early": Tap("stage:0"), "map": Tap("stage:-1"), "look": look}, frozen=True)
        try:
            energy = f"energy of the last stage{f' ({failure})' if failure else ''}"
            return Teacher(module, name, size, branch.bind(TASK, ROWS), path or energy)
        except (ValueError, RuntimeError, AssertionError, TypeError) as error:  # of this attention, or of the model at this size
            failure = one_line(error)
        finally:
            branch.taps.close()
    return Teacher(module, name, size, {}, "", failure)


def network(name: str, size: tuple[int, int]) -> nn.Module:
    """For this input size, where a network is made for one."""
    try:
        model: nn.Module = timm.create_model(name, img_size=size, num_classes=CLASSES)
    except TypeError:
        model = timm.create_model(name, num_classes=CLASSES)
    return model.eval()


def student(name: str) -> Branch:
    model = timm.create_model(name, num_classes=CLASSES)
    view = View("student", RGB(), STUDENT_SIZE)
    branch = Branch(model, view, Random(), taps={"map": Tap("stage:-1"), "look": Tap("stage:-1", "energy")})
    branch.bind(TASK, ROWS)
    return branch


def step(teacher: Teacher, branch: Branch) -> str:
    """One optimiser step of the student; the reason where it cannot be made, else nothing."""
    batch = example_batch([branch.view, View("teacher", RGB(), teacher.size)], TASK, ROWS, torch.device("cpu"))
    terms = {
        "feature": Term(FitNet(), "student.map", "teacher.map", projector=Conv1x1(), weight=0.1),
        "attention": Term(AttentionCosine(), "student.look", "teacher.look"),
        "logits": Term(KD(), "student.output", "teacher.output"),
    }
    before = {name: p.detach().clone() for name, p in branch.named_parameters()}
    try:
        capture = branch(batch, TASK)
        readings = Readings({"student": capture, "teacher": teacher.capture}, batch, {"student": "student", "teacher": "teacher"})
        for term in terms.values():
            term.bind(readings)
        optimizer = torch.optim.SGD([*branch.parameters(), *(p for term in terms.values() for p in term.parameters())], lr=1e-4)
        parts: dict[str, Tensor] = {name: term(readings, batch) for name, term in terms.items()}
        if bad := [name for name, part in parts.items() if not part.isfinite()]:
            return f"the {bad[0]} term is not finite"
        torch.autograd.backward(torch.stack(list(parts.values())).sum())
        optimizer.step()
        return "the step changed nothing" if all(torch.equal(before[name], p) for name, p in branch.named_parameters()) else ""
    except (ValueError, RuntimeError) as error:
        return one_line(error)
    finally:  # the next teacher finds the student as this one did
        with torch.no_grad():
            for name, p in branch.named_parameters():
                p.copy_(before[name])
        branch.zero_grad()


def one_line(error: BaseException) -> str:
    """The message, or where it was raised if it has none."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    text = " ".join(str(error).split()) or f"{type(error).__name__} in {Path(frame.filename).name}: {frame.line}"
    return text if len(text) <= 160 else text[:157] + "..."


def report(lines: list[tuple[Teacher, int, str]], left_out: dict[str, str], num_students: int, pairs: Counter[str]) -> str:
    rows = ["| module | teacher | size | attention from | students | what failed |", "|---|---|---|---|---|---|"]
    rows += [
        "| "
        + " | ".join(
            cell.replace("|", "/")
            for cell in (t.module, t.name, f"{t.size[0]} x {t.size[1]}", t.attention, f"{worked} of {num_students}", why)
        )
        + " |"
        for t, worked, why in lines
    ]
    share = pairs["worked"] / max(pairs["all"], 1)
    skipped = "".join(f"\nLeft out: {module}, {why}." for module, why in left_out.items())
    head = f"{pairs['worked']} of {pairs['all']} pairs work ({share:.1%}), timm {timm.__version__}, torch {torch.__version__}.{skipped}"
    return head + "\n\n" + "\n".join(rows) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
