"""Peers without a frozen teacher are compared, and arms in whose place an ensemble of their networks answers."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import engine_runs as runs
import numpy as np
import pytest
from mmengine.config import Config
from rich.console import Console
from rich.progress import Progress

from xkd.engine.config import load_config
from xkd.engine.progress import Display
from xkd.engine.student import load_student
from xkd.evidence import runs as arm_runs
from xkd.evidence.answers import answer
from xkd.evidence.arms import make_arms
from xkd.evidence.compare import chosen, compare

PEERS = f"""{runs.HEAD}
from xkd.ensembles import Mean, MinLogit
from xkd.graph.ensemble import Ensemble

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
train_dataloader.update(dict(dataset=dict(type=PairedDataset, root="tiny", split="train", views=[rgb], augment=dict(type=Augment))))
compare = dict(
    cluster="frame", attention=dict(rgb="grad_cam:deep"),
    variants=dict(apart={{
        "distiller.terms.to_rgb.weight": 0.0, "distiller.terms.to_wide.weight": 0.0, "distiller.ensembles.team.by": dict(type=Mean),
    }}),
    answers=dict(apart="team"),
)
"""


def test_the_plain_average_of_two_trained_apart_is_an_arm(tmp_path: Path) -> None:
    path = runs.write(tmp_path, peers=PEERS)
    console = Console(quiet=True)
    display = Display(console, Progress(console=console, disable=True))
    done = compare(path, seeds=1, work_dir=tmp_path / "out", options={"train_cfg.max_epochs": 1}, jobs=1, display=display)
    assert list(done.runs) == ["alone", "distilled", "apart"]
    assert not done.summary.share.defined, "no teacher, no gap"
    with (tmp_path / "out/summary.csv").open(encoding="utf-8") as table:
        assert {row["arm"] for row in csv.DictReader(table)} >= {"alone", "distilled", "apart"}
    assert "does distillation help?" in done.report.read_text("utf-8")
    (apart,) = [arm for arm in done.arms if arm.name == "apart"]
    assert (apart.title, apart.branch) == ("team, apart", "team")
    run, config = done.runs["apart"][0], apart.config()
    answers = {}
    for name in ("rgb", "wide"):
        config.distiller.student = name
        answers[name] = answer(config, load_student(config, str(run.checkpoint), name), 0)
    place = [answers["rgb"].rows.tolist().index(row) for row in run.test.rows]
    expected = (answers["rgb"].predictions + answers["wide"].predictions)[place] / 2
    np.testing.assert_allclose(run.test.predictions, expected, atol=1e-5)


def test_peers_have_no_teacher_whose_place_the_student_could_take(tmp_path: Path) -> None:
    assert "self_taught" not in [arm.name for arm in make_arms(runs.write(tmp_path, peers=PEERS), {})]


def test_who_answers_beside_the_student_is_an_arm_of_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = runs.write(tmp_path, peers=PEERS.replace('answers=dict(apart="team")', 'answers=dict(distilled=("team", "wide"))'))
    console = Console(quiet=True)
    display = Display(console, Progress(console=console, disable=True))
    train, trained = arm_runs.train, []

    def told(config: Config, folder: Path, *rest: Any, **settings: Any) -> Any:
        trained.append(folder.parent.name)
        return train(config, folder, *rest, **settings)

    monkeypatch.setattr(arm_runs, "train", told)
    options, named = {"train_cfg.max_epochs": 1}, ["alone", "distilled", "distilled_team", "distilled_wide"]
    done = compare(path, seeds=1, work_dir=tmp_path / "out", arms=named, options=options, jobs=1, display=display)
    assert trained == ["alone", "distilled"]
    own, team, wide = (done.runs[name][0] for name in named[1:])
    assert own.folder == team.folder == wide.folder
    assert not np.array_equal(own.test.predictions, wide.test.predictions)
    config = load_config(path, options)
    for name, run in (("rgb", own), ("team", team), ("wide", wide)):
        answers = answer(config, load_student(config, str(own.checkpoint), name), 0)
        place = [answers.rows.tolist().index(row) for row in run.test.rows]
        np.testing.assert_allclose(run.test.predictions, answers.predictions[place], atol=1e-6)
    with pytest.raises(ValueError, match="the arm 'apart_wide' is of the run of 'apart': name that one too"):
        chosen(
            make_arms(runs.write(tmp_path, peers=PEERS.replace('apart="team"', 'apart=["wide"]')), {}), ["alone", "distilled", "apart_wide"]
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("answers=dict(apart=", "answers=dict(together="),
            r"compare.answers names 'together', which is no arm; there are \['alone', .*'apart'\]",
        ),
        (
            ('apart="team"', 'apart="tall"'),
            r"compare.answers.apart names 'tall', and no such network learns in its run; there are \['rgb', 'wide', 'team'\]",
        ),
    ],
)
def test_who_answers_is_a_network_of_the_run(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    with pytest.raises(KeyError, match=message):
        make_arms(runs.write(tmp_path, peers=PEERS.replace(*change)), {})


def test_an_arm_of_its_own_is_not_hidden_by_who_answers(tmp_path: Path) -> None:
    twice = PEERS.replace("variants=dict(apart=", "variants=dict(apart_wide={}, apart=").replace('apart="team"', 'apart=["wide"]')
    with pytest.raises(ValueError, match=r"compare.answers.apart makes an arm 'apart_wide', and there is one of that name"):
        make_arms(runs.write(tmp_path, peers=twice), {})
