"""Ensembles in runs: measured before they teach, checked against the data, served from the cache, tested and exported as one network."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import engine_runs as runs
import numpy as np
import onnxruntime
import pytest
import torch
from mmengine.config import Config
from rich.console import Console

from xkd.engine import use
from xkd.engine.checks import check_together
from xkd.engine.config import copied
from xkd.engine.describe import teaching_ensembles
from xkd.engine.loaders import build_distiller, build_loader
from xkd.engine.outline import Outline
from xkd.engine.stages import teacher_config
from xkd.engine.student import load_student
from xkd.evaluate import predict_together
from xkd.graph.reading import Reading

IMPORTS = """
from xkd.ensembles import Confidence, Gated, Mean, MinLogit
from xkd.graph.ensemble import Ensemble
from xkd.graph.gates import Dropped
from xkd.graph.weights import Trained
"""
_FROZEN = "weights=dict(type=Random, frozen=True), frozen=True"
TEACHERS = f"""{runs.HEAD}{IMPORTS}
distiller = dict(
    type=Distiller, student="rgb", task=task,
    branches=dict(
        rgb=dict(type=Branch, model=dict(type=CNN), view=rgb, weights=dict(type=Random)),
        thermal=dict(type=Branch, model=dict(type=CNN, channels=1), view=thermal, {_FROZEN}),
        wide=dict(type=Branch, model=dict(type=CNN, width=16), view=rgb, {_FROZEN}),
    ),
    ensembles=dict(team=dict(type=Ensemble, of=("thermal.output", "wide.output"), by=dict(type=Mean))),
    terms=dict(
        ce=dict(type=Term, loss=dict(type=CrossEntropy), student="rgb.output", teacher="batch.target"),
        kd=dict(type=Term, loss=dict(type=KD, tau=2.0), student="rgb.output", teacher="team.output"),
        one=dict(type=Term, loss=dict(type=KD), student="rgb.output", teacher="wide.output",
            gate=dict(type=Dropped, student="rgb.output", teachers=("thermal.output", "wide.output"), of=1)),
    ),
)
"""
PEERS = f"""{runs.HEAD}{IMPORTS}
distiller = dict(
    type=Distiller, student="rgb", task=task,
    branches=dict(
        rgb=dict(type=Branch, model=dict(type=CNN), view=rgb, weights=dict(type=Random)),
        wide=dict(type=Branch, model=dict(type=CNN, width=16), view=rgb, weights=dict(type=Random)),
    ),
    ensembles=dict(team=dict(type=Ensemble, of=("rgb.output", "wide.output"), by=dict(type=MinLogit))),
    terms=dict(
        ce=dict(type=Term, loss=dict(type=CrossEntropy), student="rgb.output", teacher="batch.target"),
        ce_wide=dict(type=Term, loss=dict(type=CrossEntropy), student="wide.output", teacher="batch.target"),
        to_rgb=dict(type=Term, loss=dict(type=KD), student="rgb.output", teacher="team.output"),
        to_wide=dict(type=Term, loss=dict(type=KD), student="wide.output", teacher="team.output"),
    ),
)
"""


@pytest.fixture(scope="module")
def peers(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, str]:
    folder = tmp_path_factory.mktemp("peers")
    config = runs.config_of(folder, PEERS, {"train_cfg.max_epochs": 2})
    return config, runs.run_training(config, folder / "run").checkpoint


def as_student(config: Config, name: str) -> Config:
    changed = copied(config)
    changed.distiller.student = name
    return changed


class TestTeachers:
    def test_a_run_measures_the_team_beside_its_sources_and_serves_them_from_the_cache(self, tmp_path: Path) -> None:
        config = runs.config_of(tmp_path, TEACHERS, {"train_cfg.max_epochs": 1})
        config.teacher_cache = {"type": "xkd.data.cache.TeacherCache", "draws": 1, "folder": str(tmp_path / "cache")}
        console = Console(file=io.StringIO(), width=2000)
        runs.run_training(config, tmp_path / "run", console)
        assert isinstance(console.file, io.StringIO)
        told = console.file.getvalue()
        assert "teacher 'thermal' on val: accuracy" in told
        assert "teacher 'team' on val: accuracy" in told
        assert "team (Mean of thermal.output, wide.output)" in told
        for source in ("thermal", "wide"):
            assert f": {source}.output of " in told

    def test_what_is_measured_is_the_mean_of_both_by_hand(self, tmp_path: Path) -> None:
        config = runs.config_of(tmp_path, TEACHERS)
        distiller = build_distiller(config.distiller, 0).eval()
        assert teaching_ensembles(distiller) == ["team"]
        views = [distiller.branches[name].view for name in ("thermal", "wide")]
        loader = build_loader(config.val_dataloader, 0, views=views)
        predictions = predict_together(distiller, "team", loader)
        batch = next(iter(loader))
        with torch.no_grad():
            outputs = [distiller.branches[name](batch, distiller.task)["output"].softmax(1) for name in ("thermal", "wide")]
        torch.testing.assert_close(predictions.values[: len(batch)], (outputs[0] + outputs[1]) / 2)

    def test_an_ensemble_that_goes_by_labels_is_measured_without_them(self, tmp_path: Path) -> None:
        config = runs.config_of(tmp_path, TEACHERS)
        config.distiller.ensembles.team.by = {"type": "xkd.ensembles.MinLogit"}
        loader = build_loader(config.val_dataloader, 0, views=[build_distiller(config.distiller, 0).branches["wide"].view])
        config.distiller.ensembles.team.of = ["wide.output"]
        distiller = build_distiller(config.distiller, 0)
        alone = predict_together(distiller, "team", loader)
        batch = next(iter(loader))
        with torch.no_grad():
            expected = distiller.branches["wide"](batch, distiller.task)["output"].softmax(1)
        torch.testing.assert_close(alone.values[: len(batch)], expected)

    def test_peers_are_no_teacher_to_measure(self, peers: tuple[Config, str]) -> None:
        assert teaching_ensembles(build_distiller(peers[0].distiller, 0)) == []


class TestChecks:
    def checked(self, config: Config, change: Any) -> None:
        distiller = build_distiller(config.distiller, 0)
        loaders = {split: build_loader(config[f"{split}_dataloader"], 0) for split in ("train", "val")}
        loaders["train"].dataset.rows = [change(row) for row in loaders["train"].dataset.rows]
        check_together(distiller, loaders, config.save_best)

    def test_no_row_that_counts(self, tmp_path: Path) -> None:
        config = runs.config_of(tmp_path, TEACHERS)
        config.distiller.ensembles.team.need = "all"

        def without_thermal(row: Any) -> Any:
            return replace(row, files={name: file for name, file in row.files.items() if name != "thermal"})

        self.checked(config, lambda row: row)
        counts = (
            r"counts rows that have all of \['thermal.output', 'wide.output'\], and no row of split 'train' does: .*'thermal.output': 0"
        )
        with pytest.raises(ValueError, match=rf"ensemble 'team' {counts}"):
            self.checked(config, without_thermal)
        config.distiller.ensembles.team.need = "any"
        self.checked(config, without_thermal)

    def test_labels_that_are_nowhere(self, tmp_path: Path) -> None:
        config = runs.config_of(tmp_path, PEERS)
        with pytest.raises(
            ValueError, match=r"ensemble 'team' of .* combines by the label \(MinLogit\), and no row of split 'train' has one: use Mean\(\)"
        ):
            self.checked(config, lambda row: replace(row, labels=None))


class TestOutline:
    def test_it_knows_what_an_ensemble_is_made_of(self, tmp_path: Path) -> None:
        outline = Outline.of(runs.config_of(tmp_path, TEACHERS))
        assert outline.owners(Reading("team", "output")) == {"thermal", "wide"}
        assert outline.edges["one"].gate == tuple(Reading(name, "output") for name in ("rgb", "thermal", "wide"))
        assert outline.taught_by("wide")
        assert not outline.taught_by("rgb")

    def test_a_teachers_own_run_has_none(self, tmp_path: Path) -> None:
        config = runs.config_of(
            tmp_path, TEACHERS.replace(f"view=thermal, {_FROZEN}", "view=thermal, weights=dict(type=Trained), frozen=True")
        )
        made = teacher_config(config, "thermal")
        assert "ensembles" not in made.distiller
        build_distiller(made.distiller, 0)


class TestAsOneNetwork:
    @pytest.mark.parametrize("by", ["MinLogit", "Mean"])
    def test_it_answers_as_its_networks_together(self, peers: tuple[Config, str], by: str) -> None:
        config = as_student(peers[0], "team")
        config.distiller.ensembles.team.by = {"type": f"xkd.ensembles.{by}"}
        both = [load_student(peers[0], peers[1], name).branch for name in ("rgb",)]
        both.append(load_student(as_student(peers[0], "wide"), peers[1]).branch)
        team = load_student(config, peers[1])
        batch = next(iter(build_loader(config.test_dataloader, 0, views=[team.branch.view])))
        with torch.no_grad():
            expected = torch.stack([one(batch, team.task)["output"].softmax(1) for one in both]).mean(0)
            torch.testing.assert_close(team.branch(batch, team.task)["output"].softmax(1), expected)
        assert not torch.allclose(both[0].model.fc.weight[:, :1], both[1].model.fc.weight[:, :1])

    def test_it_is_tested_asked_and_exported(self, peers: tuple[Config, str], data_root: Path, tmp_path: Path) -> None:
        config = as_student(peers[0], "team")
        tested = use.test(config, peers[1])
        assert set(tested.metrics) == {"accuracy", "balanced_accuracy", "macro_f1"}
        image = next(path for path in sorted(data_root.rglob("*")) if path.suffix in (".png", ".jpg") and "rgb" in str(path))
        (answer,) = use.predict(tested.student, [image])
        report = use.export(config, peers[1], tmp_path / "team.onnx", with_test=False)
        session = onnxruntime.InferenceSession(report.model, providers=["CPUExecutionProvider"])
        images = np.random.default_rng(0).integers(0, 256, (3, 3, 16, 16)).astype(np.uint8)
        given = session.run(["probabilities"], {"images": images})[0]
        branch = tested.student.branch
        batch = next(iter(build_loader(config.test_dataloader, 0, views=[branch.view])))
        with torch.no_grad():
            expected = branch.run(torch.from_numpy(images), batch, tested.student.task)["output"].softmax(1)
        np.testing.assert_allclose(given, expected.numpy(), atol=1e-4)
        assert sum(answer.answer.values.values()) == pytest.approx(1, abs=1e-4)

    def test_networks_of_several_sensors_are_refused(self, tmp_path: Path, peers: tuple[Config, str]) -> None:
        config = as_student(runs.config_of(tmp_path, TEACHERS), "team")
        with pytest.raises(
            ValueError,
            match=r"ensemble 'team' cannot be tested or exported: its networks see several views, .*'thermal': 'thermal', 'wide': 'rgb'",
        ):
            load_student(config, peers[1])
        config.distiller.ensembles.team.of = ["wide.output", "rgb.mid"]
        with pytest.raises(ValueError, match=r"one network is made of outputs of whole networks .*one of \['rgb', 'thermal', 'wide'\]"):
            load_student(config, peers[1])
