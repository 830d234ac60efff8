from __future__ import annotations

from pathlib import Path

import pytest
import torch
from agreement import assert_agree
from core_models import TASK, changed, make_batch, rgb_branch, state, thermal_branch, unchecked
from torch import Tensor
from torch.nn import functional as F
from torchdistill.losses.mid_level import CRDLoss

from xkd.graph.distiller import Distiller
from xkd.graph.term import Term
from xkd.losses import CRD, CrossEntropy
from xkd.projectors import Conv1x1
from xkd.taps import Tap

ROWS, NEGATIVES, TAU, DIM = 16, 6, 0.0625, 4  # torchdistill keeps its temperature in single precision, which holds this one exactly


def made(num_rows: int = ROWS, num_negatives: int = NEGATIVES) -> CRD:
    loss = CRD(num_rows, num_negatives, TAU, dim=DIM)
    loss.bind((5,), (7,))
    return loss.double()


def batch(rows: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    student, teacher = torch.randn(rows, 5, dtype=torch.float64, requires_grad=True), torch.randn(rows, 7, dtype=torch.float64)
    return student, teacher, torch.randperm(ROWS)[:rows]


def drawn(loss: CRD, index: Tensor, seed: int) -> Tensor:
    """The numbers that the loss draws after this seed, the positive first."""
    torch.manual_seed(seed)
    negatives = torch.randint(loss.num_rows, (len(index), loss.num_negatives))
    torch.manual_seed(seed)
    return torch.cat([index[:, None], negatives], dim=1)


def embedded(loss: CRD, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    return F.normalize(loss.student_head(student)), F.normalize(loss.teacher_head(teacher))


def literal(loss: CRD, student: Tensor, teacher: Tensor, rows: Tensor) -> Tensor:
    """Both anchors, one row and one draw at a time; Z from this batch where the loss has none."""
    total = torch.zeros((), dtype=torch.float64)
    banks = (loss.teacher_bank.clone(), loss.student_bank.clone())  # the loss changes its own
    anchors = zip(embedded(loss, student, teacher), banks, loss.partition.tolist(), strict=True)
    for anchor, bank, known in anchors:
        scores = [[((anchor[b] * bank[n]).sum() / loss.tau).exp() for n in rows[b]] for b in range(len(rows))]
        z = known if known > 0 else sum(score.item() for row in scores for score in row) / rows.numel() * len(bank)
        noise = loss.num_negatives / len(bank)
        for row in scores:
            positive, *negatives = [score / z for score in row]
            total = total - (positive / (positive + noise + 1e-7)).log()
            for negative in negatives:
                total = total - (noise / (negative + noise + 1e-7)).log()
    return total / len(rows)


@pytest.mark.parametrize("num_negatives", [6, 40], ids=["fewer than rows", "more than rows"])
def test_the_formula_in_the_first_batch_and_in_the_next(num_negatives: int) -> None:
    loss = made(num_negatives=num_negatives)
    for number in range(2):
        student, teacher, index = batch()
        rows = drawn(loss, index, number)
        expected = literal(loss, student, teacher, rows)
        assert_agree(loss(student, teacher, index), expected, student, *loss.parameters())


def test_value_gradient_and_memory_equal_torchdistill() -> None:
    """It is given our embeddings, banks and draws: its own drawing does not run."""
    loss = made()
    oracle = CRDLoss("norm", "empty", "norm", DIM, ROWS, NEGATIVES, ROWS, TAU, 0.5).double()
    oracle.memory_v1.copy_(loss.student_bank)
    oracle.memory_v2.copy_(loss.teacher_bank)
    for number in range(3):
        student, teacher, index = batch()
        rows = drawn(loss, index, number)
        of_student, of_teacher = embedded(loss, student, teacher)
        given = {"norm": {"output": of_student}, "empty": {"input": {"pos_idx": index, "contrast_idx": rows}}}
        theirs = oracle(given, {"norm": {"output": of_teacher}}).squeeze()
        assert_agree(loss(student, teacher, index), theirs, student, *loss.parameters())
        torch.testing.assert_close(loss.student_bank, oracle.memory_v1, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(loss.teacher_bank, oracle.memory_v2, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(loss.partition, oracle.params[2:4], rtol=1e-9, atol=0)


@pytest.mark.parametrize("num_negatives", [6, 40])
def test_its_gradient_is_that_of_its_value_once_z_is_known(num_negatives: int) -> None:
    loss = made(num_negatives=num_negatives)
    student, teacher, index = batch()
    loss(student, teacher, index)
    loss.eval()

    def value(given: Tensor) -> Tensor:
        torch.manual_seed(1)
        result: Tensor = loss(given, teacher, index)
        return result

    assert torch.autograd.gradcheck(value, student)


def test_it_remembers_the_rows_it_was_given_and_z_of_the_first_batch() -> None:
    loss = made()
    student, teacher, index = batch()
    before = state(loss)
    loss(student, teacher, index)
    others = [row for row in range(ROWS) if row not in index]
    for bank, embedding in (("student_bank", embedded(loss, student, teacher)[0]), ("teacher_bank", embedded(loss, student, teacher)[1])):
        torch.testing.assert_close(loss.get_buffer(bank)[index], F.normalize(0.5 * before[bank][index] + 0.5 * embedding.detach()))
        assert torch.equal(loss.get_buffer(bank)[others], before[bank][others])
    first = loss.partition.clone()
    assert (first > 0).all()
    loss(*batch())
    assert torch.equal(loss.partition, first)


@pytest.mark.parametrize("how", ["eval", "no_grad"])
def test_nothing_is_remembered_outside_of_training(how: str) -> None:
    loss = made()
    before = state(loss)
    loss.train(how != "eval")
    with torch.set_grad_enabled(how != "no_grad"):
        assert torch.isfinite(loss(*batch()))
    assert changed(loss, before) == []


def test_a_row_that_comes_twice_leaves_one_of_its_embeddings() -> None:
    loss = made()
    student, teacher, _ = batch(2)
    before = loss.student_bank.clone()
    embedding = embedded(loss, student, teacher)[0].detach()
    loss(student, teacher, torch.tensor([3, 3]))
    candidates = [F.normalize(0.5 * before[3] + 0.5 * one, dim=0) for one in embedding]
    assert any(torch.allclose(loss.student_bank[3], candidate) for candidate in candidates)


def test_maps_are_averaged_over_positions() -> None:
    loss = CRD(ROWS, NEGATIVES, dim=DIM)
    loss.bind((5, 3, 3), (7,))
    loss.eval()
    student, teacher, index = torch.randn(4, 5, 3, 3), torch.randn(4, 7), torch.arange(4)
    values = []
    for reading in (student, student.mean((2, 3))):
        torch.manual_seed(0)
        values.append(loss(reading, teacher, index).item())
    assert values[0] == pytest.approx(values[1], rel=1e-5)


def test_training_pairs_brings_them_together() -> None:
    torch.manual_seed(0)
    views = torch.randn(ROWS, 5)
    other = views @ torch.randn(5, 7)
    loss = CRD(ROWS, 8, dim=DIM)
    loss.bind((5,), (7,))
    optimizer = torch.optim.Adam(loss.parameters(), 0.05)

    def closeness() -> float:
        """How much nearer a row's two embeddings are to each other than to those of other rows."""
        cosines = F.normalize(loss.student_head(views)) @ F.normalize(loss.teacher_head(other)).T
        return (cosines.diag().mean() - cosines.mean()).item()

    before = closeness()
    for _ in range(60):
        optimizer.zero_grad()
        loss(views, other, torch.arange(ROWS)).backward()
        optimizer.step()
    assert closeness() > before + 0.5


class TestInADistiller:
    @staticmethod
    def distiller(num_rows: int = 8, **options: Conv1x1) -> Distiller:
        taps = {"deep": Tap("deep")}
        terms = {
            "ce": Term(CrossEntropy(), "rgb.output", "batch.target"),
            "crd": Term(CRD(num_rows, 5, dim=DIM), "rgb.deep", "thermal.deep", **options),
        }
        return Distiller({"rgb": rgb_branch(taps), "thermal": thermal_branch(taps, frozen=True)}, terms, "rgb", TASK)

    def test_the_dry_run_makes_its_embeddings_and_leaves_its_memory_alone(self) -> None:
        distiller = self.distiller()
        before = state(distiller)
        distiller.bind()
        assert [key for key in before if not torch.equal(distiller.state_dict()[key], before[key])] == []
        loss = distiller.terms["crd"].loss
        assert loss.training
        assert {name: tuple(parameter.shape) for name, parameter in loss.named_parameters()} == {
            "student_head.layers.0.weight": (DIM, 12),
            "student_head.layers.0.bias": (DIM,),
            "teacher_head.layers.0.weight": (DIM, 20),
            "teacher_head.layers.0.bias": (DIM,),
        }

    def test_after_a_projector_it_is_sized_by_what_the_projector_gives(self) -> None:
        distiller = self.distiller(projector=Conv1x1())
        distiller.bind()
        assert distiller.terms["crd"].loss.student_head.layers[0].weight.shape == (DIM, 20)
        assert torch.isfinite(distiller(make_batch(6)).loss)

    def test_a_step_reaches_its_embeddings_and_its_memory(self) -> None:
        distiller = self.distiller()
        distiller.bind()
        before = state(distiller.terms["crd"])
        data = make_batch(6)
        data.present["thermal"][2] = False
        distiller(data).loss.backward()
        assert all(parameter.grad.abs().max() > 0 for parameter in distiller.terms["crd"].parameters())
        assert changed(distiller.terms["crd"], before) == ["loss.student_bank", "loss.teacher_bank", "loss.partition"]
        moved = (distiller.terms["crd"].loss.student_bank != before["loss.student_bank"]).any(1)
        assert moved.tolist() == [True, True, False, True, True, True, False, False]

    def test_without_a_row_it_stays_in_the_graph_and_remembers_nothing(self) -> None:
        distiller = self.distiller()
        distiller.bind()
        before = state(distiller.terms["crd"])
        data = make_batch(4)
        data.present["thermal"][:] = False
        step = distiller(data)
        step.loss.backward()
        assert step.parts["crd"].item() == 0
        assert all(parameter.grad is not None and not parameter.grad.any() for parameter in distiller.terms["crd"].parameters())
        assert changed(distiller.terms["crd"], before) == []

    def test_a_weights_only_checkpoint_holds_all_that_the_next_step_needs(self, tmp_path: Path) -> None:
        first = self.distiller()
        first.bind()
        first(make_batch(6)).loss.backward()
        torch.save(first.state_dict(), tmp_path / "last.pth")
        second = self.distiller()
        second.bind()
        second.load_state_dict(torch.load(tmp_path / "last.pth", weights_only=True))
        values = []
        for distiller in (first, second):
            torch.manual_seed(5)
            values.append(distiller(make_batch(6, seed=1)).parts["crd"].item())
        assert values[0] == values[1]
        assert changed(second, state(first)) == []

    def test_too_few_rows_are_named_by_the_dry_run(self) -> None:
        with pytest.raises(
            ValueError, match=r"term 'crd' cannot compare rgb.deep .* and thermal.deep .*: CRD remembers rows 0 to 0, got row 1"
        ):
            self.distiller(num_rows=1).bind()


@pytest.mark.parametrize("row", [ROWS, -1])
def test_a_row_beyond_the_bank_is_named(row: int) -> None:
    loss = made()
    student, teacher, _ = batch(2)
    with pytest.raises(ValueError, match=rf"CRD remembers rows 0 to 15, got row {row}: num_rows is wrong"):
        loss(student, teacher, torch.tensor([0, row]))


def test_it_must_be_bound() -> None:
    with pytest.raises(ValueError, match=r"CRD has no embeddings yet: call bind\(student_shape, teacher_shape\), or Distiller.bind\(\)"):
        CRD(4)(torch.randn(2, 128), torch.randn(2, 128), torch.arange(2))


def test_unlike_numbers_of_rows() -> None:
    with unchecked(), pytest.raises(ValueError, match=r"CRD compares equal numbers of rows, got \(2, 5\) and \(1, 7\)"):
        made()(torch.randn(2, 5), torch.randn(1, 7), torch.arange(2))


@pytest.mark.parametrize("wrong", [{"num_rows": 0}, {"num_rows": 4, "num_negatives": 0}, {"num_rows": 4, "dim": 0}])
def test_counts_start_at_one(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="num_rows, num_negatives and dim must be at least 1, got"):
        CRD(**wrong)


@pytest.mark.parametrize("wrong", [{"tau": 0.0}, {"momentum": 1.0}, {"momentum": -0.1}])
def test_tau_and_momentum_are_in_their_ranges(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"tau must be positive and momentum in 0..1 \(without 1\), got"):
        CRD(4, **wrong)
