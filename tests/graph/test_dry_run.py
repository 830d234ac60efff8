"""The dry run: shapes are listed and sized, and readings that cannot be compared are refused before training."""

from __future__ import annotations

import pytest
import torch
from core_models import TASK, changed, rgb_branch, state, thermal_branch, unchecked
from offline_distiller import TAPS, offline, supervision

from xkd.graph.branch import Head
from xkd.graph.distiller import Distiller
from xkd.graph.term import Term
from xkd.graph.weights import EMA
from xkd.losses import AT, KD, CrossEntropy, FitNet
from xkd.projectors import Conv1x1, PooledLinear


class TestDryRun:
    def test_it_learns_the_shape_of_every_reading(self) -> None:
        distiller = offline()
        distiller.bind()
        shapes = {
            f"{name}.{reading}": tuple(shape) for name, branch in distiller.branches.items() for reading, shape in branch.shapes.items()
        }
        assert shapes == {
            "rgb.output": (3,),
            "rgb.mid": (10, 8, 8),
            "rgb.deep": (12, 4, 4),
            "thermal.output": (3,),
            "thermal.mid": (10, 8, 12),
            "thermal.deep": (20, 4, 6),
        }

    def test_it_sizes_projectors_and_leaves_modes_and_statistics_alone(self) -> None:
        distiller = offline(hint=Term(FitNet(), "rgb.deep", "thermal.deep", Conv1x1(norm=True)))
        before = state(distiller)
        distiller.bind()
        assert tuple(distiller.terms["hint"].projector.layers[0].weight.shape) == (20, 12, 1, 1)
        assert [key for key in before if not torch.equal(distiller.state_dict()[key], before[key])] == []
        assert distiller.terms["hint"].projector.layers[1].num_batches_tracked == 0
        assert distiller.terms["hint"].training
        assert distiller.branches["rgb"].training

    @pytest.mark.parametrize(
        ("term", "shapes"),
        [
            (Term(FitNet(), "rgb.deep", "thermal.deep"), r"rgb.deep \(12, 4, 4\) and thermal.deep \(20, 4, 6\)"),
            (Term(AT(), "rgb.output", "thermal.deep"), r"rgb.output \(3,\) and thermal.deep \(20, 4, 6\)"),
            (Term(KD(), "rgb.mid", "thermal.deep"), r"rgb.mid \(10, 8, 8\) and thermal.deep \(20, 4, 6\)"),
            (Term(KD(), "rgb.output", "batch.target"), r"rgb.output \(3,\) and batch.target \(\)"),
            (Term(CrossEntropy(), "rgb.output", "thermal.output"), r"rgb.output \(3,\) and thermal.output \(3,\)"),
            (Term(CrossEntropy(weight=(1.0, 2.0)), "rgb.output", "batch.target"), r"rgb.output \(3,\) and batch.target \(\)"),
            (Term(FitNet(), "rgb.output", "thermal.deep", Conv1x1()), r"rgb.output \(3,\) and thermal.deep \(20, 4, 6\)"),
        ],
    )
    def test_readings_that_cannot_be_compared_are_named_with_their_shapes(self, term: Term, shapes: str) -> None:
        with unchecked(), pytest.raises(ValueError, match=rf"term 'wrong' cannot compare {shapes}: "):
            offline(wrong=term).bind()

    def test_once_is_enough(self) -> None:
        distiller = offline(hint=Term(FitNet(), "rgb.deep", "thermal.deep", Conv1x1()))
        distiller.bind()
        before = state(distiller)
        distiller.bind()
        assert state(distiller).keys() == before.keys()
        assert not changed(distiller, before)

    def test_it_leaves_a_trained_average_alone_the_second_time(self) -> None:
        distiller = Distiller({"rgb": rgb_branch(), "mean": rgb_branch(weights=EMA("rgb", 0.5))}, {"ce": supervision()}, "rgb", TASK)
        distiller.bind()
        torch.nn.init.ones_(distiller.branches["rgb"].model.fc.weight)
        distiller.bind()
        assert changed(distiller.branches["rgb"], distiller.branches["mean"].state_dict()) == ["model.fc.weight"]

    def test_heads_and_projectors_are_in_the_optimiser_afterwards(self) -> None:
        branches = {"rgb": rgb_branch(TAPS, heads={"exit": Head("mid", PooledLinear())}), "thermal": thermal_branch(TAPS, frozen=True)}
        terms = {
            "ce": supervision(),
            "exit": Term(KD(), "rgb.exit", "rgb.output"),
            "hint": Term(FitNet(), "rgb.deep", "thermal.deep", Conv1x1()),
        }
        distiller = Distiller(branches, terms, "rgb", TASK)
        distiller.bind()
        names = {name for name, parameter in distiller.named_parameters() if parameter.requires_grad}
        assert {"branches.rgb.heads.exit.layers.0.weight", "terms.hint.projector.layers.0.weight", "branches.rgb.model.fc.weight"} <= names
        assert not any(name.startswith("branches.thermal.") for name in names)
