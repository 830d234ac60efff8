"""The shapes in the annotations are true: the core's tests pass with jaxtyping and beartype checking every call."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
CHECKED = ("schemes", "contracts/test_loss_contract.py", "contracts/test_projector_contract.py", "test_grid.py", "graph/test_term.py")
# whole numbers are floats too, as in PEP 484 and to mypy
CHECKER = "xkd,beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"


# with shapes that contradict the annotations: without the checks the call fails otherwise
PLANTED = """
import jaxtyping, pytest, torch
from xkd.losses import KD

def test_the_check_is_a_check():
    with pytest.raises(jaxtyping.TypeCheckError):
        KD()(torch.rand(2, 3), torch.rand(2, 4))
"""


def test_the_cores_annotations_hold(tmp_path: Path) -> None:
    (tmp_path / "test_planted.py").write_text(PLANTED, "utf-8")
    # numeric gradients call a loss hundreds of times with the same shapes
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "--jaxtyping-packages", CHECKER, "-k", "not gradient_is_that_of_its_value"]
    paths = [str(tmp_path / "test_planted.py"), *(str(TESTS / path) for path in CHECKED)]
    found = subprocess.run([*command, *paths], capture_output=True, text=True, timeout=170, check=False)
    assert found.returncode == 0, found.stdout[-3000:]
