"""A teacher of other classes: its outputs are put into the task's order, or training does not start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from core_models import CLASSES, CNN, RGB_VIEW, TASK, THERMAL_VIEW, make_batch, rgb_branch

from xkd.deploy.export import Deployed
from xkd.graph.branch import Branch
from xkd.graph.class_map import ClassMap
from xkd.graph.distiller import Distiller
from xkd.graph.term import Term
from xkd.graph.weights import Checkpoint, Random
from xkd.losses import KD, CrossEntropy

OTHERS = ("mildew", "blight", "fine", "rust", "leaf rust")
MAP = ClassMap(OTHERS, {"fine": "healthy", "leaf rust": "rust"})


def test_probabilities_of_what_means_one_class_add_up_and_the_rest_is_left_out() -> None:
    logits = torch.randn(4, 5)
    mapped = MAP(logits, CLASSES)
    own = logits.softmax(1)
    together = torch.stack([own[:, 2], own[:, 3] + own[:, 4], own[:, 1]], 1)  # healthy, rust, blight
    torch.testing.assert_close(mapped.softmax(1), together / together.sum(1, keepdim=True))
    maps = torch.randn(2, 5, 3, 4)
    assert torch.equal(MAP(maps, CLASSES)[:, :, 1, 2], MAP(maps[:, :, 1, 2], CLASSES))


@pytest.mark.parametrize(
    ("own", "to", "message"),
    [
        (("a", "a"), {}, "own classes must be different"),
        (("a", "b"), {"c": "rust"}, r"maps 'c', which is not among the network's own classes \['a', 'b'\]"),
        (("healthy", "rust", "b"), {"b": "blite"}, r"maps to 'blite', the task has \['healthy', 'rust', 'blight'\]"),
        (("healthy", "rust"), {}, r"none of the network's classes \['healthy', 'rust'\] means 'blight': add it to ClassMap\(to=...\)"),
    ],
)
def test_mistakes_name_the_classes(own: tuple[str, ...], to: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClassMap(own, to).columns(CLASSES)


def teacher(**options: Any) -> Branch:
    return Branch(CNN(1, num_classes=5), THERMAL_VIEW, Random(frozen=True), frozen=True, **options)


def test_a_teacher_of_more_classes_teaches() -> None:
    terms = {"ce": Term(CrossEntropy(), "rgb.output", "batch.target"), "kd": Term(KD(), "rgb.output", "thermal.output")}
    branch = teacher(class_map=MAP)
    distiller = Distiller({"rgb": rgb_branch(), "thermal": branch}, terms, "rgb", TASK)
    distiller.bind()
    batch = make_batch(6)
    distiller(batch).loss.backward()
    output = branch(batch, TASK)["output"]
    assert torch.allclose(output, MAP(branch.model(branch.normalise(batch.views["thermal"])), CLASSES))


def test_without_a_map_it_does_not() -> None:
    terms = {"kd": Term(KD(), "rgb.output", "thermal.output")}
    with pytest.raises(ValueError, match=r"branch 'thermal', read by terms \['kd'\]: .* \(2, 5\), .*class_map=ClassMap\(own"):
        Distiller({"rgb": rgb_branch(), "thermal": teacher()}, terms, "rgb", TASK).bind()
    few = teacher(class_map=ClassMap(("healthy", "rust", "blight")))
    with pytest.raises(ValueError, match=r"the network gives \(2, 5\), ClassMap names 3 classes"):
        Distiller({"rgb": rgb_branch(), "thermal": few}, terms, "rgb", TASK).bind()


def test_a_checkpoint_of_the_same_classes_in_another_order_is_an_error(tmp_path: Path) -> None:
    trained = rgb_branch()
    state = {f"distiller.branches.rgb.{key}": value for key, value in trained.state_dict().items()}
    order = ["blight", "healthy", "rust"]
    torch.save({"state_dict": state, "meta": {"xkd": {"student": "rgb", "classes": order}}}, tmp_path / "a.pth")
    weights = Checkpoint(str(tmp_path / "a.pth"))
    assert weights.classes() == tuple(order)
    with pytest.raises(ValueError, match=r"a.pth was trained on classes \['blight', .*, the task has \['healthy', .*class_map="):
        Branch(CNN(3), RGB_VIEW, weights, frozen=True).bind(TASK)
    mapped = Branch(CNN(3), RGB_VIEW, weights, frozen=True, class_map=ClassMap(tuple(order)))
    batch = make_batch(2)
    plain = mapped.bind(TASK)["output"]
    assert plain.shape == (2, 3)
    own = mapped.model(mapped.normalise(batch.views["rgb"]))
    assert torch.allclose(mapped(batch, TASK)["output"], own[:, [1, 2, 0]], atol=1e-6)
    Branch(CNN(3), RGB_VIEW, weights).bind(TASK)  # a learning branch learns its classes anew


def test_what_is_exported_gives_the_tasks_classes() -> None:
    branch, batch = teacher(class_map=MAP), make_batch(2)
    logits, probabilities = Deployed(branch, TASK).eval()(batch.views["thermal"])
    assert torch.allclose(logits, branch(batch, TASK)["output"], atol=1e-5)
    assert probabilities.shape == (2, 3)


def test_a_class_that_means_several_is_divided_evenly() -> None:
    rest = ClassMap(("a", "rest"), {"rest": ("b", "c", "d")})
    logits = torch.randn(5, 2, dtype=torch.float64)
    mapped = rest(logits, ("d", "a", "b", "c")).softmax(1)
    torch.testing.assert_close(mapped[:, 1], logits.softmax(1)[:, 0])
    for column in (0, 2, 3):
        torch.testing.assert_close(mapped[:, column], logits.softmax(1)[:, 1] / 3)
    with pytest.raises(ValueError, match="ClassMap maps to 'e', the task has"):
        ClassMap(("a", "rest"), {"rest": ("b", "e")}).columns(("a", "b"))
