"""An ensemble in a graph: its reading is what one would write by hand, for the rows that count, and gradients go where they should."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from core_models import CNN, RGB_VIEW, TASK, make_batch, rgb_branch, thermal_branch, unchecked
from torch import Tensor, nn

from xkd.batch import View
from xkd.ensembles import Confidence, Gated, Mean, MinLogit, Specialists
from xkd.graph.branch import Branch, Head
from xkd.graph.distiller import Distiller
from xkd.graph.ensemble import Ensemble
from xkd.graph.explanation import GradCAM
from xkd.graph.gates import Dropped, Right
from xkd.graph.reading import Readings
from xkd.graph.term import Term
from xkd.graph.weights import Random
from xkd.losses import KD, CrossEntropy, FitNet
from xkd.projectors import PooledLinear
from xkd.taps import Tap
from xkd.tasks import Classification

WIDE = View("wide", RGB_VIEW.modality, (16, 16))
TEAM = ("thermal.output", "wide.output")
CE = ("rgb.output", "batch.target")


def graph(
    by: nn.Module, of: tuple[str, ...] = TEAM, *, frozen: bool = True, need: Any = "any", taps: Any = None, **terms: Term
) -> Distiller:
    branches = {
        "rgb": rgb_branch(taps),
        "thermal": thermal_branch(taps, frozen=frozen),
        "wide": Branch(CNN(3, width=16), WIDE, Random(frozen), taps, frozen=frozen),
    }
    terms = terms or {"kd": Term(KD(2.0), "rgb.output", "team.output")}
    return Distiller(branches, {"ce": Term(CrossEntropy(), *CE), **terms}, "rgb", TASK, {"team": Ensemble(of, by, need)})


def batch_of(rows: int = 6, **lacking: list[int]) -> Any:
    batch = make_batch(rows, views=(RGB_VIEW, thermal_branch().view, WIDE))
    for view, at in lacking.items():
        batch.present[view][at] = False
        batch.views[view][at] = 0
    return batch


class Recorder(Mean):
    """What it was given."""

    def forward(self, readings: tuple[Tensor, ...], there: Tensor) -> Tensor:
        self.given, self.there = readings, there
        return super().forward(readings, there)


class TestRows:
    @pytest.mark.parametrize(("need", "counts"), [("any", [0, 1, 2, 4, 5]), ("all", [0, 4, 5])])
    def test_a_row_counts_if_any_or_all_of_its_sources_are_there(self, need: str, counts: list[int]) -> None:
        distiller = graph(by := Recorder(), need=need)
        distiller.bind()
        distiller.eval()
        batch = batch_of(thermal=[1, 3], wide=[2, 3])
        readings = distiller.read(batch)
        assert readings.there("team.output").nonzero().flatten().tolist() == counts
        assert distiller.terms["kd"].rows(readings, batch).nonzero().flatten().tolist() == counts
        for source, given, there in zip(TEAM, by.given, by.there, strict=True):
            assert torch.equal(given, readings[source][counts]), "others are not seen"
            assert torch.equal(there, readings.there(source)[counts])
        team = readings["team.output"]
        assert not team[3].any()
        probabilities = [readings[source].softmax(1) for source in TEAM]
        torch.testing.assert_close(team[0].softmax(0), (probabilities[0][0] + probabilities[1][0]) / 2)
        if need == "any":
            torch.testing.assert_close(team[1].softmax(0), probabilities[1][1])

    def test_no_row_at_all_leaves_zeros_that_reach_every_parameter(self) -> None:
        distiller = graph(
            Gated("rgb.deep"),
            ("rgb.output", *TEAM),
            frozen=False,
            taps={"deep": Tap("deep")},
            ce_team=Term(CrossEntropy(), "team.output", "batch.target"),
        )
        distiller.bind()
        step = distiller(batch_of(4, rgb=[0, 1, 2, 3], thermal=[0, 1, 2, 3], wide=[0, 1, 2, 3]))
        step.loss.backward()
        assert step.loss.item() == 0
        assert all(p.grad is not None and not p.grad.any() for p in distiller.parameters() if p.requires_grad)

    def test_a_gate_counts_no_row_without_what_it_reads(self) -> None:
        distiller = graph(Gated("rgb.output"), ce_team=Term(CrossEntropy(), "team.output", "batch.target"))
        distiller.bind()
        assert distiller.read(batch_of(rgb=[2])).there("team.output").tolist() == [True, True, False, True, True, True]

    def test_labels_are_of_the_rows_that_count(self) -> None:
        distiller = graph(MinLogit())
        distiller.bind()
        batch = batch_of(thermal=[0], wide=[0])
        readings = distiller.eval().read(batch)
        rows = torch.arange(1, 6)
        expected = torch.stack([readings[name][1:] - readings[name][1:].gather(1, batch.target[1:, None]) for name in TEAM]).amin(0)
        torch.testing.assert_close(readings["team.output"][rows], expected)


class TestGradient:
    def test_the_teachers_side_gets_none_and_the_students_all(self) -> None:
        distiller = graph(Mean(), frozen=False)
        distiller.bind()
        distiller(batch_of()).loss.backward()
        assert all(not p.grad.any() for name in ("thermal", "wide") for p in distiller.branches[name].parameters() if p.grad is not None)
        distiller = graph(Mean(), frozen=False, ce_team=Term(CrossEntropy(), "team.output", "batch.target"))
        distiller.bind()
        distiller(batch_of()).loss.backward()
        for name in ("thermal", "wide"):
            assert distiller.branches[name].model.fc.weight.grad.abs().max() > 0

    def test_a_source_that_is_absent_in_all_rows_gets_none(self) -> None:
        distiller = graph(Mean(), frozen=False, ce_team=Term(CrossEntropy(), "team.output", "batch.target"))
        distiller.bind()
        distiller(batch_of(thermal=[0, 1, 2, 3, 4, 5])).loss.backward()
        assert not distiller.branches["thermal"].model.fc.weight.grad.any()
        assert distiller.branches["wide"].model.fc.weight.grad.any()

    def test_what_an_ensemble_learns_is_in_the_optimiser_and_learns(self) -> None:
        distiller = graph(Gated("rgb.deep"), taps={"deep": Tap("deep")}, ce_team=Term(CrossEntropy(), "team.output", "batch.target"))
        distiller.bind()
        names = [name for name, p in distiller.named_parameters() if name.startswith("ensembles.") and p.requires_grad]
        assert names == [f"ensembles.team.by.{layer}.{part}" for layer in ("linear", "norm") for part in ("weight", "bias")]
        distiller(batch_of()).loss.backward()
        assert distiller.ensembles["team"].by.linear.weight.grad.any()

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
    def test_half_is_widened_and_double_stays(self, dtype: torch.dtype) -> None:
        batch = make_batch(4)
        logits = {name: {"output": torch.randn(4, 3).to(dtype)} for name in ("thermal", "wide")}
        ensemble = Ensemble(TEAM, Mean())
        with torch.autocast("cpu", torch.bfloat16):
            joined = ensemble.join("team", Readings(logits, batch, {"thermal": "thermal", "wide": "rgb"}))
        assert joined["team.output"].dtype == (torch.float32 if dtype is torch.bfloat16 else dtype)


class TestGraph:
    def test_maps_are_combined_too_and_ensembles_of_ensembles(self) -> None:
        taps = {"deep": Tap("stem")}
        branches = {"rgb": rgb_branch(taps), "other": rgb_branch(taps), "third": rgb_branch(taps)}
        ensembles = {
            "all": Ensemble(("pair.output", "third.deep"), Mean(math.inf)),
            "pair": Ensemble(("rgb.deep", "other.deep"), Mean(math.inf)),
        }
        distiller = Distiller(branches, {"hint": Term(FitNet(), "rgb.deep", "all.output")}, "rgb", TASK, ensembles)
        distiller.bind()
        readings = distiller.eval().read(make_batch(4))
        expected = ((readings["rgb.deep"] + readings["other.deep"]) / 2 + readings["third.deep"]) / 2
        torch.testing.assert_close(readings["all.output"], expected)

    def test_heads_of_one_network_are_sources(self) -> None:
        branch = rgb_branch({"mid": Tap("stem")}, heads={"exit": Head("mid", PooledLinear())})
        distiller = Distiller(
            {"rgb": branch},
            {"self": Term(KD(), "rgb.exit", "team.output")},
            "rgb",
            TASK,
            {"team": Ensemble(("rgb.output", "rgb.exit"), Mean())},
        )
        distiller.bind()
        distiller(make_batch(4)).loss.backward()
        assert distiller.student.model.fc.weight.grad is None, "the teacher's side is detached"

    def test_what_nobody_reads_is_not_computed(self) -> None:
        distiller = graph(Mean(), other=Term(KD(), "rgb.output", "thermal.output"))
        distiller.bind()
        assert distiller.needed == {"rgb": ["output"], "thermal": ["output"], "wide": []}
        assert "team" not in distiller.read(batch_of()).captures

    def test_cached_sources_are_served_one_by_one(self) -> None:
        distiller = graph(Mean())
        distiller.bind()
        batch = batch_of(thermal=[1])
        assert distiller.needed["thermal"] == distiller.needed["wide"] == ["output"]
        live = distiller.eval()(batch).loss
        batch.cached = {f"{name}.{key}": value for name in ("thermal", "wide") for key, value in distiller.answers(name, batch).items()}
        batch.views.pop("wide")
        batch.views.pop("thermal")
        torch.testing.assert_close(distiller(batch).loss, live)

    def test_a_gate_may_ask_an_ensemble(self) -> None:
        distiller = graph(Mean(), hint=Term(KD(), "rgb.output", "thermal.output", gate=Right("team.output")))
        distiller.bind()
        readings = distiller.read(batch := batch_of(wide=[2], thermal=[2]))
        right = readings["team.output"].argmax(1) == batch.target
        rows = distiller.terms["hint"].rows(readings, batch) & distiller.terms["hint"].opened(readings, batch)
        assert torch.equal(rows, right & (torch.arange(6) != 2))

    def test_the_dry_run_leaves_modes_and_statistics_alone(self) -> None:
        distiller = graph(Gated("rgb.output"), ce_team=Term(CrossEntropy(), "team.output", "batch.target"))
        distiller.bind()
        norm = distiller.ensembles["team"].by.norm
        assert norm.training
        assert norm.num_batches_tracked == 0


def other(**changes: Any) -> Any:
    return lambda: graph(**changes)


def made_of(**of: tuple[str, ...]) -> Any:
    branches = {"rgb": rgb_branch(), "thermal": thermal_branch(frozen=True)}
    return lambda: Distiller(
        branches, {"ce": Term(CrossEntropy(), *CE)}, "rgb", TASK, {name: Ensemble(one, Mean()) for name, one in of.items()}
    )


class NoWay(nn.Module):
    def forward(self, readings: Any, depth: Any) -> Any:
        return readings[0], depth


class Twice(nn.Module):
    def forward(self, readings: Any, there: Any, weight: Any) -> Any:
        return readings[0], there, weight


MISTAKES = {
    "itself": (made_of(team=("team.output",)), ValueError, "in a circle: team -> team"),
    "a circle": (
        made_of(a=("b.output",), b=("a.output", "rgb.output")),
        ValueError,
        r"ensembles are made of each other in a circle: (a -> b -> a|b -> a -> b)",
    ),
    "no such branch": (
        made_of(team=("lidar.output",)),
        KeyError,
        r"ensemble 'team' reads 'lidar.output': no branch 'lidar'; there are \['rgb', 'thermal', 'team'\]",
    ),
    "no such tap": (made_of(team=("rgb.deeep",)), KeyError, r"ensemble 'team' reads 'rgb.deeep': no tap 'deeep'; rgb has \['output'\]"),
    "the batch": (made_of(team=("batch.target",)), ValueError, "made of readings of branches and ensembles, got 'batch.target'"),
    "no source": (made_of(team=()), ValueError, r"Mean combines 1 sources or more, got \[\]: name some in of="),
    "a name twice": (made_of(team=("rgb.output", "rgb.output")), ValueError, "names 'rgb.output' twice among its sources"),
    "a branch's name": (
        made_of(rgb=("thermal.output",)),
        ValueError,
        r"ensemble 'rgb' has the name of another node; taken are \['rgb', 'thermal', 'batch'\]",
    ),
    "one for confidence": (
        other(by=Confidence(), of=("wide.output",)),
        ValueError,
        r"Confidence combines 2 sources or more, got \['wide.output'\]",
    ),
    "a term's tap": (
        other(by=Mean(), kd=Term(KD(), "rgb.output", "team.deep")),
        KeyError,
        r"term 'kd' reads 'team.deep': no tap 'deep'; team has \['output'\]",
    ),
    "another signature": (
        other(by=Twice()),
        ValueError,
        r"Twice.forward must take \(readings, there\) and may take \['target', 'reading'\]; it has",
    ),
    "not a module": (other(by=Mean), ValueError, r"an ensemble's by is a module, such as Mean\(\), got"),
    "need": (other(by=Mean(), need="some"), ValueError, r"need is 'any' or 'all' of its sources, or 'unseen' \(out of fold\), got 'some'"),
    "a frozen gate": (
        other(by=Gated("thermal.output"), ce_team=Term(CrossEntropy(), "team.output", "batch.target")),
        ValueError,
        r"ensemble 'team' goes by 'thermal.output', .* a branch that learns, and 'thermal' does not; there are \['rgb.output'\]",
    ),
    "a frozen student to drop by": (
        other(by=Mean(), kd=Term(KD(), "rgb.output", "wide.output", gate=Dropped("thermal.output", TEAM, 0))),
        ValueError,
        "the gate of term 'kd' goes by 'thermal.output', which must be of a branch that learns",
    ),
    "the student": (
        lambda: Distiller(
            {"rgb": rgb_branch()}, {"ce": Term(CrossEntropy(), *CE)}, "team", TASK, {"team": Ensemble(("rgb.output",), Mean())}
        ),
        ValueError,
        r"the student 'team' is an ensemble, and a run trains, evaluates and keeps a branch: name one of \['rgb'\]",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_told_at_construction(mistake: str) -> None:
    made, kind, message = MISTAKES[mistake]
    with unchecked(), pytest.raises(kind, match=message):
        made()


def bound(by: nn.Module, of: tuple[str, ...] = TEAM, **terms: Term) -> Any:
    return lambda: graph(by, of, taps={"mid": Tap("stem"), "deep": Tap("deep")}, **terms).bind()


def labels_of_several() -> None:
    task = Classification(TASK.classes, multilabel=True)
    Distiller(
        {"rgb": rgb_branch(), "b": rgb_branch()},
        {"kd": Term(FitNet(), "rgb.output", "team.output")},
        "rgb",
        task,
        {"team": Ensemble(("rgb.output", "b.output"), Mean())},
    ).bind()


class Odd(nn.Module):
    def forward(self, readings: tuple[Tensor, ...], there: Tensor) -> Tensor:
        return readings[0][:, :2]


MISFITS = {
    "unlike shapes": (
        bound(Mean(math.inf), ("thermal.deep", "wide.deep")),
        r"ensemble 'team' cannot combine thermal.deep \(20, 4, 6\) and wide.deep \(16, 4, 4\): all need one shape.*class_map=ClassMap",
    ),
    "maps as classes": (
        bound(Mean(), ("rgb.mid", "wide.mid")),
        r"Mean mixes probabilities of the task's 3 classes \['healthy', 'rust', 'blight'\]: Mean\(tau=math.inf\)",
    ),
    "several labels": (
        labels_of_several,
        r"Mean mixes probabilities of classes of which one is right, and this task has several: Mean\(tau=math.inf\)",
    ),
    "a gate that nobody trains": (
        bound(Gated("rgb.deep")),
        r"ensemble 'team' has layers \(Gated\), and no term that they learn by has 'team.output' on its student's side",
    ),
    "specialists": (bound(Specialists((("rot",),), (1.0,))), "cannot combine .*: Specialists names the class 'rot'; the task has"),
    "another shape": (bound(Odd()), r"Odd gives \(2,\), not their shape"),
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_sources_that_do_not_fit_are_told_in_the_dry_run(misfit: str) -> None:
    made, message = MISFITS[misfit]
    with unchecked(), pytest.raises(ValueError, match=message):
        made()


def test_a_network_of_other_classes_is_told_to_have_a_map() -> None:
    branches = {"rgb": rgb_branch(), "wide": Branch(CNN(3, num_classes=5), RGB_VIEW, Random())}
    distiller = Distiller(
        branches, {"kd": Term(KD(), "rgb.output", "team.output")}, "rgb", TASK, {"team": Ensemble(("rgb.output", "wide.output"), Mean())}
    )
    with pytest.raises(
        ValueError, match=r"branch 'wide', read by terms \[\] and ensembles \['team'\]: .* \(2, 5\), .*class_map=ClassMap\(own"
    ):
        distiller.bind()


def test_an_explanation_as_a_source_is_there_where_its_class_is() -> None:
    branch = rgb_branch(explanations={"cam": GradCAM("deep", "batch.target", signed=True)})
    ensembles = {"team": Ensemble(("rgb.cam",), Mean(math.inf))}
    distiller = Distiller({"rgb": branch}, {"look": Term(FitNet(), "rgb.cam", "team.output")}, "rgb", TASK, ensembles)
    distiller.bind()
    batch = make_batch(4)
    batch.labelled[1] = False
    assert distiller.terms["look"].rows(distiller.read(batch), batch).tolist() == [True, False, True, True]
