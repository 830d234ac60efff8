"""Input edges: what a branch sees of its view or of another branch, and that its readings keep the rows of the batch."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from core_models import CNN, RGB, RGB_VIEW, TASK, THERMAL, Places, changed, make_batch, rgb_branch, state
from torch import Tensor, nn

from xkd.batch import Batch, View
from xkd.ensembles import MinLogit
from xkd.graph.branch import Branch, Capture, Head
from xkd.graph.class_map import ClassMap
from xkd.graph.distiller import Distiller, count_flops
from xkd.graph.ensemble import Ensemble
from xkd.graph.explanation import GradCAM
from xkd.graph.gates import Right
from xkd.graph.inputs import Crops, Eats, Input, Whole
from xkd.graph.reading import Readings
from xkd.graph.term import Term
from xkd.graph.weights import Random
from xkd.losses import FCOS, KD, CrossEntropy, FitNet
from xkd.losses.dicod import DICOD
from xkd.modalities import LiDAR
from xkd.projectors import MLP, PooledLinear
from xkd.taps import Tap
from xkd.tasks import Classification, Detection, Features

DETECTION = Detection(("person", "car"))
WHAT = Classification(("background", "person", "car"))
WARM = View("thermal", THERMAL, (32, 48))
SEEN = View("rgb", RGB, (16, 24))


class Level(nn.Module):
    """Its answer is the mean of the image, and two constants."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, images: Tensor) -> Tensor:
        level = images.mean((1, 2, 3)) * self.scale
        return torch.stack([torch.ones_like(level), level, -level], 1)


def classifier(model: nn.Module | None = None, **options: Any) -> Branch:
    given: dict[str, Any] = {"task": WHAT, "eats": Crops((8, 8)), "frozen": True, **options}
    return Branch(model or CNN(1), WARM, Random(frozen=given["frozen"]), **given)


def boxed(rows: int = 3) -> Batch:
    """Each row has a warm object and a cold one, one of them missing or to be ignored in some; the last row nobody has labelled."""
    target = torch.tensor(
        [
            [[0.25, 0.25, 0.5, 0.5, 1.0], [0.5, 0.5, 0.75, 0.9, 0.0]],
            [[0.25, 0.25, 0.5, 0.5, -2.0], [0.5, 0.5, 0.75, 0.9, 1.0]],
            [[0.5, 0.5, 0.75, 0.9, 0.0], [0.0, 0.0, 0.0, 0.0, -1.0]],
        ]
    )
    warm = torch.full((rows, 1, 32, 48), 300.0)
    warm[:, :, 8:16, 12:24] = 320.0
    warm[:, :, 16:29, 24:36] = 270.0
    batch = make_batch(rows, views=(SEEN, WARM))
    return replace(batch, views={**batch.views, "thermal": warm}, target=target, labelled=torch.tensor([True, True, False]))


def graph(teacher: Branch | None = None, terms: Mapping[str, Term] | None = None, **more: Branch) -> Distiller:
    student = Branch(Places(), SEEN, Random())
    edges = terms or {"boxes": Term(FCOS(), "rgb.output", "batch.target"), "kd": Term(DICOD(), "rgb.output", "thermal.output")}
    return Distiller({"rgb": student, "thermal": teacher or classifier(), **more}, edges, "rgb", DETECTION)


# --- crops


@pytest.mark.parametrize("size", [(8, 8), (6, 12), (40, 40)])
@pytest.mark.parametrize("context", [1.0, 1.5])
def test_a_window_has_the_shape_of_the_crop_and_the_box_in_its_middle(size: tuple[int, int], context: float) -> None:
    y, x = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(96) + 0.5, indexing="ij")  # where a pixel's centre is
    view = View("thermal", replace(THERMAL, channels=2, mean=(3.0, 4.0), std=(1.0, 1.0)), (64, 96))
    target = torch.tensor([[[36 / 96, 24 / 64, 48 / 96, 40 / 64, 1.0]]], dtype=torch.float64)
    batch = replace(make_batch(1, views=(view,)), target=target)
    batch.views["thermal"] = torch.stack([x, y])[None].double()
    (image,), places = Crops(size, context).food(view, batch, DETECTION, None)
    scale = max(12 / size[1], 16 / size[0]) * context  # pixels of the view in one of the crop
    across = 42 + ((torch.arange(size[1]) + 0.5) - size[1] / 2) * scale
    down = 32 + ((torch.arange(size[0]) + 0.5) - size[0] / 2) * scale
    torch.testing.assert_close(image[0], across.double().expand(size))
    torch.testing.assert_close(image[1], down.double()[:, None].expand(size))
    assert places.tolist() == [[True]]


def test_a_window_that_is_shrunk_is_averaged_and_beyond_the_image_is_the_sensors_mean() -> None:
    view = View("rgb", RGB, (64, 64))
    batch = replace(make_batch(1, views=(view,)), target=torch.tensor([[[0.0, 0.0, 1.0, 1.0, 0.0]]]))
    stripes = torch.tensor([0.0, 200.0]).repeat(32).expand(1, 3, 64, 64)
    (image,), _ = Crops((8, 8), 1.0).food(view, replace(batch, views={"rgb": stripes.to(torch.uint8)}), DETECTION, None)
    torch.testing.assert_close(image, torch.full((3, 8, 8), 100.0))
    (wide,), _ = Crops((8, 8), 2.0).food(view, replace(batch, views={"rgb": stripes}), DETECTION, None)
    torch.testing.assert_close(wide[:, 0], torch.tensor(RGB.mean)[:, None].expand(3, 8))
    torch.testing.assert_close(wide[:, 3:5, 3:5], torch.full((3, 2, 2), 100.0))


def test_answers_are_in_the_order_of_the_targets_boxes_and_zero_where_there_is_no_object() -> None:
    batch, teacher = boxed(), classifier(Level(), eats=Crops((4, 4), 0.5))
    output = teacher(batch, DETECTION)["output"]
    assert output.shape == (3, 2, 3)
    torch.testing.assert_close(output[..., 1], torch.tensor([[2.0, -3.0], [0.0, -3.0], [0.0, 0.0]]))  # of mean 300 and std 10
    assert output[..., 0].tolist() == [[1, 1], [0, 1], [0, 0]]
    turned = teacher(replace(batch, target=batch.target.flip(1)), DETECTION)["output"]
    torch.testing.assert_close(turned, output.flip(1))
    gone = replace(batch, present={**batch.present, "thermal": torch.tensor([False, True, True])})
    assert teacher(gone, DETECTION)["output"][..., 0].tolist() == [[0, 0], [0, 1], [0, 0]]


def test_the_control_gives_each_place_the_window_of_another_box() -> None:
    batch = boxed()
    own = classifier(Level(), eats=Crops((4, 4), 0.5))(batch, DETECTION)["output"]
    others = classifier(Level(), eats=Crops((4, 4), 0.5, shuffled=True))(batch, DETECTION)["output"]
    torch.testing.assert_close(others[..., 1], torch.tensor([[-3.0, 2.0], [0.0, -3.0], [0.0, 0.0]]))
    assert sorted(others.flatten().tolist()) == pytest.approx(sorted(own.flatten().tolist()))
    alone = classifier(Level(), eats=Crops((4, 4), shuffled=True))
    alone.bind(DETECTION)
    assert not alone(replace(batch, target=batch.target[:, :1], labelled=torch.tensor([True, True, False])), DETECTION)["output"].any()


def test_a_batch_without_any_object_needs_no_pass_of_the_network() -> None:
    distiller = graph()
    distiller.bind()
    batch = boxed()
    batch = replace(batch, target=batch.target.index_fill(2, torch.tensor([4]), -1.0))
    step = distiller(batch)
    assert step.parts["kd"].item() == 0
    step.loss.backward()
    assert distiller.read(batch)["thermal.output"].shape == (3, 2, 3)


def test_taps_and_heads_of_crops_are_per_box_too_and_rows_that_lack_a_label_have_none() -> None:
    teacher = classifier(taps={"deep": Tap("deep")}, heads={"exit": Head("deep", PooledLinear())}, eats=Crops((8, 8)), frozen=False)
    distiller = graph(teacher)
    distiller.bind()
    assert {name: tuple(shape) for name, shape in teacher.shapes.items()} == {"output": (3,), "deep": (12, 2, 2), "exit": (3,)}
    readings = distiller.read(boxed())
    assert readings["thermal.deep"].shape == (3, 2, 12, 2, 2)
    assert readings["thermal.exit"].shape == (3, 2, 3)
    assert readings.there("thermal.output").tolist() == [True, True, False]
    assert readings.there("rgb.output").all()


def test_a_classifier_of_crops_teaches_a_detector_and_stays_as_it_is() -> None:
    distiller = graph()
    distiller.bind()
    before = state(distiller.branches["thermal"])
    optimiser = torch.optim.SGD([p for p in distiller.parameters() if p.requires_grad], lr=0.3)
    batch, values = boxed(), []
    for _ in range(8):
        step = distiller.train()(batch)
        optimiser.zero_grad()
        (distiller.part("kd", distiller.read(batch), batch)).backward()
        optimiser.step()
        values.append(step.parts["kd"].item())
    assert values[-1] < 0.5 * values[0]
    assert not changed(distiller.branches["thermal"], before)
    assert distiller.eval().predict(batch).shape == (3, 100, 6)


def test_a_classifier_of_crops_can_be_cached_and_its_cost_is_that_of_one_box() -> None:
    distiller = graph()
    distiller.bind()
    assert distiller.stands_alone("thermal")
    batch = boxed()
    answers = distiller.answers("thermal", batch)
    cached = replace(batch, cached={f"thermal.{name}": reading for name, reading in answers.items()})
    del cached.views["thermal"]
    torch.testing.assert_close(distiller(cached).loss, distiller(boxed()).loss)
    assert not graph(classifier(eats=Crops((8, 8), shuffled=True))).stands_alone("thermal"), "other rows choose its windows"
    alone = Branch(CNN(1), View("thermal", THERMAL, (8, 8)), Random(frozen=True), frozen=True)
    assert count_flops(distiller.branches["thermal"], DETECTION) == count_flops(alone, WHAT)


# --- a task of its own


def test_a_branch_answers_by_its_own_task_where_it_has_one() -> None:
    mapped = ClassMap(("sky", "man", "truck", "van"), {"sky": "background", "man": "person", "truck": "car", "van": "car"})
    distiller = graph(classifier(CNN(1, num_classes=4), class_map=mapped))
    distiller.bind()
    assert distiller.task_of("thermal") is WHAT
    assert distiller.task_of("rgb") is DETECTION
    assert distiller.read(boxed())["thermal.output"].shape == (3, 2, 3)


def test_a_run_of_classes_may_hold_a_branch_of_other_classes() -> None:
    other = Classification(("day", "night"))
    branches = {
        "rgb": rgb_branch({"deep": Tap("deep")}),
        "hours": Branch(CNN(3, num_classes=2), RGB_VIEW, Random(frozen=True), {"deep": Tap("deep")}, frozen=True, task=other),
    }
    terms = {"ce": Term(CrossEntropy(), "rgb.output", "batch.target"), "hint": Term(FitNet(), "rgb.deep", "hours.deep", MLP())}
    distiller = Distiller(branches, terms, "rgb", TASK)
    distiller.bind()
    assert distiller(make_batch()).loss.isfinite()
    assert distiller.read(make_batch())["hours.output"].shape == (6, 2)


def explained(classes: str) -> Branch:
    return classifier(explanations={"map": GradCAM("deep", classes)})


def of_more_classes(**terms: Term) -> Distiller:
    """A run with a frozen branch and a learning one that know a class more than its labels."""
    more = Classification(("zebra", *TASK.names))
    branches = {
        "rgb": rgb_branch(),
        "teacher": rgb_branch(frozen=True, weights=Random(frozen=True)),
        **{
            name: Branch(CNN(3, num_classes=4), RGB_VIEW, Random(frozen=frozen), frozen=frozen, task=more)
            for name, frozen in OTHERS.items()
        },
    }
    read = any("team.output" in term.readings for term in terms.values())
    teams = {"team": Ensemble(("frozen.output",), MinLogit())} if read else {}
    return Distiller(branches, {"ce": Term(CrossEntropy(), "rgb.output", "batch.target"), **terms}, "rgb", TASK, teams)


OTHERS = {"frozen": True, "learning": False}


MEANINGS: dict[str, tuple[Any, str]] = {
    "labels that are other classes": (
        lambda: of_more_classes(own=Term(CrossEntropy(), "learning.output", "batch.target")),
        r"the loss of term 'own', CrossEntropy, compares 'learning.output' of \['zebra', 'healthy'.*'batch.target' .* are \['healthy'",
    ),
    "a gate by labels that are other classes": (
        lambda: of_more_classes(kd=Term(KD(4.0), "rgb.output", "teacher.output", gate=Right("frozen.output"))),
        r"the gate of term 'kd', Right, compares 'frozen.output' of \['zebra', 'healthy'.*leave out the branch's task=, or the target",
    ),
    "an ensemble by labels that are other classes": (
        lambda: of_more_classes(kd=Term(KD(4.0), "learning.output", "team.output")),
        r"ensemble 'team', MinLogit, compares 'frozen.output' of \['zebra', 'healthy'",
    ),
    "a number of classes that is not the model's": (
        lambda: graph(classifier(CNN(1, num_classes=2))),
        r"branch 'thermal', read by terms \['kd'\]: the network gives \(2, 2\), classification into 3 classes .*make it with num_classes=3",
    ),
    "a class map of other classes": (
        lambda: graph(classifier(class_map=ClassMap(("a", "b", "c")))),
        r"branch 'thermal', .*none of the network's classes \['a', 'b', 'c'\] means 'background'",
    ),
    "classes in another order": (
        lambda: graph(classifier(task=Classification(("background", "car", "person")))),
        r"term 'kd' compares 'rgb.output' of \['person', 'car'\] with 'thermal.output' of \['background', 'car', 'person'\] by their pl",
    ),
    "the background last": (
        lambda: graph(classifier(task=Classification(("person", "car", "background")))),
        r"the same classes in the same order, and what one of them has more, such as the background, before them",
    ),
    "a loss of one answer in each row": (
        lambda: graph(classifier(frozen=False), {"kd": Term(KD(4.0), "thermal.output", "other.output")}, other=classifier()),
        r"term 'kd' reads \['thermal.output', 'other.output'\] by KD, .*one answer in each row, and 'thermal.output' has one for each box",
    ),
    "boxes of a run that has none": (
        lambda: Distiller(
            {"rgb": rgb_branch(), "thermal": classifier()},
            {"ce": Term(CrossEntropy(), "rgb.output", "batch.target"), "kd": Term(DICOD(), "rgb.output", "thermal.output")},
            "rgb",
            TASK,
        ),
        r"branch 'thermal', read by terms \['kd'\]: targets of Classification have no boxes to cut out: .*the run's task to be a Detection",
    ),
    "a student of its own task": (
        lambda: Distiller(
            {"rgb": rgb_branch(task=WHAT), "other": rgb_branch()}, {"ce": Term(CrossEntropy(), "rgb.output", "batch.target")}, "rgb", TASK
        ),
        r"the student 'rgb' has a task of its own, .*leave its task= out, or name another student, \['other'\]",
    ),
    "a student of crops": (
        lambda: Distiller(
            {"rgb": Branch(Places(), SEEN, Random(), eats=Crops((16, 24)))},
            {"b": Term(FCOS(), "rgb.output", "batch.target")},
            "rgb",
            DETECTION,
        ),
        r"the student 'rgb' eats Crops\(.*and is tested and exported on its whole view: leave its eats= out",
    ),
    "a class of the run's explained by other classes": (
        lambda: graph(explained("rgb.output")),
        r"'thermal.map' explains the class of 'rgb.output', one of \['person', 'car'\] in each row, and its own network tells \['backg",
    ),
}


@pytest.mark.parametrize(("made", "told"), MEANINGS.values(), ids=MEANINGS)
def test_what_is_taken_for_what_it_is_not_is_told_in_the_dry_run(made: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        made().bind()


def test_an_explanation_of_its_own_class_is_per_box() -> None:
    distiller = graph(explained("thermal.output"), {"boxes": Term(FCOS(), "rgb.output", "batch.target")})
    distiller.bind()
    assert distiller.branches["thermal"].shapes["map"] == (1, 2, 2)


def test_a_view_that_a_batch_lacks_is_named() -> None:
    batch = boxed()
    del batch.views["thermal"]
    with pytest.raises(KeyError, match=r"no view 'thermal' in the batch; it has \['rgb'\]"):
        classifier()(batch, DETECTION)


# --- what another branch has made


class Maker(nn.Module):
    """Images of the RGB view from the thermal one."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.paint, self.size = nn.Conv2d(1, 3, 1), size

    def forward(self, images: Tensor) -> Tensor:
        painted: Tensor = self.paint(nn.functional.interpolate(images, self.size))
        return painted


def made_graph(gradient: float, *, frozen: bool = True, size: tuple[int, int] = (16, 16), reading: str = "maker.output") -> Distiller:
    branches = {
        "judge": rgb_branch(frozen=frozen, weights=Random(frozen=frozen), eats=Eats(reading, gradient)),
        "rgb": rgb_branch(),
        "maker": Branch(Maker(size), WARM, Random(), task=Features()),
    }
    terms = {
        "ce": Term(CrossEntropy(), "rgb.output", "batch.target"),
        "real": Term(CrossEntropy(), "judge.output", "batch.target"),
    }
    return Distiller(branches, terms, "rgb", TASK)


def both() -> Batch:
    return make_batch(views=(RGB_VIEW, WARM))


def slope(distiller: Distiller, batch: Batch) -> Tensor | None:
    distiller.zero_grad()
    distiller.train()(batch).loss.backward()
    weight: Any = distiller.branches["maker"].get_parameter("model.paint.weight")
    return None if weight.grad is None else weight.grad.clone()


@pytest.mark.parametrize("frozen", [True, False])
def test_the_makers_gradient_is_multiplied_and_passes_through_a_frozen_judge(frozen: bool) -> None:
    slopes = {}
    for gradient in (0.0, 1.0, -1.0, 0.5):
        torch.manual_seed(1)
        distiller = made_graph(gradient, frozen=frozen)
        distiller.bind()
        before = state(distiller.branches["judge"])
        torch.manual_seed(2)
        slopes[gradient] = slope(distiller, both())
        assert not frozen or not changed(distiller.branches["judge"], before)
        assert any(p.grad is not None for p in distiller.branches["judge"].parameters()) == (not frozen)
    assert slopes[0.0] is None
    passed = slopes[1.0]
    assert passed is not None
    assert passed.abs().sum() > 0
    for gradient in (-1.0, 0.5):
        torch.testing.assert_close(slopes[gradient], gradient * passed)


def test_a_branch_comes_after_the_one_that_makes_its_images_whatever_their_order() -> None:
    distiller = made_graph(1.0)
    distiller.bind()
    batch = both()
    readings = distiller.eval().read(batch)
    judge = distiller.branches["judge"]
    painted = replace(batch, views={"rgb": readings["maker.output"]})
    torch.testing.assert_close(readings["judge.output"], judge(painted, TASK)["output"])
    assert not distiller.stands_alone("judge")


def test_rows_that_were_not_made_are_not_there() -> None:
    distiller = made_graph(0.0)
    distiller.bind()
    batch = both()
    batch.present["thermal"] = torch.tensor([True, False, True, False, True, True])
    batch.present["rgb"] = torch.tensor([True, True, False, False, True, True])
    readings: Readings = distiller.read(batch)
    assert readings.there("judge.output").tolist() == batch.present["thermal"].tolist()
    assert not readings["judge.output"][1].any()
    none = replace(batch, present={**batch.present, "thermal": torch.zeros(6, dtype=torch.bool)})
    assert not distiller.read(none)["judge.output"].any()


CIRCLES: dict[str, tuple[Any, type[Exception], str]] = {
    "a circle": (
        lambda: Distiller(
            {"a": rgb_branch(eats=Eats("b.output")), "b": rgb_branch(eats=Eats("a.output")), "rgb": rgb_branch()},
            {"ce": Term(CrossEntropy(), "rgb.output", "batch.target")},
            "rgb",
            TASK,
        ),
        ValueError,
        r"branches wait for each other in a circle, .*whose readings they eat: (a -> b -> a|b -> a -> b)",
    ),
    "its own": (lambda: made_graph(1.0, reading="judge.output"), ValueError, r"in a circle, .*: judge -> judge"),
    "no branch": (
        lambda: made_graph(1.0, reading="nobody.image"),
        KeyError,
        r"branch 'judge' reads 'nobody.image': no branch 'nobody'; there",
    ),
    "no reading": (
        lambda: made_graph(1.0, reading="maker.picture"),
        KeyError,
        r"branch 'judge' reads 'maker.picture': no tap 'picture'; maker has \['output'\]",
    ),
    "the batch": (lambda: Eats("batch.target"), ValueError, r"Eats takes another branch's reading, 'maker.output', got 'batch.target'"),
    "no name": (lambda: Eats("maker."), ValueError, r"another branch's reading, 'maker.output', got 'maker.'"),
    "no factor": (lambda: Eats("maker.output", math.nan), ValueError, r"Eats: gradient is a finite factor, got nan"),
    "no dot": (lambda: Eats("maker"), ValueError, r"another branch's reading, 'maker.output', got 'maker'"),
}


@pytest.mark.parametrize(("made", "error", "told"), CIRCLES.values(), ids=CIRCLES)
def test_what_cannot_be_eaten_is_told_when_the_graph_is_made(made: Any, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        made()


def test_what_is_no_image_of_the_view_is_told_in_the_dry_run() -> None:
    told = "branch 'judge': it eats 'maker.output' (3, 8, 8), and images of its view 'rgb' are (3, 16, 16)"
    with pytest.raises(ValueError, match=re.escape(told)):
        made_graph(1.0, size=(8, 8)).bind()


@pytest.mark.parametrize(
    "arguments",
    [
        {"size": (0, 8)},
        {"size": (8,)},
        {"size": 64},
        {"size": (8.0, 8.0)},
        {"size": (8, 8), "context": 0.0},
        {"size": (8, 8), "context": math.inf},
    ],
)
def test_impossible_crops_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"Crops: (size must be \(height, width\) in whole pixels|context is how many times)"):
        Crops(**arguments)


def test_what_is_no_input_is_refused() -> None:
    wrong: Any = "thermal.output"
    with pytest.raises(
        ValueError, match=r"branch on view 'rgb': eats is Whole\(\), Crops\(size\) or Eats\(reading\), got 'thermal.output'"
    ):
        rgb_branch(eats=wrong)
    assert all(isinstance(of, Input) for of in (Whole(), Crops((8, 8)), Eats("maker.output")))


def test_a_capture_is_plain_tensors() -> None:
    capture: Capture = classifier()(boxed(), DETECTION)
    assert set(capture) == {"output"}


def test_a_gate_by_labels_lets_branches_of_other_classes_learn_from_each_other() -> None:
    distiller = of_more_classes(kd=Term(KD(4.0), "learning.output", "frozen.output", gate=Right("rgb.output")))
    distiller.bind()
    assert distiller(make_batch()).loss.isfinite()


def test_beyond_the_image_a_scanner_has_no_return() -> None:
    """Its mean would be half a return."""
    view = View("lidar", LiDAR(outputs=("range", "valid")), (16, 16))
    batch = replace(make_batch(1, views=(view,)), target=torch.tensor([[[0.0, 0.0, 1.0, 1.0, 0.0]]]))
    (image,), _ = Crops((8, 8), 2.0).food(view, replace(batch, views={"lidar": torch.ones(1, 2, 16, 16)}), DETECTION, None)
    assert image[1, 0].tolist() == [0.0] * 8
    assert image[1, 4, 4] == 1
    assert image[0, 0].tolist() == [view.modality.mean[0]] * 8
