"""Grad-CAM as a reading that a term learns by: its values, its gradients, whose class it explains, and which rows have one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import timm
import torch
from core_models import CLASSES, RGB_VIEW, TASK, THERMAL_VIEW, make_batch, rgb_branch, state, thermal_branch

from xkd.attention import grad_cam
from xkd.attention.maps import single_view_batch
from xkd.batch import View
from xkd.graph.branch import Branch
from xkd.graph.distiller import Distiller
from xkd.graph.explanation import GradCAM
from xkd.graph.gradients import gradient_shares
from xkd.graph.term import Term
from xkd.graph.weights import Random
from xkd.losses import AttentionCosine, CrossEntropy, MaskEnergy
from xkd.taps import Tap

CE = Term(CrossEntropy(), "rgb.output", "batch.target")


def make(terms: dict[str, Term], student: dict[str, GradCAM], teacher: dict[str, GradCAM] | None = None, **options: Any) -> Distiller:
    torch.manual_seed(0)
    branches = {"rgb": rgb_branch(explanations=student, **options), "thermal": thermal_branch(explanations=teacher, frozen=True)}
    distiller = Distiller(branches, terms, "rgb", TASK)
    distiller.bind()
    return distiller


def mask_energy(classes: str = "batch.target", signed: bool = False) -> Distiller:
    return make({"mask": Term(MaskEnergy(), "rgb.cam", "batch.mask")}, {"cam": GradCAM("deep", classes, signed)})


def steer(weight: float = 1.0) -> dict[str, Term]:
    return {"look": Term(AttentionCosine(), "rgb.cam", "thermal.cam", weight=weight)}


def e2kd() -> Distiller:
    return make(steer(), {"cam": GradCAM("deep", "thermal.output")}, {"cam": GradCAM("stem", "thermal.output")})


def test_the_reading_is_the_map_that_pictures_show() -> None:
    distiller = mask_energy()
    batch = make_batch()
    distiller.student.train(False)
    cam = distiller.read(batch)["rgb.cam"]
    assert cam.requires_grad
    shown = grad_cam(distiller.student, single_view_batch(distiller.student, batch.views["rgb"], TASK), TASK, "deep", batch.target)
    torch.testing.assert_close(cam, shown)
    assert distiller.student.shapes["cam"] == (1, 4, 4)


def test_the_student_learns_to_look_inside_the_mask() -> None:
    distiller = mask_energy()
    batch = make_batch(24)
    mask = torch.zeros_like(batch.mask)
    for row in range(24):
        y, x = divmod(row % 4, 2)
        mask[row, :, 8 * y : 8 * y + 8, 8 * x : 8 * x + 8] = 1
    batch = replace(batch, mask=mask, views={**batch.views, "rgb": batch.views["rgb"] + 100 * mask})
    optimiser = torch.optim.Adam(distiller.parameters(), 1e-2)
    losses = []
    for _ in range(30):
        step = distiller(batch)
        optimiser.zero_grad()
        step.loss.backward()
        optimiser.step()
        losses.append(float(step.loss.detach()))
    assert losses[-1] < 0.6 * losses[0]


def test_a_signed_explanation_is_the_map_before_it_is_cut_off() -> None:
    batch = make_batch()
    cams = []
    for signed in (True, False):
        torch.manual_seed(0)
        distiller = mask_energy(signed=signed)
        distiller.student.train(False)
        cams.append(distiller.read(batch)["rgb.cam"])
    assert (cams[0] < 0).any()
    torch.testing.assert_close(cams[0].clamp(min=0), cams[1])


def test_a_map_that_is_nowhere_positive_is_learned_from_when_it_is_signed() -> None:
    batch = make_batch(8)
    mask = torch.zeros_like(batch.mask)
    mask[..., :8, :8] = 1
    batch = replace(batch, mask=mask, masked=torch.ones_like(batch.masked))
    reached = {}
    for signed in (True, False):
        distiller = mask_energy(signed=signed)
        distiller.student.train(False)
        with torch.no_grad():
            distiller.student.model.get_parameter("deep.1.bias").fill_(4)  # activations above zero, all of them against every class
            distiller.student.model.get_parameter("fc.weight").fill_(-0.1)
        cam = distiller.read(batch)["rgb.cam"]
        assert (cam <= 0).all(), "else this test tells nothing"
        distiller(batch).loss.backward()
        reached[signed] = any(p.grad is not None and p.grad.any() for p in distiller.student.model.get_submodule("deep").parameters())
    assert reached == {True: True, False: False}


def test_gradients_of_an_explanation_are_those_of_finite_differences() -> None:
    distiller = e2kd().double().eval()
    batch = make_batch(4)
    batch = replace(batch, views={name: images.double() for name, images in batch.views.items()})
    weight = distiller.student.model.get_parameter("deep.0.weight")
    slope = torch.autograd.grad(distiller(batch).loss, weight)[0]
    place, step = (0, 0, 1, 1), 1e-6
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            weight[place] += sign * step
        values.append(float(distiller(batch).loss.detach()))
        with torch.no_grad():
            weight[place] -= sign * step
    assert float(slope[place]) == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-4)


def test_both_explain_the_teachers_likeliest_class() -> None:
    distiller = e2kd()
    distiller.student.train(False)
    batch = make_batch(12)
    readings = distiller.read(batch)
    likeliest = readings["thermal.output"].argmax(1)
    assert not torch.equal(likeliest, readings["rgb.output"].argmax(1)), "else this test tells nothing"
    for name, path in (("rgb", "deep"), ("thermal", "stem")):
        branch = distiller.branches[name]
        alone = single_view_batch(branch, batch.views[branch.view.name], TASK)
        torch.testing.assert_close(readings[f"{name}.cam"], grad_cam(branch, alone, TASK, path, likeliest))
    assert not readings["thermal.cam"].requires_grad
    assert not readings["thermal.output"].requires_grad


def test_a_branch_that_explains_anothers_class_runs_after_it() -> None:
    assert list(e2kd().read(make_batch()).captures) == ["thermal", "rgb"]
    assert list(mask_energy().read(make_batch()).captures) == ["rgb", "thermal"]


def test_rows_without_what_is_explained_are_left_out() -> None:
    batch = make_batch(6)
    some = torch.tensor([True, True, False, True, False, True])
    kept = some.nonzero().flatten()

    def part_of(distiller: Distiller, rows: Any) -> float:
        distiller.student.train(False)
        return float(next(iter(distiller(rows).parts.values())))

    target = torch.where(some, batch.target, -1)
    few = replace(
        batch,
        **{name: getattr(batch, name)[kept] for name in ("target", "labelled", "mask", "masked", "index", "draw")},
        views={name: images[kept] for name, images in batch.views.items()},
        present={name: there[kept] for name, there in batch.present.items()},
    )
    assert part_of(mask_energy(), replace(batch, labelled=some, target=target)) == pytest.approx(part_of(mask_energy(), few), rel=1e-5)
    without = replace(batch, present={**batch.present, "thermal": some})
    assert part_of(mask_energy("thermal.output"), without) == pytest.approx(part_of(mask_energy("thermal.output"), few), rel=1e-5)
    assert part_of(mask_energy("rgb.output"), without) != pytest.approx(part_of(mask_energy("rgb.output"), few), rel=1e-5)
    blind = replace(batch, present={**batch.present, "rgb": some})
    assert part_of(e2kd(), blind) == pytest.approx(part_of(e2kd(), few), rel=1e-5)


def test_a_batch_without_the_sensor_gives_nothing_to_learn_and_breaks_nothing() -> None:
    distiller = e2kd()
    batch = make_batch()
    step = distiller(replace(batch, present={**batch.present, "rgb": torch.zeros(len(batch), dtype=torch.bool)}))
    step.loss.backward()
    assert not step.loss.detach().any()


def test_evaluation_pays_for_no_explanation() -> None:
    distiller = e2kd()
    with torch.no_grad():
        assert "cam" not in distiller.student(make_batch(), TASK)
    before = state(distiller)
    shares = gradient_shares(distiller, make_batch())
    assert shares.shares["look"] == 1
    assert all(torch.equal(value, before[key]) for key, value in distiller.state_dict().items())


def test_no_hook_stays_and_a_frozen_network_keeps_no_gradient() -> None:
    distiller = e2kd()
    distiller(make_batch()).loss.backward()
    assert not any(module._forward_hooks for module in distiller.modules())
    assert all(parameter.grad is None for parameter in distiller.branches["thermal"].parameters())


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "resnet10t", "convnext_atto"])
def test_timm_networks_learn_by_their_explanations(name: str) -> None:
    view = View("rgb", RGB_VIEW.modality, (64, 96))
    options = {"img_size": (64, 96)} if "t_tiny" in name or "swin" in name else {}
    # the class token alone is read in the last block, so the patches count before its attention
    path = "blocks.11.norm1" if name.startswith("vit") else "stage:-1"
    model = timm.create_model(name, num_classes=len(CLASSES), **options)
    torch.manual_seed(0)
    torch.nn.init.normal_(model.get_classifier().weight)  # timm's heads start near zero
    branch = Branch(model, view, Random(), {"deep": Tap("stage:-1")}, explanations={"cam": GradCAM(path, "batch.target")})
    distiller = Distiller({"rgb": branch}, {"mask": Term(MaskEnergy(), "rgb.cam", "batch.mask")}, "rgb", TASK)
    distiller.bind()
    batch = make_batch(3, views=(view,))
    distiller(batch).loss.backward()
    reached = [p for p in branch.model.parameters() if p.grad is not None and p.grad.any()]
    assert len(reached) > 0.5 * len(list(branch.model.parameters()))


def test_bad_requests() -> None:
    with pytest.raises(ValueError, match=r"classes must be 'batch\.target' or a branch's output, 'rgb\.output'; got 'rgb.deep'"):
        GradCAM("deep", "rgb.deep")
    with pytest.raises(KeyError, match="no module 'deeep' in CNN"):
        rgb_branch(explanations={"cam": GradCAM("deeep", "batch.target")})
    with pytest.raises(KeyError, match=r"branch 'rgb' explains the class of no branch 'thermall'; there are \['rgb', 'thermal'\]"):
        make({"ce": CE}, {"cam": GradCAM("deep", "thermall.output")})
    with pytest.raises(ValueError, match=r"wait for each other in a circle, whose classes they explain or whose readings they eat: .*rgb"):
        make({"ce": CE}, {"cam": GradCAM("deep", "thermal.output")}, {"cam": GradCAM("deep", "rgb.output")})
    with pytest.raises(ValueError, match="two readings named 'deep'"):
        rgb_branch({"deep": Tap("deep")}, explanations={"deep": GradCAM("deep", "batch.target")})
    with pytest.raises(ValueError, match=r"'fc' gives \(2, 3\), not a map"):
        make({"ce": CE}, {"cam": GradCAM("fc", "batch.target")})


def test_a_view_of_another_sensor_may_be_explained_too() -> None:
    assert THERMAL_VIEW.size == (16, 24)
    assert e2kd().branches["thermal"].shapes["cam"] == (1, 8, 12)
