"""A term tried where it will be used: in a step of a distiller with a frozen thermal teacher, after its dry run."""

from __future__ import annotations

from core_models import TASK, make_batch, rgb_branch, thermal_branch

from xkd.graph.distiller import Distiller
from xkd.graph.term import Term
from xkd.losses import CrossEntropy
from xkd.taps import Tap

TAPS = {"mid": Tap("stem"), "deep": Tap("deep")}


def distiller_with(term: Term) -> Distiller:
    terms = {"ce": Term(CrossEntropy(), "rgb.output", "batch.target"), "it": term}
    made = Distiller({"rgb": rgb_branch(TAPS), "thermal": thermal_branch(TAPS, frozen=True)}, terms, "rgb", TASK)
    made.bind()
    return made


def value_of_a_step(distiller: Distiller, rows: int = 6) -> float:
    """The term's value; the thermal view of one row is missing, and gradients reach the student and all that the term learns."""
    batch = make_batch(rows)
    batch.present["thermal"][1] = False
    step = distiller(batch)
    step.loss.backward()
    assert distiller.terms["it"].num_rows == rows - 1
    assert distiller.student.model.stem[0].weight.grad.abs().max() > 0
    assert all(parameter.grad is not None and parameter.grad.abs().max() > 0 for parameter in distiller.terms["it"].parameters())
    return step.parts["it"].item()
