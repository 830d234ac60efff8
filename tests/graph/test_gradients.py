"""Each term's share of the gradient, against a backward pass of its own, and without a trace."""

from __future__ import annotations

import pytest
import torch
from core_models import TASK, make_batch, rgb_branch, state, thermal_branch

from xkd.graph.distiller import Distiller
from xkd.graph.gradients import gradient_shares
from xkd.graph.schedules import StopAt
from xkd.graph.term import Term
from xkd.losses import AT, KD, CrossEntropy, FitNet
from xkd.projectors import Conv1x1
from xkd.taps import Tap

TAPS = {"mid": Tap("stem")}


@pytest.fixture
def distiller() -> Distiller:
    torch.manual_seed(0)
    terms = {
        "ce": Term(CrossEntropy(), "rgb.output", "batch.target"),
        "kd": Term(KD(), "rgb.output", "thermal.output", weight=2.0),
        "mid": Term(FitNet(), "rgb.mid", "thermal.mid", projector=Conv1x1(norm=True), weight=0.5),
        "stopped": Term(AT(), "rgb.mid", "thermal.mid", weight=StopAt(1.0, 0)),
    }
    made = Distiller({"rgb": rgb_branch(TAPS), "thermal": thermal_branch(TAPS, frozen=True)}, terms, "rgb", TASK)
    made.bind()
    return made


def test_they_are_the_norms_at_the_last_layer_that_all_reach(distiller: Distiller) -> None:
    distiller.student.model.drop = torch.nn.Identity()
    batch, norms = make_batch(6), {}
    gradients = gradient_shares(distiller, batch)
    assert gradients.at == "stem.0.weight", "the feature term reaches no further"
    assert gradients.shares["stopped"] == 0
    assert str(gradients).startswith("gradient at stem.0.weight: ce ")
    for name in distiller.terms:
        distiller.zero_grad()
        kept = {other: term.weight for other, term in distiller.terms.items()}
        for other, term in distiller.terms.items():
            term.weight = kept[name] if other == name else 0.0
        distiller(batch).loss.backward()
        for other, term in distiller.terms.items():
            term.weight = kept[other]
        norms[name] = distiller.student.model.stem[0].weight.grad.norm().item()
    assert gradients.shares == pytest.approx({name: norm / sum(norms.values()) for name, norm in norms.items()}, rel=1e-4)


def test_it_leaves_no_trace(distiller: Distiller) -> None:
    before, random = state(distiller), torch.get_rng_state()
    gradient_shares(distiller, make_batch(6))
    assert all(torch.equal(value, before[name]) for name, value in distiller.state_dict().items())
    assert torch.equal(random, torch.get_rng_state())
    assert all(p.grad is None for p in distiller.parameters())
    assert distiller.training


def test_a_batch_that_no_term_reaches_is_no_error(distiller: Distiller) -> None:
    batch = make_batch(6, labelled=torch.zeros(6, dtype=torch.bool))
    batch.present["thermal"][:] = False
    distiller(batch).loss.backward()
    assert set(gradient_shares(distiller, batch).shares.values()) == {0.0}


def test_a_term_that_is_drowned_is_named(distiller: Distiller) -> None:
    assert gradient_shares(distiller, make_batch(6)).drowned() == []
    distiller.terms["mid"].weight = 1e4
    assert gradient_shares(distiller, make_batch(6)).drowned() == ["ce", "kd"]


def test_a_student_that_learns_its_biases_alone(distiller: Distiller) -> None:
    for parameter in distiller.student.model.parameters():
        parameter.requires_grad_(parameter.ndim == 1)
    gradients = gradient_shares(distiller, make_batch(6))
    assert sum(gradients.shares.values()) == pytest.approx(1)
    assert gradients.at.endswith("bias")
