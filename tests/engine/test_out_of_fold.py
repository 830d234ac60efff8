"""A run whose teachers leave out a fold each: they are trained first, say what they have seen, and a leak between folds is refused."""

from __future__ import annotations

from pathlib import Path

import engine_runs as runs
import pytest
import torch
from mmengine.config import Config

from xkd.data.cache import TeacherCache
from xkd.engine.checks import check_together
from xkd.engine.config import as_names, copied
from xkd.engine.folds import taught_by
from xkd.engine.loaders import build_distiller, build_loader
from xkd.graph.weights import Checkpoint, Random

FOLDED = f"""{runs.HEAD}
from xkd.data.fold import Fold
from xkd.ensembles import Mean
from xkd.graph.ensemble import Ensemble
from xkd.graph.weights import Trained

without = "train_dataloader.dataset.without"
teacher = dict(type=Branch, model=dict(type=CNN, channels=1), view=thermal, frozen=True, judged=False)
distiller = dict(
    type=Distiller,
    student="rgb",
    task=task,
    branches=dict(
        rgb=dict(type=Branch, model=dict(type=CNN), view=rgb, weights=dict(type=Random)),
        first=dict(teacher, weights=dict(type=Trained, options={{without: dict(type=Fold, number=0, of=2)}})),
        second=dict(teacher, weights=dict(type=Trained, options={{without: dict(type=Fold, number=1, of=2)}})),
        unread=dict(teacher, weights=dict(type=Random, frozen=True)),
    ),
    ensembles=dict(team=dict(type=Ensemble, of=("first.output", "second.output"), by=dict(type=Mean), need="unseen")),
    terms=dict(
        ce=dict(type=Term, loss=dict(type=CrossEntropy), student="rgb.output", teacher="batch.target"),
        kd=dict(type=Term, loss=dict(type=KD, tau=2.0), student="rgb.output", teacher="team.output"),
    ),
)
train_cfg.update(max_epochs=1)
"""


@pytest.fixture(scope="module")
def trained(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """The config with the teachers' files, which one run has trained first, the student by cached answers."""
    folder = tmp_path_factory.mktemp("folded")
    config = runs.config_of(folder, FOLDED)
    config.teacher_cache = as_names({"type": TeacherCache, "draws": 1, "folder": str(folder / "cache")})
    runs.run_training(config, folder / "run")
    for name in ("first", "second"):
        [file] = folder.glob(f"trained/{name}/*/best.pth")
        config.distiller.branches[name].weights = as_names({"type": Checkpoint, "path": str(file)})
    return config


def check(config: Config, seed: int = 0) -> None:
    loaders = {split: build_loader(config[f"{split}_dataloader"], seed) for split in ("train", "val")}
    check_together(build_distiller(config.distiller, seed), loaders, config.save_best)


def test_each_row_is_taught_by_the_teacher_that_was_trained_without_its_group(trained: Config) -> None:
    distiller = build_distiller(trained.distiller, 0).eval()
    seen = {name: distiller.branches[name].weights.seen() for name in ("first", "second")}
    loader = build_loader(trained.train_dataloader, 0)
    labelled = {row.group for row in loader.dataset.rows if row.labels is not None}
    assert seen["first"] | seen["second"] == labelled
    assert not seen["first"] & seen["second"], "of two folds each has seen the other"
    for batch in loader:
        readings = distiller.read(batch)
        assert not readings.captures["unread"], "a frozen branch that nobody reads is not run"
        for row, group in enumerate(batch.groups["thermal"]):
            if batch.present["thermal"][row]:
                members = [name for name in seen if group not in seen[name]]
                expected = torch.stack([readings[f"{name}.output"][row].softmax(0) for name in members]).mean(0)
                torch.testing.assert_close(readings["team.output"][row].softmax(0), expected)
    check(trained)


def test_a_teacher_that_has_seen_its_fold_is_refused(trained: Config) -> None:
    leaking = copied(trained)
    leaking.distiller.branches.second.weights = leaking.distiller.branches.first.weights
    with pytest.raises(
        ValueError, match=r"ensemble 'team' is out of fold, and all of \['first.output', 'second.output'\] have learned from"
    ):
        check(leaking)


def test_a_run_without_a_fold_remembers_what_its_weights_had_seen_before(trained: Config) -> None:
    member = copied(trained)
    member.train_dataloader.dataset.without = as_names({"type": "xkd.data.fold.Fold", "number": 1, "of": 2})
    data = build_loader(member.train_dataloader, 0).dataset
    own = {row.group for row in data.rows if row.labels is not None}
    distiller = build_distiller(member.distiller, 0)
    assert set(taught_by(distiller, data)) == own | distiller.branches["first"].weights.seen() | distiller.branches["second"].weights.seen()
    member.distiller.branches.second.weights = as_names({"type": Random, "frozen": True})
    assert taught_by(build_distiller(member.distiller, 0), data) == sorted(own | distiller.branches["first"].weights.seen())
