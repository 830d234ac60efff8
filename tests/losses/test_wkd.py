from __future__ import annotations

import pytest
import torch
from agreement import assert_agree
from core_models import changed, make_batch, state, unchecked
from torch import Tensor
from trained import distiller_with, value_of_a_step

from xkd.graph.term import Term
from xkd.losses import WKD

CLASSES, WIDTH = 5, 4


def made(**options: float) -> WKD:
    loss = WKD(**options)
    loss.bind((CLASSES,), ((CLASSES,), (WIDTH,)))
    return loss.double()


def batch(rows: int = 6) -> tuple[Tensor, tuple[Tensor, Tensor], Tensor]:
    student = torch.randn(rows, CLASSES, dtype=torch.float64, requires_grad=True)
    teacher = 3 * torch.randn(rows, CLASSES, dtype=torch.float64), torch.randn(rows, WIDTH, dtype=torch.float64)
    return student, teacher, torch.arange(rows) % CLASSES


def costs(features: Tensor, target: Tensor) -> Tensor:
    """From all rows at once, one pair of classes at a time."""
    seen = [k for k in range(CLASSES) if (target == k).any()]
    means = {k: features[target == k].mean(0) for k in seen}
    middle = torch.stack([means[k] for k in seen]).mean(0)
    cost = torch.zeros(CLASSES, CLASSES, dtype=torch.float64)
    for i in range(CLASSES):
        for j in range(CLASSES):
            cosine = (
                torch.cosine_similarity(means[i] - middle, means[j] - middle, dim=0)
                if i in seen and j in seen
                else torch.zeros(()).double()
            )
            cost[i, j] = 0 if i == j else 1 - (cosine - 1).exp()
    return cost


def literal(student: Tensor, logits: Tensor, target: Tensor, cost: Tensor) -> Tensor:
    """The authors' function, one row at a time and without the label's row and column of the cost."""
    total = torch.zeros((), dtype=torch.float64)
    for row, y in enumerate(target.tolist()):
        others = [k for k in range(CLASSES) if k != y]
        own = cost[others][:, others]
        p_student, p_teacher = (student[row, others] / 2).softmax(0), (logits[row, others] / 2).softmax(0)
        kernel, u = (-own / 0.05).exp(), torch.full((len(others),), 1 / len(others), dtype=torch.float64)
        for _ in range(10):
            v = p_teacher / (kernel.T @ u + 1e-8)
            u = p_student / (kernel @ v + 1e-8)
        flow = u[:, None] * kernel * v[None, :]
        total = total - logits[row].softmax(0)[y] * student[row].log_softmax(0)[y] + 10 * (flow * own).sum()
    return total / len(target)


def test_the_formula_with_the_means_of_all_rows_so_far() -> None:
    loss, seen = made(), []
    for rows in (6, 3, 8):
        student, (logits, features), target = batch(rows)
        seen.append((features, target))
        cost = costs(*[torch.cat(part) for part in zip(*seen, strict=True)])
        assert_agree(loss(student, (logits, features), target), literal(student, logits, target, cost), student)


def test_a_class_that_was_not_seen_is_unlike_all_others() -> None:
    student, (logits, features), _ = batch()
    target = torch.tensor([0, 1, 2, 0, 1, 2])
    assert_agree(made()(student, (logits, features), target), literal(student, logits, target, costs(features, target)), student)


def test_a_mistake_for_an_alike_class_costs_less() -> None:
    loss = made(reg=0.02, iterations=50).eval()
    # classes 1 and 2 are alike, 3 is not; 0 is the label
    loss.means.copy_(torch.tensor([[0.0, 0, 0, 9], [5, 0, 0, 0], [5, 0.5, 0, 0], [0, 0, 5, 0], [-5, 0, 0, 0]]).double())
    loss.counts.fill_(1)
    logits = torch.tensor([[0.0, 20, 0, 0, 0]]).double()
    values = [loss(torch.eye(5).double()[[k]] * 20, (logits, torch.zeros(1, 4).double()), torch.tensor([0])).item() for k in (1, 2, 3)]
    assert values[0] < values[1] < 0.3 * values[2]


def test_unlabelled_rows_count_for_nothing() -> None:
    student, (logits, features), target = batch()
    alone, whole = made(), made()
    target[2] = target[5] = -1
    rows = target >= 0
    expected = alone(student[rows], (logits[rows], features[rows]), target[rows])
    assert_agree(whole(student, (logits, features), target), expected, student)
    torch.testing.assert_close(whole.means, alone.means)


def test_probabilities_as_targets_and_maps_as_features() -> None:
    student, (logits, features), target = batch()
    maps = features[:, :, None, None] + torch.tensor([[1.0, -1.0], [2.0, -2.0]]).double()
    mixed = 0.7 * torch.eye(CLASSES).double()[target] + 0.3 / CLASSES
    mixed = mixed / mixed.sum(1, keepdim=True)
    assert_agree(made()(student, (logits, maps), mixed), made()(student, (logits, features), target), student)


@pytest.mark.parametrize("how", ["eval", "no_grad", "nan"])
def test_nothing_is_remembered_outside_of_training_or_of_a_broken_step(how: str) -> None:
    loss = made()
    loss(*batch())
    before = state(loss)
    loss.train(how != "eval")
    student, (logits, features), target = batch()
    with torch.set_grad_enabled(how != "no_grad"):
        loss(student, (logits, features * torch.nan if how == "nan" else features), target)
    assert changed(loss, before) == []


def test_a_step_of_a_distiller_and_its_memory() -> None:
    distiller = distiller_with(Term(WKD(), "rgb.output", ("thermal.output", "thermal.deep")))
    loss = distiller.terms["it"].loss
    assert loss.means.shape == (3, 20)
    assert not loss.counts.any(), "the dry run leaves its memory alone"
    assert value_of_a_step(distiller) > 0
    assert loss.counts.tolist() == [2, 1, 2]
    again = distiller_with(Term(WKD(), "rgb.output", ("thermal.output", "thermal.deep")))
    again.load_state_dict(distiller.state_dict())
    assert torch.equal(again.terms["it"].loss.means, loss.means)
    assert torch.isfinite(again(make_batch(3)).loss)


def test_what_cannot_be_compared_is_named() -> None:
    student, (logits, features), target = batch()
    with unchecked():
        with pytest.raises(ValueError, match=r"WKD reads the teacher's logits \(K,\) and features .* got \[\(5,\)\]; give the term"):
            made()(student, logits, target)
        with pytest.raises(ValueError, match=r"WKD compares equal numbers of rows, got \(5, 4\) and \(6, 5\)"):
            made()(student, (logits, features[1:]), target)
        with pytest.raises(ValueError, match="WKD needs at least 3 classes"):
            made()(student[:, :2], (logits[:, :2], features), target % 2)
        with pytest.raises(ValueError, match="WKD has no class means yet: call bind"):
            WKD()(student, (logits, features), target)
    for wrong in ({"gamma": 0.0}, {"tau": -1.0}, {"iterations": 0}):
        with pytest.raises(ValueError, match="gamma, tau, sharpen, reg and iterations must be positive, got"):
            WKD(**wrong)
