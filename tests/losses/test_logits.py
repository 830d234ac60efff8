"""What every loss of logits does with unlike classes, labels, pixels without one, and mixed or several labels."""

from __future__ import annotations

import re

import pytest
import torch
from core_models import make_batch, unchecked
from torch import Tensor, nn

from xkd.graph.reading import Readings
from xkd.graph.term import Term
from xkd.losses import DIST, DKD, KD, OFA, SigmoidKD

ALL = (KD, DKD, DIST, OFA, SigmoidKD)
WITH_TARGET = (DKD, OFA)


def logits(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


def call(loss: nn.Module, student: Tensor, teacher: Tensor, target: Tensor) -> Tensor:
    value: Tensor = loss(student, teacher, target) if isinstance(loss, WITH_TARGET) else loss(student, teacher)
    return value


class TestShapes:
    @pytest.mark.parametrize("loss", ALL)
    @pytest.mark.parametrize("shape", [(4, 1), (4, 5), (1, 3), (4, 3, 2, 2)])
    def test_other_classes_are_refused_with_both_shapes_even_where_torch_would_broadcast(self, loss: type, shape: tuple[int, ...]) -> None:
        message = f"{loss.__name__} compares logits over the same classes and positions, got (4, 3) and {shape}"
        with unchecked(), pytest.raises(ValueError, match=re.escape(message)):
            call(loss(), torch.rand(4, 3), torch.rand(shape), torch.zeros(4, dtype=torch.long))

    @pytest.mark.parametrize("loss", [KD, DKD, DIST, OFA])
    def test_one_class_has_no_distribution(self, loss: type) -> None:
        with pytest.raises(ValueError, match=rf"{loss.__name__} needs at least 2 classes, got .*\(4, 1\).*SigmoidKD"):
            call(loss(), torch.rand(4, 1), torch.rand(4, 1), torch.zeros(4, dtype=torch.long))

    @pytest.mark.parametrize("loss", ALL)
    @pytest.mark.parametrize("tau", [0.0, -1.0])
    def test_a_temperature_is_positive(self, loss: type, tau: float) -> None:
        with pytest.raises(ValueError, match=rf"tau must be positive, got .*{tau}$"):
            loss(tau=tau)

    @pytest.mark.parametrize("loss", ALL)
    def test_pixels_are_rows(self, loss: type) -> None:
        student, teacher, target = logits(2, 5, 3, 4), logits(2, 5, 3, 4), torch.randint(5, (2, 3, 4))
        rows = [maps.permute(0, 2, 3, 1).reshape(-1, 5) for maps in (student, teacher)]
        dense, flat = call(loss(), student, teacher, target), call(loss(), *rows, target.flatten())
        assert dense.item() == pytest.approx(flat.item(), rel=1e-12)
        torch.testing.assert_close(*(torch.autograd.grad(value, student)[0] for value in (dense, flat)), rtol=1e-9, atol=1e-12)

    @pytest.mark.parametrize("loss", ALL)
    def test_logits_far_apart_stay_finite(self, loss: type) -> None:
        student = torch.tensor([[300.0, -300.0, 0.0], [0.0, 0.0, 500.0]], requires_grad=True)
        value = call(loss(tau=1.0), student, student.detach().flip(1), torch.tensor([0, 2]))
        value.backward()
        assert torch.isfinite(value)
        assert torch.isfinite(student.grad).all()


@pytest.mark.parametrize("loss", WITH_TARGET)
class TestTargets:
    def test_pixels_that_nobody_labelled_do_not_count(self, loss: type) -> None:
        student, teacher, target = logits(2, 5, 3, 4), logits(2, 5, 3, 4), torch.randint(5, (2, 3, 4))
        target[0, 1:], target[1, :, 2] = -1, -1
        known = target != -1
        rows = [maps.permute(0, 2, 3, 1)[known] for maps in (student, teacher)]
        value = loss()(student, teacher, target)
        assert value.item() == pytest.approx(loss()(*rows, target[known]).item(), rel=1e-12)
        (gradient,) = torch.autograd.grad(value, student)
        assert not gradient.permute(0, 2, 3, 1)[~known].any()
        assert gradient.permute(0, 2, 3, 1)[known].abs().sum(1).min() > 0

    def test_no_label_at_all_is_zero_and_stays_in_the_graph(self, loss: type) -> None:
        student = logits(2, 5, 3, 4)
        value = loss()(student, logits(2, 5, 3, 4), torch.full((2, 3, 4), -1))
        value.backward()
        assert value.item() == 0
        assert student.grad is not None
        assert not student.grad.any()

    def test_of_mixed_labels_the_likeliest_counts(self, loss: type) -> None:
        student, teacher = logits(3, 4), logits(3, 4)
        mixed = torch.tensor([[0.3, 0.0, 0.7, 0.0], [0.0, 1.0, 0.0, 0.0], [0.4, 0.35, 0.0, 0.25]])
        assert loss()(student, teacher, mixed).item() == loss()(student, teacher, torch.tensor([2, 1, 0])).item()

    def test_a_term_leaves_out_rows_without_a_label_mixed_or_not(self, loss: type) -> None:
        for target in (torch.tensor([2, -1, 0]), torch.tensor([[0.3, 0.0, 0.7], [0.0, 0.0, 0.0], [0.6, 0.4, 0.0]])):
            batch = make_batch(3, target=target, labelled=torch.tensor([True, False, True]))
            student, teacher = torch.randn(3, 3, dtype=torch.bfloat16, requires_grad=True), torch.randn(3, 3, dtype=torch.bfloat16)
            readings = Readings({"rgb": {"output": student}, "thermal": {"output": teacher}}, batch, {"rgb": "rgb", "thermal": "thermal"})
            value = Term(loss(), "rgb.output", "thermal.output")(readings, batch)
            kept = [reading.detach().float()[[0, 2]] for reading in (student, teacher)]
            assert value.item() == loss()(*kept, torch.tensor([2, 0])).item()
            (gradient,) = torch.autograd.grad(value, student)
            assert gradient.abs().sum(1).gt(0).tolist() == [True, False, True]

    @pytest.mark.parametrize("row", [[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [1.5, -0.5, 0.0, 0.0]])
    def test_several_labels_or_logits_are_no_target(self, loss: type, row: list[float]) -> None:
        target = torch.tensor([[0.0, 1.0, 0.0, 0.0], row])
        with pytest.raises(ValueError, match=rf"{loss.__name__} needs class indices or probabilities.*SigmoidKD"):
            loss()(logits(2, 4), logits(2, 4), target)
        with pytest.raises(ValueError, match="SigmoidKD"):  # the dry run is in eval mode
            loss().eval()(logits(2, 4), logits(2, 4), target)

    @pytest.mark.parametrize(
        ("shape", "target"),
        [
            ((2, 4), torch.tensor([0, 1, 2])),
            ((2, 4), torch.tensor([[0, 1, 0, 0], [1, 0, 0, 0]])),
            ((2, 4, 3, 3), torch.tensor([0, 1])),
            ((2, 4, 3, 3), torch.zeros(2, 6, 6, dtype=torch.long)),
            ((2, 4), torch.tensor([[0.5, 0.5], [1.0, 0.0]])),
        ],
    )
    def test_a_target_of_another_shape_is_refused_with_both(self, loss: type, shape: tuple[int, ...], target: Tensor) -> None:
        with unchecked(), pytest.raises(ValueError, match=re.escape(f"got logits {shape} and target {tuple(target.shape)}")):
            loss()(logits(*shape), logits(*shape), target)

    @pytest.mark.parametrize("label", [4, -2])
    def test_a_class_that_is_not_there_is_refused(self, loss: type, label: int) -> None:
        with pytest.raises(RuntimeError, match=rf"index {label} is out of bounds.*size 4"):
            loss()(logits(2, 4), logits(2, 4), torch.tensor([0, label]))
