from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from core_models import make_batch, unchecked
from torch import Tensor, nn

from xkd.batch import Batch
from xkd.graph.reading import Readings
from xkd.graph.schedules import Ramp
from xkd.graph.term import Term
from xkd.losses import AT, KD, MGD, CrossEntropy, FitNet, MaskEnergy
from xkd.projectors import Conv1x1

VIEWS = {"rgb": "rgb", "thermal": "thermal"}


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


class Recorder(nn.Module):
    """Keeps what it was given; its value is the student's mean."""

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        self.given = (student, teacher)
        return student.mean()


class WithExtras(Recorder):
    def forward(self, student: Tensor, teacher: Tensor, target: Tensor, mask: Tensor, index: Tensor) -> Tensor:
        self.extras = (target, mask, index)
        return super().forward(student, teacher)


class WithTarget(Recorder):
    def forward(self, student: Tensor, teacher: Tensor, target: Tensor) -> Tensor:
        return super().forward(student, teacher)


def readings(batch: Batch, dtype: torch.dtype = torch.float32) -> Readings:
    rows = len(batch)
    captures = {
        name: {
            "output": torch.randn(rows, 3, dtype=dtype, requires_grad=True),
            "mid": torch.randn(rows, channels, 4, 4, dtype=dtype, requires_grad=True),
        }
        for name, channels in (("rgb", 5), ("thermal", 7))
    }
    return Readings(captures, batch, VIEWS)


class TestRows:
    @pytest.mark.parametrize(
        ("loss", "teacher", "absent", "kept"),
        [
            (Recorder, "thermal.output", {}, [0, 1, 2, 3, 4, 5]),
            (Recorder, "thermal.output", {"rgb": [0], "thermal": [2, 3]}, [1, 4, 5]),
            (Recorder, "thermal.output", {"labelled": [0], "masked": [1]}, [0, 1, 2, 3, 4, 5]),
            (Recorder, "batch.target", {"labelled": [1, 2], "thermal": [0]}, [0, 3, 4, 5]),
            (Recorder, "batch.mask", {"masked": [5], "labelled": [0]}, [0, 1, 2, 3, 4]),
            (WithTarget, "thermal.output", {"labelled": [4], "thermal": [5], "rgb": [0], "masked": [1]}, [1, 2, 3]),
            (WithExtras, "thermal.output", {"labelled": [4], "masked": [1]}, [0, 2, 3, 5]),
        ],
    )
    def test_a_loss_gets_the_rows_that_have_all_it_needs(
        self, loss: Callable[[], Recorder], teacher: str, absent: dict[str, list[int]], kept: list[int]
    ) -> None:
        batch, recorder = make_batch(6), loss()
        for name, rows in absent.items():
            (batch.present[name] if name in batch.present else getattr(batch, name))[rows] = False
        all_readings = readings(batch)
        Term(recorder, "rgb.output", teacher)(all_readings, batch)
        student, target = recorder.given
        assert torch.equal(student, all_readings["rgb.output"][kept])
        assert torch.equal(target, all_readings[teacher][kept])

    def test_extras_are_of_the_same_rows(self) -> None:
        batch, recorder = make_batch(6), WithExtras()
        batch.labelled[0] = False
        Term(recorder, "rgb.output", "thermal.output")(readings(batch), batch)
        target, mask, index = recorder.extras
        assert target.tolist() == [1, 2, 0, 1, 2]
        assert torch.equal(mask, batch.mask[1:])
        assert index.tolist() == [1, 2, 3, 4, 5]

    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
    def test_no_rows_give_a_zero_that_keeps_readings_and_projector_in_the_graph(self, dtype: torch.dtype) -> None:
        batch = make_batch(4)
        batch.present["thermal"][:] = False
        term, all_readings = Term(FitNet(), "rgb.mid", "thermal.mid", Conv1x1()), readings(batch, dtype)
        term.bind(all_readings)
        value = term(all_readings, batch)
        assert value.shape == ()
        assert value.item() == 0
        value.backward()
        assert not all_readings["rgb.mid"].grad.any()
        assert all(parameter.grad is not None and not parameter.grad.any() for parameter in term.parameters())

    def test_no_rows_are_zero_even_where_a_sum_in_half_precision_overflows(self) -> None:
        batch = make_batch(4)
        batch.present["thermal"][:] = False
        all_readings = readings(batch, torch.float16)
        all_readings.captures["rgb"]["mid"] = torch.full((4, 5, 40, 40), 60.0, dtype=torch.float16)
        assert Term(AT(), "rgb.mid", "thermal.mid")(all_readings, batch).item() == 0

    def test_several_readings_come_as_a_tuple(self) -> None:
        batch, recorder = make_batch(3), Recorder()
        recorder.forward = lambda student, teacher: student[0].detach().sum() + teacher[1].sum()
        all_readings = readings(batch)
        value = Term(recorder, ("rgb.output", "rgb.mid"), ("thermal.mid", "thermal.output"))(all_readings, batch)
        assert value.item() == pytest.approx(float((all_readings["rgb.output"] + all_readings["thermal.output"]).detach().sum()), rel=1e-5)


class TestGradient:
    def test_the_teachers_side_gets_none(self) -> None:
        batch = make_batch(4)
        all_readings = readings(batch)
        Term(KD(), "rgb.output", "thermal.output")(all_readings, batch).backward()
        assert all_readings["rgb.output"].grad.abs().max() > 0
        assert all_readings["thermal.output"].grad is None

    def test_the_projector_learns(self) -> None:
        batch = make_batch(4)
        term, all_readings = Term(FitNet(), "rgb.mid", "thermal.mid", Conv1x1()), readings(batch)
        term.bind(all_readings)
        term(all_readings, batch).backward()
        assert all(parameter.grad.abs().max() > 0 for parameter in term.parameters())


class TestPrecision:
    @pytest.mark.parametrize(
        ("given", "computed"),
        [(torch.float16, torch.float32), (torch.bfloat16, torch.float32), (torch.float32, torch.float32), (torch.float64, torch.float64)],
    )
    def test_half_is_widened_and_double_stays(self, given: torch.dtype, computed: torch.dtype) -> None:
        batch, recorder = make_batch(3), Recorder()
        Term(recorder, "rgb.output", "thermal.output")(readings(batch, given), batch)
        assert [reading.dtype for reading in recorder.given] == [computed, computed]

    def test_a_loss_never_runs_in_autocast(self) -> None:
        class Product(nn.Module):
            def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
                product = student @ teacher.T
                self.dtype = product.dtype
                return product.mean()

        batch, loss = make_batch(3), Product()
        with torch.autocast("cpu", torch.bfloat16):
            Term(loss, "rgb.output", "thermal.output")(readings(batch), batch)
        assert loss.dtype == torch.float32


class TestConstruction:
    @pytest.mark.parametrize(
        ("forward", "shown"),
        [
            (lambda student, teacher, depth: 0, "['student', 'teacher', 'depth']"),
            (lambda student: 0, "['student']"),
            (lambda student, teacher, eps=1e-8: 0, "['student', 'teacher', 'eps']"),
            (lambda student, teacher, *rest: 0, "['student', 'teacher', 'rest']"),
        ],
    )
    def test_a_signature_that_cannot_be_served_names_what_can(self, forward: Any, shown: str) -> None:
        loss = Recorder()
        loss.forward = forward
        with pytest.raises(ValueError, match=r"Recorder.forward must take \(student, teacher\).*\['target', 'mask', 'index'\]") as caught:
            Term(loss, "rgb.output", "thermal.output")
        assert shown in str(caught.value)

    def test_a_class_in_place_of_a_loss(self) -> None:
        with unchecked(), pytest.raises(ValueError, match=r"the loss of a term must be a module, such as KD\(\), got"):
            Term(KD, "rgb.output", "thermal.output")

    @pytest.mark.parametrize("name", ["output", ""])
    def test_a_reading_names_its_branch(self, name: str) -> None:
        with pytest.raises(ValueError, match=rf"a reading is 'branch.tap'.*'batch.mask', got '{name}'"):
            Term(KD(), name, "thermal.output")

    @pytest.mark.parametrize("side", ["student", "teacher"])
    def test_each_side_has_a_reading(self, side: str) -> None:
        sides: dict[str, Any] = {"student": "rgb.output", "teacher": "thermal.output", side: ()}
        with pytest.raises(ValueError, match=r"a term needs at least one reading on each side"):
            Term(KD(), **sides)

    def test_the_students_side_is_a_branchs(self) -> None:
        with pytest.raises(ValueError, match=r"student's side of a term must be a branch's reading, got 'batch.target'"):
            Term(CrossEntropy(), "batch.target", "rgb.output")

    def test_a_projector_must_be_one(self) -> None:
        with pytest.raises(ValueError, match=r"Linear has no bind\(source, target\)"):
            Term(FitNet(), "rgb.mid", "thermal.mid", nn.Linear(3, 3))

    @pytest.mark.parametrize(("loss", "projector"), [(AT, Conv1x1), (MGD, lambda: None)])
    def test_a_projector_or_a_loss_with_layers_serves_one_reading_on_each_side(self, loss: Any, projector: Any) -> None:
        batch = make_batch(2)
        term = Term(loss(), ("rgb.mid", "rgb.output"), "thermal.mid", projector())
        with pytest.raises(ValueError, match="one reading on each side"):
            term.bind(readings(batch))


class TestLossesWithLayers:
    @pytest.mark.parametrize("projector", [Conv1x1, lambda: None], ids=["projected", "alone"])
    def test_they_are_sized_by_what_they_will_get_and_learn(self, projector: Any) -> None:
        batch = make_batch(4)
        term, all_readings = Term(MGD(), "rgb.mid", "thermal.mid", projector()), readings(batch)
        term.bind(all_readings)
        assert isinstance(term.loss.align, torch.nn.Conv2d) == (term.projector is None)
        term(all_readings, batch).backward()
        assert all_readings["rgb.mid"].grad.abs().max() > 0
        assert all(parameter.grad.abs().max() > 0 for parameter in term.parameters())

    def test_sizing_leaves_no_trace_in_the_projectors_statistics(self) -> None:
        term = Term(MGD(), "rgb.mid", "thermal.mid", Conv1x1(norm=True))
        term.bind(readings(make_batch(4)))
        norm = term.projector.layers[1]
        assert norm.training
        assert norm.num_batches_tracked == 0

    def test_they_move_to_the_readings_device(self) -> None:
        batch = make_batch(2)
        all_readings = Readings({n: {r: t.to("meta") for r, t in c.items()} for n, c in readings(batch).captures.items()}, batch, VIEWS)
        term = Term(MGD(), "rgb.mid", "thermal.mid")
        term.bind(all_readings)
        assert {parameter.device.type for parameter in term.parameters()} == {"meta"}


class TestWeight:
    def test_a_schedule_is_asked_for_each_epoch(self) -> None:
        assert Term(KD(), "rgb.output", "thermal.output", weight=Ramp(2.0, 2, 6)).weight_at(4) == 1

    def test_a_number_is_the_same_in_every_epoch(self) -> None:
        assert Term(KD(), "rgb.output", "thermal.output", weight=0.3).weight_at(17) == 0.3


def test_supervision_by_masks_is_a_term_like_any_other() -> None:
    batch = make_batch(4)
    all_readings = readings(batch)
    value = Term(MaskEnergy(), "rgb.mid", "batch.mask")(all_readings, batch)
    assert value.item() == pytest.approx(MaskEnergy()(all_readings["rgb.mid"], batch.mask).item())


class TestBrokenReadings:
    @pytest.mark.parametrize("values", [[torch.inf], [torch.nan], [torch.inf, -torch.inf]])
    def test_a_teacher_that_is_not_finite_is_named(self, values: list[float]) -> None:
        batch = make_batch(6)
        all_readings = readings(batch)
        with torch.no_grad():
            all_readings["thermal.mid"][4, 2, 1, : len(values)] = torch.tensor(values)
        term = Term(Recorder(), "rgb.mid", "thermal.mid")
        with pytest.raises(ValueError, match=r"'thermal.mid' \(6, 7, 4, 4\) is not finite: look for bad pixels, or for weights that"):
            term(all_readings, batch)
        batch.present["thermal"][4] = False
        term(all_readings, batch)  # a row that nobody asks for

    def test_values_whose_sum_overflows_are_finite(self) -> None:
        batch = make_batch(6)
        all_readings = readings(batch)
        with torch.no_grad():
            all_readings["thermal.mid"].fill_(torch.finfo(torch.float32).max)
        assert not all_readings["thermal.mid"].sum().isfinite()
        Term(Recorder(), "rgb.mid", "thermal.mid")(all_readings, batch)

    @pytest.mark.parametrize("absent", [[], [1]])
    @pytest.mark.parametrize("side", ["rgb", "thermal"])
    def test_readings_of_other_rows_than_the_batch(self, side: str, absent: list[int]) -> None:
        batch = make_batch(6)
        batch.present["thermal"][absent] = False
        all_readings = readings(batch)
        all_readings.captures[side]["mid"] = torch.randn(24, 5, 4, 4)
        with pytest.raises(ValueError, match=rf"'{side}.mid' is \(24, 5, 4, 4\), and the batch has 6 rows"):
            Term(Recorder(), "rgb.mid", "thermal.mid")(all_readings, batch)

    def test_masks_of_other_rows_than_the_batch(self) -> None:
        batch = make_batch(6)
        batch.masked[4:] = False
        with unchecked():
            short = replace(batch, mask=batch.mask[:4])
        with pytest.raises(ValueError, match=r"'batch.mask' is \(4, 1, \d+, \d+\), and the batch has 6 rows"):
            Term(MaskEnergy(), "rgb.mid", "batch.mask")(readings(short), short)
