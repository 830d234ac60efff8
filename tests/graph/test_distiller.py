"""The distiller: a step is what one would write by hand, an average follows, and a plain loop learns without the engine."""

from __future__ import annotations

import pytest
import torch
from core_models import CNN, RGB_VIEW, TASK, THERMAL, THERMAL_VIEW, changed, make_batch, rgb_branch, state
from offline_distiller import offline, supervision
from torch.nn import functional as F

from xkd.batch import View
from xkd.graph.branch import Branch
from xkd.graph.distiller import Distiller
from xkd.graph.schedules import Ramp, StopAt
from xkd.graph.term import Term
from xkd.graph.weights import EMA, Random
from xkd.losses import AT, CrossEntropy, FitNet, MaskEnergy
from xkd.projectors import Conv1x1


class TestStep:
    def test_it_is_what_one_would_write_by_hand(self) -> None:
        distiller = offline(
            at=Term(AT(), "rgb.mid", "thermal.mid", weight=50.0), hint=Term(FitNet(), "rgb.deep", "thermal.deep", Conv1x1())
        )
        distiller.bind()
        distiller.eval()
        batch = make_batch(6)
        batch.labelled[:2] = False
        batch.present["thermal"][3] = False
        batch.views["thermal"][3] = 0
        step = distiller(batch)

        def pixels(view: View) -> torch.Tensor:
            mean, std = (torch.tensor(v).reshape(1, -1, 1, 1) for v in (view.modality.mean, view.modality.std))
            return (batch.views[view.name] - mean) / std

        pairs = [0, 1, 2, 4, 5]
        student, teacher = distiller.branches["rgb"].model, distiller.branches["thermal"].model
        stem_s, stem_t = student.stem(pixels(RGB_VIEW)), teacher.stem(pixels(THERMAL_VIEW)[pairs])
        deep_s, deep_t = student.deep(stem_s), teacher.deep(stem_t)
        logits_s, logits_t = student.fc(deep_s.mean((2, 3))), teacher.fc(deep_t.mean((2, 3)))
        ce = F.cross_entropy(logits_s[2:], batch.target[2:])
        kd = 4 * F.kl_div((logits_s[pairs] / 2).log_softmax(1), (logits_t / 2).softmax(1), reduction="batchmean")
        energy_s = F.adaptive_avg_pool2d(stem_s[pairs], (8, 8)).pow(2).mean(1).flatten(1)
        energy_t = F.adaptive_avg_pool2d(stem_t, (8, 8)).pow(2).mean(1).flatten(1)
        at = (F.normalize(energy_s) - F.normalize(energy_t)).pow(2).mean()
        projected = distiller.terms["hint"].projector.layers(deep_s[pairs])
        hint = F.mse_loss(F.interpolate(projected, (4, 6), mode="bilinear"), deep_t)
        for name, expected in {"ce": ce, "kd": kd, "at": at, "hint": hint}.items():
            assert step.parts[name].item() == pytest.approx(expected.item(), rel=1e-4)
            assert not step.parts[name].requires_grad
        expected = ce + 0.7 * kd + 50 * at + hint
        assert step.loss.item() == pytest.approx(expected.item(), rel=1e-4)
        wanted = torch.autograd.grad(expected, list(student.parameters()), retain_graph=True)
        step.loss.backward()
        for parameter, gradient in zip(student.parameters(), wanted, strict=True):
            torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-6)
        assert all(parameter.grad is None for parameter in teacher.parameters())

    def test_a_scheduled_weight_reads_the_epoch(self) -> None:
        distiller = Distiller(
            {"rgb": rgb_branch()}, {"ce": Term(CrossEntropy(), "rgb.output", "batch.target", weight=Ramp(2.0, 0, 4))}, "rgb", TASK
        )
        distiller.eval()
        distiller.epoch = 1.0
        step = distiller(make_batch())
        assert step.loss.item() == pytest.approx(0.5 * step.parts["ce"].item())

    def test_a_term_without_weight_is_not_computed(self) -> None:
        distiller = offline(off=Term(FitNet(), "rgb.deep", "thermal.deep", Conv1x1(), weight=StopAt(1.0, 3)))
        distiller.bind()
        distiller.epoch = 3.0
        distiller.terms["off"].loss.forward = lambda *_: torch.tensor(torch.nan)
        step = distiller(make_batch(4))
        step.loss.backward()
        assert step.parts["off"].item() == 0
        assert torch.isfinite(step.loss)
        assert all(p.grad is not None and not p.grad.any() for p in distiller.terms["off"].parameters())
        distiller.epoch = 2.9
        assert distiller(make_batch(4)).loss.isnan()

    def test_what_fails_within_a_step_is_told_with_term_and_readings(self) -> None:
        distiller = offline(look=Term(MaskEnergy(), "rgb.deep", "batch.mask"))
        distiller.bind()
        batch = make_batch(4, mask=torch.ones(4, 3, 16, 16))
        with pytest.raises(
            ValueError,
            match=r"term 'look' cannot compare rgb.deep \(.*\) and batch.mask \(1, .*: MaskEnergy needs one mask .* \(4, 3, 16, 16\)",
        ):
            distiller(batch)

    # torch's compiler asks readings for .grad as it resumes after the row mask, which is on the CPU
    @pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
    def test_a_compiled_step_equals_an_eager_one(self) -> None:
        distiller = offline(hint=Term(FitNet(), "rgb.deep", "thermal.deep", Conv1x1()), at=Term(AT(), "rgb.mid", "thermal.mid"))
        distiller.bind()
        distiller.double().eval()
        batch, gradients = make_batch(4), []
        for forward in (distiller, torch.compile(distiller, backend="aot_eager")):
            distiller.zero_grad()
            forward(batch).loss.backward()
            gradients.append([p.grad.clone() for p in distiller.parameters() if p.requires_grad])
        for eager, compiled in zip(*gradients, strict=True):
            torch.testing.assert_close(compiled, eager)

    def test_a_batch_that_serves_no_term_still_reaches_every_learning_parameter(self) -> None:
        distiller = offline(hint=Term(FitNet(), "rgb.deep", "thermal.deep", Conv1x1()))
        distiller.bind()
        batch = make_batch(4)
        batch.labelled[:] = False
        batch.present["thermal"][:] = False
        batch.present["rgb"][:] = False
        step = distiller(batch)
        step.loss.backward()
        assert step.loss.item() == 0
        assert all(p.grad is not None and not p.grad.any() for p in distiller.parameters() if p.requires_grad)

    def test_predictions_come_from_the_students_view_alone(self) -> None:
        distiller = offline().eval()
        batch = make_batch(4)
        full = distiller.predict(batch)
        for other in (batch.views, batch.present):
            other.pop("thermal")
        assert torch.equal(distiller.predict(batch), full)
        torch.testing.assert_close(full.sum(1), torch.ones(4))

    def test_inference_mode_predicts_too(self) -> None:
        distiller = offline().eval()
        with torch.inference_mode():
            assert distiller.predict(make_batch(2)).shape == (2, 3)


class TestAverage:
    def test_it_starts_equal_and_follows_exactly(self) -> None:
        distiller = Distiller({"rgb": rgb_branch(), "mean": rgb_branch(weights=EMA("rgb", 0.9))}, {"ce": supervision()}, "rgb", TASK)
        distiller.bind()
        source, average = distiller.branches["rgb"], distiller.branches["mean"]
        assert not changed(average, source.state_dict())
        optimizer = torch.optim.SGD(source.parameters(), 0.5)
        expected = state(average)
        for number in range(3):
            optimizer.zero_grad()
            distiller(make_batch(seed=number)).loss.backward()
            optimizer.step()
            distiller.after_step()
            for key, value in source.state_dict().items():
                expected[key] = 0.9 * expected[key] + 0.1 * value if value.is_floating_point() else value.clone()
        assert changed(average, source.state_dict())
        for key, value in average.state_dict().items():
            torch.testing.assert_close(value, expected[key], rtol=1e-6, atol=1e-7)
        assert average.model.stem[1].num_batches_tracked == 3
        assert not average.model.training


def test_readme_sized_training_loop_learns() -> None:
    distiller = Distiller(
        {"rgb": Branch(CNN(3), RGB_VIEW, Random()), "thermal": Branch(CNN(1), View("thermal", THERMAL, (16, 16)), Random())},
        {"rgb": supervision("rgb"), "thermal": supervision("thermal")},
        "rgb",
        TASK,
    )
    views = (RGB_VIEW, View("thermal", THERMAL, (16, 16)))
    distiller.bind()
    optimizer = torch.optim.AdamW(distiller.parameters(), 1e-2)
    for number in range(30):
        optimizer.zero_grad()
        distiller(make_batch(12, seed=number, views=views)).loss.backward()
        optimizer.step()
        distiller.after_step()
    batch = make_batch(12, seed=99, views=views)
    assert (distiller.eval().predict(batch).argmax(1) == batch.target).float().mean() > 0.9
