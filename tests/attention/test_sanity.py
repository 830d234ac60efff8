"""Maps of a network that has forgotten everything, and how alike two maps are."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from scipy.stats import spearmanr

from xkd.attention import NUM_DRAWS, attention_map, randomised, rank_correlation, unlearned_correlation
from xkd.graph.branch import Branch
from xkd.taps import Tap
from xkd.tasks import Classification


def test_rank_correlation_is_spearmans() -> None:
    torch.manual_seed(0)
    one, other = torch.rand(3, 1, 4, 5), torch.rand(3, 1, 4, 5)
    other[2] = 1.0
    correlation = rank_correlation(one, other)
    for row in range(2):
        assert correlation[row].item() == pytest.approx(spearmanr(one[row].flatten(), other[row].flatten()).statistic, abs=1e-5)
    assert correlation[2].isnan(), "a flat map has no ranks"
    assert rank_correlation(one[:1], one[:1].exp()).tolist() == pytest.approx([1.0])
    assert rank_correlation(other[2:], one[2:]).isnan().all()


@pytest.mark.parametrize("kind", ["cnn", "vit"])
def test_weights_are_forgotten_and_the_network_itself_is_left_alone(
    kind: str, request: pytest.FixtureRequest, task: Classification
) -> None:
    make: Callable[..., Branch] = request.getfixturevalue(kind)
    path = "stage:1" if kind == "cnn" else "blocks.1"
    branch = make({"look": Tap(path, kind="attention")})
    before = {key: value.clone() for key, value in branch.state_dict().items()}
    hooks = sum(len(module._forward_hooks) for module in branch.modules())
    other = randomised(branch)
    images = 255 * torch.rand(2, 3, *branch.view.size)
    first, second = (attention_map(of, images, task, "tap:look") for of in (branch, other))
    assert (rank_correlation(first, second) < 0.999).all()
    assert all(torch.equal(value, before[key]) for key, value in branch.state_dict().items())
    assert sum(len(module._forward_hooks) for module in branch.modules()) == hooks
    weights = [key for key, value in branch.model.state_dict().items() if value.ndim > 1 and value.std() > 0]
    same = [key for key in weights if torch.equal(before[f"model.{key}"], other.model.state_dict()[key])]
    assert not same
    assert torch.equal(attention_map(randomised(branch), images, task, "tap:look"), second), "the same every time"


def test_a_flat_map_of_random_weights_is_drawn_anew(cnn: Callable[..., Branch], task: Classification) -> None:
    branch = cnn({"look": Tap("stage:1", kind="attention")})
    images = 255 * torch.rand(2, 3, *branch.view.size)
    maps = attention_map(branch, images, task, "tap:look")
    seeds: list[int] = []

    def unlearned(seed: int, dead: int) -> Branch:
        seeds.append(seed)
        network = randomised(branch, seed)
        if seed < dead:
            for parameter in network.model.parameters():
                parameter.data.zero_()
        return network

    correlation = unlearned_correlation(lambda seed: unlearned(seed, 2), images, task, "tap:look", maps)
    assert seeds == [0, 1, 2]
    assert torch.equal(correlation, rank_correlation(maps, attention_map(randomised(branch, 2), images, task, "tap:look")))
    seeds.clear()
    assert unlearned_correlation(lambda seed: unlearned(seed, 99), images, task, "tap:look", maps).isnan().all()
    assert seeds == list(range(NUM_DRAWS))
    seeds.clear()
    assert unlearned_correlation(lambda seed: unlearned(seed, 0), images, task, "tap:look", torch.ones_like(maps)).isnan().all()
    assert not seeds, "a flat map of the network's own needs no other"
