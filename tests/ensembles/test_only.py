"""The columns of some classes: what they mean is known to whoever reads them; learning without forgetting is a term."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from core_models import CNN, RGB_VIEW, TASK, make_batch, rgb_branch
from torch.nn import functional as F

from xkd.batch import Number
from xkd.ensembles import Mean, Only
from xkd.graph.branch import Branch
from xkd.graph.distiller import Distiller
from xkd.graph.ensemble import Ensemble
from xkd.graph.meanings import Nodes
from xkd.graph.term import Term
from xkd.graph.weights import Random
from xkd.losses import KD, CrossEntropy
from xkd.tasks import Classification, Regression

OLD = (TASK.classes[2], TASK.classes[0])


def graph(
    by: Any, of: tuple[str, ...] = ("rgb.output",), student: str = "known.output", teacher: str = "old.output", **more: Term
) -> Distiller:
    old = Branch(CNN(3, num_classes=2), RGB_VIEW, Random(frozen=True), task=Classification(OLD), frozen=True)
    terms = {"lwf": Term(KD(2.0), student, teacher), **more}
    return Distiller({"rgb": rgb_branch(), "old": old}, terms, "rgb", TASK, {"known": Ensemble(of, by)})


def test_learning_without_forgetting_is_a_softmax_over_the_old_classes_alone() -> None:
    distiller = graph(Only(OLD))
    distiller.bind()
    batch = make_batch(4)
    readings = distiller.read(batch)
    assert torch.equal(readings["known.output"], readings["rgb.output"][:, [2, 0]])
    assert distiller.ensembles["known"].shape == (2,)
    old, new = readings["old.output"] / 2, readings["rgb.output"][:, [2, 0]] / 2
    expected = 4 * F.kl_div(new.log_softmax(1), old.softmax(1), reduction="batchmean")
    torch.testing.assert_close(distiller.part("lwf", readings, batch), expected)
    expected.backward()  # gradients go on to the source
    batch.present["rgb"][:] = False
    assert distiller.read(batch)["known.output"].shape == (4, 2), "nor is its shape another where no row has it"


def test_an_ensemble_says_what_its_output_means() -> None:
    nodes = Nodes(
        dict(graph(Only(OLD)).branches.items()),
        {"known": Ensemble(("rgb.output",), Only(OLD)), "same": Ensemble(("known.output",), Mean())},
        TASK,
    )
    assert [nodes.task_of(f"{name}.output").names for name in ("rgb", "known", "same")] == [TASK.classes, OLD, OLD]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": Only(("x", "y"))}, r"ensemble 'known': Only names the class 'x'; its source has \["),
        ({"by": Only(OLD[::-1])}, r"compares 'known\.output' of .* with 'old\.output' of .* by their places"),
        ({"by": Only(OLD), "student": "rgb.output"}, r"by their places.*Ensemble\(of=\('rgb\.output',\), by=Only\(classes=\.\.\.\)\)"),
        ({"by": Only(OLD), "ce": Term(CrossEntropy(), "known.output", "batch.target")}, "CrossEntropy, compares 'known.output' of"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        graph(**options).bind()


def test_it_takes_one_source_of_scores_and_two_classes() -> None:
    with pytest.raises(ValueError, match=r"Only takes 1 source, got \['rgb.output', 'old.output'\]"):
        graph(Only(OLD), ("rgb.output", "old.output"))
    with pytest.raises(ValueError, match="Only names different classes, two or more"):
        Only(("a", "a"))
    with pytest.raises(ValueError, match=r"Only takes columns of scores of the 3 classes .*, and these are \(8, 2, 2\)"):
        Only(("a", "b")).bind((8, 2, 2), 1, (), ("a", "b", "c"))
    with pytest.raises(ValueError, match="Regression cannot be asked of some of its numbers alone"):
        Regression((Number("a", "K", (0.0, 1.0)),)).among(("a",))
