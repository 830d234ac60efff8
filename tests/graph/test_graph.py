"""Branches and terms that make no graph: the error names them and what there is."""

from __future__ import annotations

import pytest
from core_models import TASK, rgb_branch, thermal_branch
from offline_distiller import offline, supervision

from xkd.graph.distiller import Distiller
from xkd.graph.term import Term
from xkd.graph.weights import EMA, Random
from xkd.losses import KD, FitNet
from xkd.projectors import Conv1x1


class TestGraph:
    def test_an_unknown_student_lists_the_branches(self) -> None:
        with pytest.raises(KeyError, match=r"no branch 'student' to be the student; there are \['rgb'\]"):
            Distiller({"rgb": rgb_branch()}, {"ce": supervision()}, "student", TASK)

    def test_a_frozen_student_has_nothing_to_learn(self) -> None:
        with pytest.raises(ValueError, match="the student 'rgb' is frozen"):
            Distiller({"rgb": rgb_branch(weights=Random(True), frozen=True)}, {"ce": supervision()}, "rgb", TASK)

    def test_layers_that_two_terms_would_share(self) -> None:
        projector = Conv1x1()
        with pytest.raises(ValueError, match="terms 'one' and 'two' share one Conv1x1: each needs its own"):
            offline(one=Term(FitNet(), "rgb.deep", "thermal.deep", projector), two=Term(FitNet(), "rgb.mid", "thermal.mid", projector))

    def test_a_graph_without_an_edge(self) -> None:
        with pytest.raises(ValueError, match="at least one term, such as Term"):
            Distiller({"rgb": rgb_branch()}, {}, "rgb", TASK)

    def test_a_term_of_an_unknown_branch(self) -> None:
        with pytest.raises(KeyError, match=r"term 'kd' reads 'therml.output': no branch 'therml'; there are \['rgb', 'thermal', 'batch'\]"):
            offline(kd=Term(KD(), "rgb.output", "therml.output"))

    @pytest.mark.parametrize(
        ("reading", "legal"),
        [("thermal.deeep", r"thermal has \['output', 'mid', 'deep'\]"), ("batch.tarxet", r"batch has \['target', 'mask'\]")],
    )
    def test_a_term_of_an_unknown_reading(self, reading: str, legal: str) -> None:
        with pytest.raises(KeyError, match=rf"term 'kd' reads '{reading}': no tap '{reading.split('.')[1]}'; {legal}"):
            offline(kd=Term(KD(), "rgb.output", reading))

    def test_an_average_of_an_unknown_branch(self) -> None:
        with pytest.raises(KeyError, match=r"branch 'mean' averages 'rbg'; it can average \['rgb'\]"):
            Distiller({"rgb": rgb_branch(), "mean": rgb_branch(weights=EMA("rbg"))}, {"ce": supervision()}, "rgb", TASK)

    def test_an_average_of_itself(self) -> None:
        with pytest.raises(KeyError, match=r"branch 'mean' averages 'mean'; it can average \['rgb'\]"):
            Distiller({"rgb": rgb_branch(), "mean": rgb_branch(weights=EMA("mean"))}, {"ce": supervision()}, "rgb", TASK)

    def test_an_average_of_another_architecture(self) -> None:
        distiller = Distiller({"rgb": rgb_branch(), "mean": thermal_branch(weights=EMA("rgb"))}, {"ce": supervision()}, "rgb", TASK)
        with pytest.raises(ValueError, match=r"an average of 'rgb' needs the same network, changes, sensor and heads; 'mean' is not alike"):
            distiller.bind()
