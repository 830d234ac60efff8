"""A generator as a branch: what it makes, what a frozen judge teaches it, what a student fights it for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from core_models import CNN, RGB, RGB_VIEW, TASK, THERMAL_VIEW, changed, make_batch, state
from torch import Tensor, nn

from xkd.batch import Batch, View
from xkd.graph.branch import Branch
from xkd.graph.distiller import Distiller
from xkd.graph.inputs import Eats
from xkd.graph.term import Term
from xkd.graph.weights import Random
from xkd.losses import KD, EvenClasses, NormStatistics, OwnClass
from xkd.modalities import Noise
from xkd.networks import Generator
from xkd.taps import Tap, Taps
from xkd.tasks import Features

NOISE = View("noise", Noise(8), (1, 1))
NORMS = {"norms": Tap("", kind="norms")}


def batch_of_noise(rows: int = 16) -> Batch:
    unknown = torch.zeros(rows, dtype=torch.bool)
    batch = make_batch(rows, views=(NOISE,), labelled=unknown, masked=unknown)
    return replace(batch, views={"noise": torch.randn((rows, 8, 1, 1), generator=torch.Generator().manual_seed(3))})


def graph(terms: dict[str, Term], adversary: float = 0.0, size: View = RGB_VIEW, seen: View = RGB_VIEW) -> Distiller:
    """The student sees nothing but what is made, of which the frozen judge is sure."""
    torch.manual_seed(0)
    made = {"drawn": Tap("drawn")}
    branches = {
        "student": Branch(CNN(seen.modality.channels), seen, Random(), eats=Eats("maker.output", adversary)),
        "judge": Branch(CNN(3), RGB_VIEW, Random(frozen=True), NORMS, frozen=True, eats=Eats("maker.output", 1.0)),
        "maker": Branch(Generator(size, latent=8, classes=3, width=4), NOISE, Random(), made, task=Features()),
    }
    distiller = Distiller(branches, terms, "student", TASK)
    distiller.bind()
    return distiller


def after_a_step_of(name: str, distiller: Distiller, batch: Batch, term: str) -> tuple[float, float]:
    """A term's value before and after a small step of one branch down the gradient that it gets."""

    def value() -> Tensor:
        torch.manual_seed(1)
        return distiller.part(term, distiller.read(batch), batch)

    distiller.zero_grad()
    before = value()
    before.backward()
    with torch.no_grad():
        gradients = [p.grad for p in distiller.branches[name].parameters()]
        scale = 0.02 / torch.stack([g.square().sum() for g in gradients if g is not None]).sum().sqrt()
        for parameter, gradient in zip(distiller.branches[name].parameters(), gradients, strict=True):
            parameter -= scale * gradient if gradient is not None else 0.0
    return before.item(), value().item()


JUDGED = {
    "own": Term(OwnClass(), "judge.output", "judge.output"),
    "asked": Term(OwnClass(), "judge.output", "maker.drawn"),
    "norms": Term(NormStatistics(), "judge.norms", "judge.norms"),
}


@pytest.mark.parametrize("term", list(JUDGED))
def test_the_generator_learns_through_a_frozen_judge_that_stays_as_it_is(term: str) -> None:
    distiller = graph({term: JUDGED[term], "kd": Term(KD(), "student.output", "judge.output")}).train()
    held = state(distiller.branches["judge"])
    before, after = after_a_step_of("maker", distiller, batch_of_noise(), term)
    assert after < before
    assert changed(distiller.branches["judge"], held) == []
    assert all(p.grad is None for p in distiller.branches["judge"].parameters())


def test_the_student_and_the_generator_pull_one_term_in_opposite_directions() -> None:
    kd, batch = {"kd": Term(KD(), "student.output", "judge.output")}, batch_of_noise()
    for name in ("student", "maker"):
        distiller = graph(kd, adversary=-1.0).train()
        distiller.branches["student"].model.drop.p = 0.0
        before, after = after_a_step_of(name, distiller, batch, "kd")
        assert (after < before) == (name == "student")
    distiller = graph(kd)
    distiller(batch).loss.backward()
    assert all(p.grad is None for p in distiller.branches["maker"].parameters())


def test_images_are_within_the_sensors_range_and_the_class_asked_for_is_drawn_by_the_noise() -> None:
    warm = View("thermal", THERMAL_VIEW.modality, (15, 26))
    torch.manual_seed(0)
    maker = Generator(warm, latent=8, classes=3, width=4)
    noise = torch.randn((600, 8, 1, 1))
    seen: list[Tensor] = []
    maker.drawn.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    images = maker(noise)
    assert images.shape == (600, 1, 15, 26)
    assert 280 < images.min() < 295
    assert 305 < images.max() < 320
    assert seen[0].argmax(1).equal(noise[:, -3:, 0, 0].argmax(1))
    assert seen[0].mean(0).tolist() == pytest.approx([1 / 3] * 3, abs=0.06)
    colours = Generator(RGB_VIEW, latent=8, width=4, grey=True)(noise[:2])
    assert colours.shape[1] == 3
    assert colours.amax(1).equal(colours.amin(1))
    other = noise.clone()
    other[:, -3:] += 1.0  # the same classes, since no other number of theirs is looked at
    assert maker.eval()(noise).equal(maker(other))


def test_a_tap_of_norms_reads_what_batch_norm_is_given_and_was_given() -> None:
    torch.manual_seed(0)
    model = CNN(3).double().eval()
    model.stem[1].running_mean.fill_(2.0)
    taps, images, given = Taps(model, NORMS), torch.rand((4, 3, 16, 16), dtype=torch.float64), []
    model.deep[1].register_forward_pre_hook(lambda _module, inputs: given.append(inputs[0]))
    taps(images)
    reading = taps.read(images.shape)["norms"]
    assert reading.shape == (4, 2, 4, 12)
    torch.testing.assert_close(reading[:, 1, 0], given[0].mean((2, 3)))
    torch.testing.assert_close(reading[:, 1, 1], given[0].square().mean((2, 3)))
    assert reading[0, 0, 2].tolist() == [2.0] * 10 + [0.0] * 2
    assert reading[0, 1, 3].tolist() == [1.0] * 12


def without_batch_norm() -> Any:
    return Taps(nn.Sequential(nn.Conv2d(3, 4, 1), nn.LayerNorm(4)), NORMS)


KD_ALONE = {"kd": Term(KD(), "student.output", "judge.output")}
SMALL = View("rgb", RGB, (8, 8))


@pytest.mark.parametrize(
    ("made", "error"),
    [
        (
            without_batch_norm,
            r"kind 'norms': Sequential has no batch norm that knows .* \(its norm layers: LayerNorm; LayerNorm keeps none\)",
        ),
        (
            lambda: graph(KD_ALONE, size=SMALL),
            r"it eats 'maker.output' \(3, 8, 8\), .* 'rgb' are \(3, 16, 16\): let the maker make those, such",
        ),
        (
            lambda: graph(KD_ALONE, seen=THERMAL_VIEW),
            r"'maker.output' is eaten as images of thermal by 'student' and of rgb by 'judge': what",
        ),
        (
            lambda: Generator(SMALL, latent=8)(torch.zeros(2, 9, 1, 1)),
            r"is given \(9, 1, 1\) in each row: its view is Noise\(channels=8\) of si",
        ),
        (lambda: Generator(SMALL, latent=3, classes=3), "Generator: classes from 0 to below latent, width 1 or more; got 3, 3 and 64"),
    ],
)
def test_what_cannot_be_made_or_judged_is_refused(made: Any, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        made()


def test_even_classes_are_learned_from_a_batch() -> None:
    distiller = graph({"even": Term(EvenClasses(), "judge.output", "judge.output"), **KD_ALONE}).train()
    before, after = after_a_step_of("maker", distiller, batch_of_noise(), "even")
    assert after < before
