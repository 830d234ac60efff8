"""Detection as a task: what a dense output means, how it is measured and told."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from core_models import CNN, RGB_VIEW, make_batch
from torch import Tensor

from xkd import statistics
from xkd.batch import Annotation, View
from xkd.graph.branch import Branch
from xkd.graph.distiller import Distiller
from xkd.graph.example import example_batch
from xkd.graph.term import Term
from xkd.graph.weights import Random
from xkd.losses import BCKD, CWD, FCOS, KD
from xkd.networks import DenseDetector
from xkd.statistics.average_precision import match
from xkd.statistics.bootstrap import Comparison
from xkd.taps import Tap
from xkd.tasks import Classification, Detection, Selection
from xkd.tasks.box_measures import matched

CLASSES = ("person", "car", "bicycle")
TASK = Detection(CLASSES)
VIEW = View("rgb", RGB_VIEW.modality, (64, 64))


def detector() -> DenseDetector:
    backbone = timm.create_model("resnet10t", features_only=True, out_indices=(2, 3))
    return DenseDetector(backbone, len(CLASSES), channels=32, num_convs=1)


def branch(frozen: bool = False) -> Branch:
    taps = {"fine": Tap("pyramid.layer_blocks.0")}
    return Branch(detector(), VIEW, Random(frozen=frozen), taps=taps, frozen=frozen)


def truth(*boxes: list[float]) -> Tensor:
    return torch.tensor([*boxes, [0.0, 0.0, 0.0, 0.0, -1.0]])


def found(*boxes: list[float]) -> Tensor:
    return torch.tensor([*boxes, [0.0, 0.0, 0.0, 0.0, 0.0, -1.0]])


def test_a_detector_is_a_branch_and_is_taught_by_boxes_by_a_detector_and_by_levels_of_the_pyramid() -> None:
    torch.manual_seed(0)
    distiller = Distiller(
        {"rgb": branch(), "other": branch(frozen=True)},
        {
            "boxes": Term(FCOS(), "rgb.output", "batch.target"),
            "kd": Term(BCKD(), "rgb.output", "other.output"),
            "level": Term(CWD(), "rgb.fine", "other.fine"),
        },
        "rgb",
        TASK,
    )
    distiller.bind()
    batch = example_batch([VIEW], TASK, 2, torch.device("cpu"))
    step = distiller.train()(batch)
    step.loss.backward()
    assert set(step.parts) == {"boxes", "kd", "level"}
    assert all(float(part) > 0 for part in step.parts.values())
    assert all(parameter.grad is not None for parameter in distiller.branches["rgb"].parameters() if parameter.requires_grad)
    assert distiller.eval().predict(batch).shape == (2, 100, 6)


def test_a_term_for_scores_of_classes_is_refused() -> None:
    terms = {"boxes": Term(FCOS(), "rgb.output", "batch.target"), "kd": Term(KD(), "rgb.output", "other.output")}
    with pytest.raises(ValueError, match=r"term 'kd' reads .* by KD, which is of scores of classes"):
        Distiller({"rgb": branch(), "other": branch(frozen=True)}, terms, "rgb", TASK).bind()


def test_a_network_that_gives_something_else_is_told_what_would_do() -> None:
    with pytest.raises(ValueError, match=r"detection of 3 classes .* \(batch, places, 12\); DenseDetector\(backbone, num_classes=3\)"):
        TASK.call(CNN(), torch.rand(2, 3, 16, 16), make_batch(2))


@pytest.mark.parametrize("classes", [(), ("a", "a")])
def test_classes_are_different_and_there_is_one(classes: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="one class or more, all different"):
        Detection(classes)


def test_other_annotations_do_not_fit() -> None:
    assert TASK.misfit(Annotation("boxes", CLASSES), "m") == ""
    assert "Detection learns from target='boxes'" in TASK.misfit(Annotation("label", CLASSES), "m")
    assert "in that order" in TASK.misfit(Annotation("boxes", CLASSES[::-1]), "m")
    assert "target='boxes'" in Classification(CLASSES).misfit(Annotation("boxes", CLASSES), "m")


def test_its_plain_loss_is_that_of_fcos_and_an_explanation_is_of_the_surest_place() -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        output = detector().eval()(torch.rand(2, 3, 64, 64))
    target = TASK.example_target(2, (64, 64))
    assert torch.equal(TASK.loss(output, target), FCOS()(output, target))
    surest = output[..., 5:8].amax(1)
    assert TASK.choose(output).tolist() == surest.argmax(1).tolist()
    assert TASK.score(output, torch.tensor([2, 0])).item() == pytest.approx((surest[0, 2] + surest[1, 0]).item())


def test_an_answer_in_words_and_as_boxes() -> None:
    boxes = found([0.1, 0.1, 0.5, 0.5, 0.9, 0], [0.6, 0.6, 0.9, 0.9, 0.4, 1], [0, 0, 1, 1, 0.2, 2])
    answer = TASK.answer(boxes, truth([0.1, 0.1, 0.5, 0.52, 0], [0.0, 0.6, 0.2, 0.9, 1]))
    assert answer.said == "1 person, 1 car"
    assert answer.caption == "1 of 2 found, 1 wrong"
    assert answer.chosen == ("person", "car")
    assert answer.values == pytest.approx({"person": 0.9, "car": 0.4, "bicycle": 0.2})
    assert answer.boxes is not None
    assert answer.boxes.shape == (2, 6)
    assert TASK.answer(found()).said == "none"
    assert len(answer.cells) == len(TASK.columns)
    told = TASK.truth(truth([0.1, 0.1, 0.5, 0.5, 0], [0.2, 0.1, 0.5, 0.5, 0], [0, 0, 1, 1, -2]))
    assert told.said == "2 person, 1 to ignore"
    assert told.boxes is not None
    assert told.boxes.shape == (2, 6)


def run(shift: float = 0.0, seed: int = 0) -> statistics.TestRun:
    """Twelve images with a person each, found `shift` to the right; the last two also have a car that nothing finds."""
    rng = np.random.default_rng(seed)
    predictions, targets = np.zeros((12, 3, 6), np.float32), np.zeros((12, 3, 5), np.float32)
    predictions[..., 5], targets[..., 4] = -1, -1
    for number in range(12):
        x, y = rng.uniform(0, 0.5, 2)
        targets[number, 0] = (x, y, x + 0.4, y + 0.4, 0)
        predictions[number, 0] = (x + shift * (number % 2), y, x + 0.4 + shift * (number % 2), y + 0.4, rng.uniform(0.4, 0.9), 0)
    targets[10:, 1] = (0.5, 0.5, 0.9, 0.9, 1)
    names = np.array([f"r{number}" for number in range(12)])
    return statistics.TestRun(names, predictions, targets, names)


def test_measures_are_means_over_the_classes_that_are_there() -> None:
    measures = TASK.measures()
    assert [measure.name for measure in measures.main] == ["ap50", "ap", "ap75"]
    values = measures.of(run())
    assert values == pytest.approx({"ap50": 0.5, "ap": 0.5, "ap75": 0.5}), "persons are all found, cars never, bicycles are not there"
    # an overlap of 0.3 / 0.5 = 0.6 in every second image: right for AP50, wrong for AP75
    shifted = measures.of(run(0.1))
    assert shifted["ap50"] == pytest.approx(0.5)
    assert shifted["ap75"] < 0.5
    assert measures.each is not None
    person, car, bicycle = (measures.each.measure(k).statistic(run()) for k in range(3))
    assert (person, car) == pytest.approx((1.0, 0.0))
    assert np.isnan(bicycle)
    assert measures.rows is not None
    np.testing.assert_allclose(measures.rows.of(run()), [1.0] * 10 + [2 / 3] * 2)


def test_intervals_come_from_resampled_images() -> None:
    measure = TASK.measures().named("ap75")
    comparison = Comparison({"alone": [run(0.1)], "distilled": [run()]})
    gain = comparison.difference("distilled", "alone", measure.statistic)
    assert gain.low > 0
    assert gain.low < gain.mean < gain.high
    each = TASK.measures().each
    assert each is not None
    car = each.measure(1).statistic
    assert comparison.estimate("alone", car).mean == 0
    assert not comparison.estimate("alone", each.measure(2).statistic).defined


def test_a_run_is_matched_once() -> None:
    same = run()
    assert matched(same, 3) is matched(same, 3)
    again = run(0.1)
    assert [one.right.sum() for one in matched(again, 3)] != [one.right.sum() for one in matched(same, 3)]
    assert len(match(same.predictions, same.target, 3)) == 3


def test_a_selection_is_the_tasks_own() -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        output = detector().eval()(torch.rand(1, 3, 64, 64))
    few = Detection(CLASSES, Selection(score=0.0, most=5)).predict(output)
    assert few.shape == (1, 5, 6)
    assert (few[..., 5] >= 0).all()
