from __future__ import annotations

import pytest
import torch
from agreement import assert_agree
from core_models import changed, state, unchecked
from torch import Tensor
from torch.nn import functional as F
from trained import distiller_with, value_of_a_step

from xkd.graph.term import Term
from xkd.losses import HKD

ROWS, NEGATIVES, DIM = 16, 6, 4
SHAPES = ((5,), (3,)), ((7,), (3,))

Batch = tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], Tensor]


def made(neighbours: int = 3, num_negatives: int = NEGATIVES) -> HKD:
    loss = HKD(ROWS, neighbours, num_negatives=num_negatives, dim=DIM)
    loss.bind(*SHAPES)
    return loss.double()


def batch(rows: int = 5) -> Batch:
    (s, k), (t, m) = ((features, logits) for (features,), (logits,) in SHAPES)
    student = torch.randn(rows, s, dtype=torch.float64, requires_grad=True), torch.randn(rows, k, dtype=torch.float64)
    teacher = torch.randn(rows, t, dtype=torch.float64), torch.randn(rows, m, dtype=torch.float64)
    return student, teacher, torch.randperm(ROWS)[:rows]


def unit(vector: Tensor) -> Tensor:
    return vector / (vector**2).sum().sqrt()


def joined(own: list[Tensor], logits: Tensor, graph: torch.nn.Linear, neighbours: int) -> list[Tensor]:
    """TAGConv of one hop: with the symmetric norm 1 / sqrt(degree) on both ends, all degrees being the number of neighbours."""
    chances = logits.softmax(1)
    result = []
    for row in range(len(own)):
        cosines = [torch.cosine_similarity(chances[row], other, dim=0).item() for other in chances]
        order = sorted(range(len(own)), key=lambda other: -2.0 if other == row else -cosines[other])
        nearest = order[:neighbours]
        hop = sum(own[other] * len(nearest) ** -0.5 for other in nearest) * len(nearest) ** -0.5
        result.append(unit(graph(torch.cat([own[row], hop]))))
    return result


def literal(loss: HKD, student: tuple[Tensor, Tensor], teacher: tuple[Tensor, Tensor], index: Tensor, negatives: Tensor) -> Tensor:
    """One row at a time: the paper's two levels, from both sides."""
    own = [[unit(vector) for vector in head(of)] for head, (of, _) in ((loss.student_head, student), (loss.teacher_head, teacher))]
    whole = [
        joined(of, logits, graph, loss.neighbours)
        for of, logits, graph in zip(own, (student[1], teacher[1]), (loss.student_graph, loss.teacher_graph), strict=True)
    ]
    banks = loss.student_bank.clone(), loss.teacher_bank.clone()
    total = torch.zeros((), dtype=torch.float64)
    for side, other in ((0, 1), (1, 0)):
        for row, number in enumerate(index.tolist()):
            held = banks[other][number]
            smooth = unit(0.75 * held + 0.25 * whole[other][row].detach())
            for anchor, positive in ((own[side][row], held), (whole[side][row], smooth)):
                scores = [(anchor * positive).sum()] + [(anchor * banks[other][n]).sum() for n in negatives[row]]
                total = total - (torch.stack(scores) / 0.07).log_softmax(0)[0] / len(index)
    return total


@pytest.mark.parametrize("num_negatives", [6, 40], ids=["fewer than rows", "more than rows"])
@pytest.mark.parametrize("neighbours", [1, 3, 9], ids=["itself alone", "three", "more than the batch"])
def test_the_formula_in_the_first_batch_and_in_the_next(neighbours: int, num_negatives: int) -> None:
    loss = made(neighbours, num_negatives)
    for seed in range(2):
        student, teacher, index = batch()
        torch.manual_seed(seed)
        negatives = torch.randint(ROWS, (len(index), num_negatives))
        expected = literal(loss, student, teacher, index, negatives)
        torch.manual_seed(seed)
        assert_agree(loss(student, teacher, index), expected, student[0], *loss.parameters())


def test_two_rows_are_joined_by_what_the_network_takes_them_for() -> None:
    """The third row's features are the first's, its class is the second's: with two neighbours it is joined to the second."""
    loss = made(neighbours=2).eval()
    own = F.normalize(torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0.1]]), dim=1).double()
    logits = torch.tensor([[9.0, 0, 0], [0, 9, 0], [0, 8, 0]]).double()
    loss.student_graph.weight.data = torch.cat([torch.zeros(DIM, DIM), torch.eye(DIM)], dim=1).double()
    loss.student_graph.bias.data.zero_()
    result = loss._joined(own, logits, loss.student_graph)
    torch.testing.assert_close(result[1], F.normalize(own[1] + own[2], dim=0))
    torch.testing.assert_close(result[2], result[1])


def test_it_remembers_the_rows_it_was_given() -> None:
    loss = made()
    student, teacher, index = batch()
    before = state(loss)
    own = F.normalize(loss.student_head(student[0])).detach(), F.normalize(loss.teacher_head(teacher[0])).detach()
    loss(student, teacher, index)
    others = [row for row in range(ROWS) if row not in index]
    for bank, embedding in zip(("student_bank", "teacher_bank"), own, strict=True):
        torch.testing.assert_close(loss.get_buffer(bank)[index], F.normalize(0.9 * before[bank][index] + 0.1 * embedding))
        assert torch.equal(loss.get_buffer(bank)[others], before[bank][others])


@pytest.mark.parametrize("how", ["eval", "no_grad"])
def test_nothing_is_remembered_outside_of_training(how: str) -> None:
    loss = made()
    before = state(loss)
    loss.train(how != "eval")
    with torch.set_grad_enabled(how != "no_grad"):
        assert torch.isfinite(loss(*batch()))
    assert changed(loss, before) == []


def test_a_single_row_has_a_finite_value_and_gradient() -> None:
    student, teacher, index = batch(1)
    (gradient,) = torch.autograd.grad(made()(student, teacher, index), student[0])
    assert torch.isfinite(gradient).all()
    assert gradient.abs().max() > 0


class TestInADistiller:
    TERM = ("rgb.deep", "rgb.output"), ("thermal.deep", "thermal.output")

    def test_a_step_reaches_its_layers_and_its_memory(self) -> None:
        distiller = distiller_with(Term(HKD(8, 2, num_negatives=5, dim=DIM), *self.TERM))
        before = state(distiller.terms["it"])
        assert value_of_a_step(distiller) > 0
        assert changed(distiller.terms["it"], before) == ["loss.student_bank", "loss.teacher_bank"]
        moved = (distiller.terms["it"].loss.student_bank != before["loss.student_bank"]).any(1)
        assert moved.tolist() == [True, False, True, True, True, True, False, False]

    def test_gradients_reach_the_students_features_and_not_its_logits_nor_the_teacher(self) -> None:
        loss = made()
        student, teacher, index = batch()
        leaves = [reading.requires_grad_() for reading in (student[1], *teacher)]
        loss(student, tuple(reading.detach() for reading in teacher), index).backward()
        assert student[0].grad.abs().max() > 0
        assert [reading.grad for reading in leaves] == [None, None, None]

    def test_too_few_rows_are_named_by_the_dry_run(self) -> None:
        with pytest.raises(ValueError, match=r"term 'it' cannot compare rgb.deep .*: HKD remembers rows 0 to 0, got row 1"):
            distiller_with(Term(HKD(1, num_negatives=5), *self.TERM))

    def test_a_side_of_one_reading_is_named_by_the_dry_run(self) -> None:
        with pytest.raises(ValueError, match=r"HKD reads features .* and logits \(K,\), on each side, got \[\(12, 4, 4\)\]; give the term"):
            distiller_with(Term(HKD(8), "rgb.deep", "thermal.deep"))


def test_what_cannot_be_compared_is_named() -> None:
    student, teacher, index = batch()
    with unchecked():
        with pytest.raises(ValueError, match=r"HKD reads features \(C,\) or \(C, H, W\), and logits \(K,\), on each side, got \[\(5,\)\]"):
            made()(student[0], teacher[0], index)
        with pytest.raises(ValueError, match=r"HKD reads features .* got \[\(3,\), \(5, 2, 2\)\]"):
            HKD(4).bind(((3,), (5, 2, 2)), ((5,), (3,)))
        with pytest.raises(ValueError, match=r"HKD compares equal numbers of rows, got \(4, 7\) and \(5,\)"):
            made()(student, (teacher[0][1:], teacher[1]), index)
        with pytest.raises(ValueError, match=r"HKD remembers rows 0 to 15, got row 16: num_rows is wrong"):
            made()(student, teacher, index.clone().fill_(16))
        with pytest.raises(
            ValueError, match=r"HKD has no embeddings yet: call bind\(student_shapes, teacher_shapes\), or Distiller.bind\(\)"
        ):
            HKD(16)(student, teacher, index)


@pytest.mark.parametrize("wrong", [{"num_rows": 0}, {"num_rows": 4, "neighbours": 0}, {"num_rows": 4, "num_negatives": 0}])
def test_counts_start_at_one(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="num_rows, neighbours, num_negatives and dim must be at least 1, got"):
        HKD(**wrong)


@pytest.mark.parametrize("wrong", [{"tau": 0.0}, {"momentum": 1.0}, {"momentum": -0.1}])
def test_tau_and_momentum_are_in_their_ranges(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"tau must be positive and momentum in 0..1 \(without 1\), got"):
        HKD(4, **wrong)
