"""A teacher's attention as the mask of a term, by a head on its tap."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from core_models import CNN, RGB_VIEW, TASK, THERMAL, make_batch, rgb_branch

from xkd.batch import View
from xkd.graph.branch import Branch, Head
from xkd.graph.distiller import Distiller
from xkd.graph.term import Term
from xkd.graph.weights import Random
from xkd.losses import FitNet, MaskedFeature, MaskEnergy
from xkd.projectors import AttentionMask, Conv1x1
from xkd.taps import Tap

SQUARE = View("thermal", THERMAL, (16, 16))  # a mask is of the student's image


def test_one_from_half_of_the_range_on() -> None:
    attention = torch.tensor([[[[0.0, 1.0], [2.0, 4.0]]], [[[3.0, 3.0], [3.0, 3.0]]], [[[-4.0, 0.0], [-2.1, -2.0]]]])
    mask = AttentionMask()(attention)
    assert mask.flatten(1).tolist() == [[0, 0, 1, 1], [0, 0, 0, 0], [0, 1, 0, 1]]
    assert AttentionMask(0.2)(attention)[0].flatten().tolist() == [0, 1, 1, 1]
    heads = torch.stack([attention[0, 0], 4 - attention[0, 0]])[None]
    assert not AttentionMask()(heads).any(), "heads that cancel each other leave an even map"


def make(term: Term) -> Distiller:
    torch.manual_seed(0)
    taps = {"look": Tap("stem", kind="energy"), "deep": Tap("deep")}
    teacher = Branch(CNN(1, 20), SQUARE, Random(frozen=True), taps, heads={"region": Head("look", AttentionMask())}, frozen=True)
    student = rgb_branch({"look": Tap("stem", kind="energy"), "deep": Tap("deep")})
    distiller = Distiller({"rgb": student, "thermal": teacher}, {"steer": term}, "rgb", TASK)
    distiller.bind()
    return distiller


def test_it_steers_the_student_in_the_place_of_an_annotated_mask() -> None:
    distiller = make(Term(MaskEnergy(), "rgb.look", "thermal.region"))
    batch = make_batch(views=(RGB_VIEW, SQUARE))
    unmasked = replace(batch, masked=torch.zeros(len(batch), dtype=torch.bool), mask=torch.zeros_like(batch.mask))
    step = distiller(unmasked)
    readings = distiller.read(batch)
    assert 0 < readings["thermal.region"].mean() < 1
    assert step.parts["steer"] > 0
    step.loss.backward()
    assert all(p.grad is not None for p in distiller.student.model.get_submodule("stem").parameters())


def test_a_loss_that_asks_for_a_mask_gets_the_one_that_the_term_names() -> None:
    batch = replace(make_batch(views=(RGB_VIEW, SQUARE)), masked=torch.zeros(6, dtype=torch.bool))

    projector = Conv1x1()
    distiller = make(Term(MaskedFeature(), "rgb.deep", "thermal.deep", projector, mask="thermal.region"))
    distiller.student.train(False)
    readings = distiller.read(batch)
    expected = MaskedFeature()(projector(readings["rgb.deep"]), readings["thermal.deep"], readings["thermal.region"])
    assert distiller(batch).parts["steer"] == expected.detach()
    plain = make(Term(MaskedFeature(), "rgb.deep", "thermal.deep", Conv1x1()))
    assert not plain(batch).parts["steer"].any(), "without it, rows without masks have no part"
    blind = replace(batch, present={**batch.present, "thermal": torch.zeros(6, dtype=torch.bool)})
    assert not distiller(blind).parts["steer"].any()


def test_bad_requests() -> None:
    with pytest.raises(ValueError, match=r"share of the range of attention, between 0 and 1, got 1\.5"):
        AttentionMask(1.5)
    with pytest.raises(ValueError, match=r"AttentionMask reads attention \(C, H, W\), got \(5,\)"):
        AttentionMask().bind((5,), (3,))
    with pytest.raises(ValueError, match=r"FitNet.forward takes no mask beside .*'student', 'teacher'.*mask='thermal\.region'"):
        Term(FitNet(), "rgb.deep", "thermal.deep", mask="thermal.region")
    with pytest.raises(KeyError, match="no tap 'regio'"):
        make(Term(MaskedFeature(), "rgb.deep", "thermal.deep", Conv1x1(), mask="thermal.regio"))


def test_what_is_broken_stays_broken() -> None:
    attention = torch.rand(2, 3, 4, 4)
    attention[1, 0, 2, 2] = torch.nan
    mask = AttentionMask()(attention)
    assert mask[0].isfinite().all()
    assert mask[1].isnan().all()
