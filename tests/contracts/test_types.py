"""The shapes in the annotations are true: the core's tests pass with jaxtyping and beartype checking every call."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
CHECKED = ("schemes", "contracts/test_loss_contract.py", "contracts/test_projector_contract.py", "test_grid.py", "graph/test_term.py")
# whole numbers are floats too, as in PEP 484 and to mypy
CHECKER = "xkd,beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"


def test_the_cores_annotations_hold() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "--jaxtyping-packages", CHECKER]
    process = subprocess.run([*command, *(str(TESTS / path) for path in CHECKED)], capture_output=True, text=True, timeout=170, check=False)
    assert process.returncode == 0, process.stdout[-3000:]


def test_the_check_is_a_check() -> None:
    code = """
import jaxtyping
with jaxtyping.install_import_hook("xkd", "beartype.beartype"):
    from xkd.losses import KD
import torch
try:
    KD()(torch.rand(2, 3), torch.rand(2, 4))
except jaxtyping.TypeCheckError:
    raise SystemExit(7)
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=120, check=False).returncode == 7
