"""Branches with one set of weights: tied in every copy, learned from both, and refused where they cannot be one network."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from core_models import CNN, RGB, RGB_VIEW, TASK, changed, make_batch, rgb_branch, state, thermal_branch
from torch import nn

from xkd.batch import View
from xkd.graph.branch import Branch
from xkd.graph.distiller import Distiller
from xkd.graph.shared import own_parameters, shared_keys
from xkd.graph.term import Term
from xkd.graph.weights import EMA, Random, Shared
from xkd.losses import CrossEntropy

SMALL = View("small", RGB, (8, 8))


def pair(source: Branch | None = None, **options: Any) -> Distiller:
    """Two branches of one network at two sizes, each with labels."""
    given: dict[str, Any] = {"weights": Shared("rgb"), **options}
    branches = {"small": Branch(CNN(3), SMALL, **given), "rgb": source or rgb_branch(), "peer": rgb_branch()}
    learning = [name for name in branches if name == "peer" or not branches["rgb"].frozen]
    terms = {name: Term(CrossEntropy(), f"{name}.output", "batch.target") for name in learning}
    return Distiller(branches, terms, "peer", TASK)


def gradient(distiller: Distiller, *terms: str) -> torch.Tensor:
    distiller.zero_grad()
    parts = distiller.double().eval()(make_batch(views=(RGB_VIEW, SMALL))).parts
    readings = distiller.read(make_batch(views=(RGB_VIEW, SMALL)))
    assert set(terms) <= set(parts)
    torch.stack([distiller.part(name, readings, make_batch()) for name in terms]).sum().backward()
    found = distiller.branches["rgb"].model.fc.weight.grad
    assert found is not None
    return found.clone()


def test_gradients_of_both_branches_add_up_in_one_parameter() -> None:
    distiller = pair()
    one, other = gradient(distiller, "rgb"), gradient(distiller, "small")
    assert one.abs().sum() > 0
    assert other.abs().sum() > 0
    torch.testing.assert_close(gradient(distiller, "rgb", "small"), one + other, rtol=1e-12, atol=0.0)
    names = [name for name, _ in distiller.named_parameters() if "rgb" in name or "small" in name]
    assert len(names) == len(list(distiller.branches["rgb"].parameters()))  # an optimiser is given each of them once


@pytest.mark.parametrize("norms", ["shared", "own"])
def test_networks_stay_one_in_another_type_and_in_a_copy(norms: Any) -> None:
    for distiller in (pair(weights=Shared("rgb", norms)).double(), copy.deepcopy(pair(weights=Shared("rgb", norms)))):
        small, rgb = distiller.branches["small"].model, distiller.branches["rgb"].model
        before, tied = (state(small), state(rgb)), {key.split(".", 3)[3] for key in shared_keys(dict(distiller.branches.items()))}
        with torch.no_grad():
            for tensor in rgb.state_dict().values():
                tensor.add_(1)
        assert set(changed(small, before[0])) == tied
        assert set(changed(rgb, before[1])) == set(before[1])
        left = {key for key in before[1] if norms == "own" and (".1." in key)}  # the batch norms
        assert tied == set(before[1]) - left


def test_own_norm_layers_begin_alike_and_learn_for_themselves() -> None:
    distiller = pair(weights=Shared("rgb", "own"))
    small, rgb = distiller.branches["small"].model, distiller.branches["rgb"].model
    assert changed(small, state(rgb)) == []
    optimiser = torch.optim.SGD(distiller.parameters(), 0.1)
    distiller(make_batch(views=(RGB_VIEW, SMALL))).loss.backward()
    optimiser.step()
    apart = changed(small, state(rgb))
    assert {"stem.1.weight", "stem.1.running_mean", "deep.1.running_var"} <= set(apart)
    assert all(".1." in key for key in apart)
    assert own_parameters(distiller.branches["small"], rgb) == 2 * (10 + 12)


def test_weights_of_a_frozen_branch_are_frozen_and_normalise_as_it_does() -> None:
    frozen = rgb_branch(weights=Random(frozen=True), frozen=True)
    frozen.mean.fill_(7.0)
    distiller = pair(frozen)
    distiller.bind()
    small = distiller.branches["small"]
    assert (small.frozen, small.train().model.training, any(p.requires_grad for p in small.parameters())) == (True, False, False)
    assert small.mean.flatten().tolist() == [7.0] * 3
    assert distiller.stands_alone("small")
    assert not pair(rgb_branch(weights=EMA("peer"))).stands_alone("small")  # what it shares moves


WIDER = Branch(CNN(3, num_classes=5), RGB_VIEW, Random())


@pytest.mark.parametrize(
    ("source", "options", "error"),
    [
        (None, {"weights": Shared("rbg")}, r"branch 'small' shares the weights of 'rbg'; it can share those of \['rgb', 'peer'\]"),
        (None, {"weights": Shared("small")}, r"shares the weights of 'small'; it can share those of \['rgb', 'peer'\]"),
        (rgb_branch(weights=Shared("small")), {}, r"'rgb', which has those of 'small' itself: name the branch that brings them, one of"),
        (WIDER, {}, r"whose network is another: 'fc.weight' is \(3, 12\) here and \(5, 12\) there; both need the same"),
        (thermal_branch(), {}, r"'stem.0.weight' is \(10, 3, 3, 3\) here and \(10, 1, 3, 3\) there"),
        (None, {"frozen": True}, r"'small' is frozen and shares the weights of 'rgb', which learns: leave out frozen=True; .* EMA\(of='"),
        (
            rgb_branch(weights=Random(frozen=True), frozen=True),
            {"weights": Shared("rgb", "own")},
            r"'rgb', which is frozen: its own norm layers would never learn",
        ),
    ],
)
def test_what_cannot_be_one_network_is_refused(source: Branch | None, options: dict[str, Any], error: str) -> None:
    with pytest.raises((KeyError, ValueError), match=error):
        pair(source, **options)


def test_a_network_without_norm_layers_has_none_of_its_own() -> None:
    def branch(weights: Any) -> Branch:
        return Branch(nn.Sequential(nn.Flatten(), nn.Linear(192, 3)), SMALL, weights)

    terms = {"ce": Term(CrossEntropy(), "one.output", "batch.target")}
    with pytest.raises(ValueError, match=r"branch 'two' asks for norm layers of its own, and its Sequential has none: leave out norms="):
        Distiller({"one": branch(Random()), "two": branch(Shared("one", "own"))}, terms, "one", TASK)
    with pytest.raises(ValueError, match="norms is 'shared' or 'own', got 'mine'"):
        Shared("one", "mine")
