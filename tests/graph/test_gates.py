"""A gate keeps rows out of a term: out of its value, and out of its gradient exactly."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from core_models import TASK, make_batch, rgb_branch, thermal_branch, unchecked
from scipy.stats import kendalltau
from torch import Tensor
from torch.nn import functional as F

from xkd.batch import Batch
from xkd.graph.distiller import Distiller
from xkd.graph.gates import Confident, Dropped, Right, SameOrder
from xkd.graph.reading import Readings
from xkd.graph.term import Term
from xkd.losses import KD, FitNet

VIEWS = {"rgb": "rgb", "thermal": "thermal"}


def readings(batch: Batch, teacher: Tensor) -> Readings:
    torch.manual_seed(0)
    student = {"output": torch.randn(len(batch), 3, requires_grad=True), "mid": torch.randn(len(batch), 5, 4, 4, requires_grad=True)}
    return Readings({"rgb": student, "thermal": {"output": teacher, "mid": torch.randn(len(batch), 5, 4, 4)}}, batch, VIEWS)


def test_only_where_the_teacher_is_right() -> None:
    batch = make_batch(6)  # classes 0 1 2 0 1 2
    batch.labelled[3] = False
    teacher = 5.0 * F.one_hot(torch.tensor([0, 2, 2, 0, 0, 2]), 3).float()
    all_readings = readings(batch, teacher)
    value = Term(FitNet(), "rgb.mid", "thermal.mid", gate=Right("thermal.output"))(all_readings, batch)
    kept = [0, 2, 5]
    assert value.item() == pytest.approx(F.mse_loss(all_readings["rgb.mid"][kept], all_readings["thermal.mid"][kept]).item())
    value.backward()
    gradient = all_readings["rgb.mid"].grad
    assert gradient[kept].abs().amax((1, 2, 3)).min() > 0
    assert not gradient[[1, 3, 4]].any(), "exactly zero"


def test_only_where_the_teacher_is_confident() -> None:
    batch = make_batch(4)
    batch.labelled[:] = False  # it needs no label
    teacher = torch.tensor([[4.0, 0, 0], [1.0, 0, 0], [0, 0, 9.0], [0, 0.1, 0]])
    all_readings = readings(batch, teacher)
    term = Term(KD(), "rgb.output", "thermal.output", gate=Confident("thermal.output", 0.9))
    assert term.opened(all_readings, batch).tolist() == [True, False, True, False]
    term(all_readings, batch).backward()
    assert all_readings["rgb.output"].grad.abs().sum(1).gt(0).tolist() == [True, False, True, False]


def test_a_gate_that_keeps_all_out_leaves_zero_and_the_graph() -> None:
    batch = make_batch(4)
    all_readings = readings(batch, torch.zeros(4, 3))
    value = Term(KD(), "rgb.output", "thermal.output", gate=Confident("thermal.output", 0.9))(all_readings, batch)
    assert value.item() == 0
    value.backward()
    assert not all_readings["rgb.output"].grad.any()


def test_rows_without_the_gates_sensor_are_kept_out() -> None:
    batch = make_batch(4)
    batch.present["thermal"][2] = False
    all_readings = readings(batch, torch.tensor([[9.0, 0, 0]]).expand(4, 3))
    term = Term(FitNet(), "rgb.mid", "rgb.mid", gate=Confident("thermal.output", 0.5))
    assert (term.rows(all_readings, batch) & term.opened(all_readings, batch)).tolist() == [True, True, False, True]


def test_the_dry_run_tries_the_loss_whatever_the_gate_says() -> None:
    branches = {"rgb": rgb_branch(), "thermal": thermal_branch(frozen=True)}
    wrong = Term(FitNet(), "rgb.output", "thermal.output", gate=Confident("thermal.output", 1.0))
    Distiller(branches, {"kd": wrong}, "rgb", TASK).bind()

    class Breaks(FitNet):
        def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
            raise ValueError("no such comparison")

    broken = Term(Breaks(), "rgb.output", "thermal.output", gate=Confident("thermal.output", 1.0))
    with pytest.raises(ValueError, match=r"term 'kd' cannot compare .*no such comparison"):
        Distiller(branches, {"kd": broken}, "rgb", TASK).bind()


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        (Right("thermal.outputt"), r"term 'kd' reads 'thermal.outputt': no tap 'outputt'; thermal has \['output'\]"),
        (Right("lidar.output"), r"term 'kd' reads 'lidar.output': no branch 'lidar'"),
    ],
)
def test_a_gates_reading_is_checked_like_the_others(gate: Any, message: str) -> None:
    branches = {"rgb": rgb_branch(), "thermal": thermal_branch(frozen=True)}
    with pytest.raises(KeyError, match=message):
        Distiller(branches, {"kd": Term(KD(), "rgb.output", "thermal.output", gate=gate)}, "rgb", TASK)


def test_mistakes() -> None:
    with pytest.raises(ValueError, match="threshold is a probability, 0 to 1, got 90"):
        Confident("thermal.output", 90)
    number: Any = 0.5
    with unchecked(), pytest.raises(ValueError, match=r"a gate is Right\('branch.output'\), Confident"):
        Term(KD(), "rgb.output", "thermal.output", gate=number)
    batch = make_batch(2)
    with unchecked(), pytest.raises(ValueError, match=r"Right\('thermal.mid'\) needs logits \(B, K\) of whole images, got \(2, 5, 4, 4\)"):
        Term(KD(), "rgb.output", "thermal.output", gate=Right("thermal.mid"))(readings(batch, torch.zeros(2, 3)), batch)
    with unchecked(), pytest.raises(ValueError, match=r"Right\('a.b'\) needs one class per sample, got targets \(2, 3\)"):
        Right("a.b")(torch.zeros(2, 3), torch.zeros(2, 3))


@pytest.mark.parametrize("gate", [Right("thermal.output"), Confident("thermal.output", 0.9)])
def test_scores_that_are_broken_are_not_kept_out_of_sight(gate: Any) -> None:
    batch = make_batch(4)
    teacher = torch.zeros(4, 3)
    teacher[2] = torch.nan
    term = Term(KD(), "rgb.output", "thermal.output", gate=gate)
    assert term.opened(readings(batch, teacher), batch)[2]
    with pytest.raises(ValueError, match=r"'thermal.output' \(\d, 3\) is not finite: look for bad pixels"):
        term(readings(batch, teacher), batch)


TEACHERS = ("thermal.output", "lidar.output", "ndvi.output")


def of_three(student: Tensor, *teachers: Tensor) -> Readings:
    batch = make_batch(len(student))
    batch.present |= {name: torch.ones(len(student), dtype=torch.bool) for name in ("lidar", "ndvi")}
    outputs = {name: {"output": of} for name, of in zip(("rgb", "thermal", "lidar", "ndvi"), (student, *teachers), strict=True)}
    return Readings(outputs, batch, {"rgb": "rgb", "thermal": "thermal", "lidar": "lidar", "ndvi": "ndvi"})


def dropped(of: int, p: float) -> Term:
    return Term(KD(), "rgb.output", TEACHERS[of], gate=Dropped("rgb.output", TEACHERS, of, p))


class TestDropped:
    def test_the_farthest_teacher_stays_and_others_are_dropped_by_chance(self) -> None:
        torch.manual_seed(0)
        rows = 4000
        student = torch.zeros(rows, 3)
        near, middle, far = (level * F.one_hot(torch.zeros(rows, dtype=torch.long), 3).float() for level in (1, 2, 4))
        far[:10], near[:10] = near[:10].clone(), far[:10].clone()
        readings = of_three(student, near, far, middle)
        opened = [dropped(of, 0.3).opened(readings, readings.batch) for of in range(3)]
        assert opened[1][10:].all()
        assert opened[0][:10].all()
        assert opened[2].float().mean() == pytest.approx(0.7, abs=0.03)
        assert opened[0][10:].float().mean() == pytest.approx(0.7, abs=0.03)
        assert torch.stack(opened).any(0).all(), "every row has a teacher"

    def test_farthest_is_by_the_divergence_that_kd_descends(self) -> None:
        student, *teachers = (torch.randn(50, 3) for _ in range(4))
        readings = of_three(student, *teachers)
        by_kd = torch.stack([torch.stack([KD(1.0)(student[row : row + 1], of[row : row + 1]) for of in teachers]) for row in range(50)])
        opened = torch.stack([dropped(of, 1.0).opened(readings, readings.batch) for of in range(3)], 1)
        assert torch.equal(opened.int().argmax(1), by_kd.argmax(1))
        assert opened.sum() == 50

    def test_a_teacher_that_is_absent_is_neither_farthest_nor_kept(self) -> None:
        student, *teachers = (torch.randn(20, 3) for _ in range(4))
        teachers[1] = 50 * F.one_hot(student.argmin(1), 3).float()
        readings = of_three(student, *teachers)
        batch = readings.batch
        assert dropped(1, 1.0).opened(readings, batch).all()
        batch.present["lidar"][5:] = False
        opened = [dropped(of, 1.0).opened(readings, batch) for of in range(3)]
        assert not opened[1][5:].any()
        assert (opened[0] | opened[2])[5:].all()
        kept = dropped(0, 0.0)
        assert (kept.rows(readings, batch) & kept.opened(readings, batch)).all(), "a row need not have all teachers"

    def test_the_gradient_of_dropped_rows_is_zero(self) -> None:
        student = torch.zeros(6, 3, requires_grad=True)
        readings = of_three(student, *(level * torch.eye(3).repeat(2, 1) for level in (1, 2, 4)))
        (dropped(0, 1.0)(readings, readings.batch) + dropped(2, 1.0)(readings, readings.batch)).backward()
        expected = torch.zeros(6, 3, requires_grad=True)
        KD()(expected, 4 * torch.eye(3).repeat(2, 1)).backward()
        torch.testing.assert_close(student.grad, expected.grad)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("rgb.output", ("a.output",), 0), "chooses among two teachers or more"),
            (("rgb.output", ("a.output", "a.output"), 0), "chooses among two teachers or more"),
            (("rgb.output", TEACHERS, 3), r"of is the place of its teacher in .*, 0 to 2, got 3"),
            (("rgb.output", TEACHERS, 0, 1.5), "p is a probability, 0 to 1, got 1.5"),
        ],
    )
    def test_mistakes(self, arguments: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            Dropped(*arguments)

    def test_maps_are_refused_by_name(self) -> None:
        readings = of_three(torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(2, 4), torch.zeros(2, 3))
        with unchecked(), pytest.raises(ValueError, match=r"Dropped compares logits \(B, K\) of whole images, 'lidar.output' is \(2, 4\)"):
            dropped(0, 0.5).opened(readings, readings.batch)


class TestSameOrder:
    READINGS = ("rgb.output", "thermal.output")

    def term(self, threshold: float = 0.0) -> Term:
        return Term(KD(), *self.READINGS, gate=SameOrder(self.READINGS, threshold))

    @pytest.mark.parametrize("threshold", [-1.0, -0.2, 0.0, 0.5])
    def test_rows_whose_order_agrees_by_scipys_kendalltau(self, threshold: float) -> None:
        # whole numbers, so that scores tie within a row; the last row of either side has no order at all
        student, teacher = (torch.randint(0, 5, (40, 6), generator=torch.Generator().manual_seed(seed)).double() for seed in (1, 2))
        student[-1], teacher[-2] = 3.0, 0.0
        expected = [kendalltau(s, t).statistic > threshold for s, t in zip(student.numpy(), teacher.numpy(), strict=True)]
        opened = SameOrder(self.READINGS, threshold)((student, teacher))
        assert opened.tolist() == expected
        assert 0 < sum(expected) < 40
        assert not opened[-2:].any()

    def test_a_gated_term_is_that_of_the_rows_that_agree(self) -> None:
        batch = make_batch(3)
        batch.labelled[:] = False  # it needs no label
        student = torch.tensor([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [3.0, 2.0, 1.0]], requires_grad=True)
        teacher = torch.tensor([[9.0, 1.0, 0.0], [0.0, 1.0, 9.0], [2.0, 9.0, 1.0]])
        readings = Readings({"rgb": {"output": student}, "thermal": {"output": teacher}}, batch, VIEWS)
        assert self.term(0.5).opened(readings, batch).tolist() == [True, False, False], "the last agrees in two pairs of three, 1/3"
        value = self.term()(readings, batch)
        assert value.item() == pytest.approx(KD()(student[[0, 2]], teacher[[0, 2]]).item())
        value.backward()
        assert student.grad is not None
        assert student.grad.abs().sum(1).gt(0).tolist() == [True, False, True]

    def test_broken_scores_are_not_kept_out_of_sight(self) -> None:
        scores = torch.tensor([[0.0, 1.0, 2.0], [torch.nan, 1.0, 2.0], [0.0, torch.inf, torch.inf]])
        opposite = torch.tensor([[2.0, 1.0, 0.0]]).expand(3, 3)
        for pair in ((scores, opposite), (opposite, scores)):
            assert SameOrder(self.READINGS)(pair).tolist() == [False, True, True]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ((("rgb.output", "rgb.output"),), "compares two readings, such as"),
            ((READINGS, 1.0), "threshold is a rank correlation, -1 or more and below 1, got 1.0"),
        ],
    )
    def test_mistakes(self, arguments: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            SameOrder(*arguments)
        with unchecked(), pytest.raises(ValueError, match=r"SameOrder compares logits .*, 'thermal.output' is \(2, 4\)"):
            SameOrder(self.READINGS)((torch.zeros(2, 3), torch.zeros(2, 4)))
