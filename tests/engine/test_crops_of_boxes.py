"""A classifier of crops inside a detector's run: its windows move with the boxes, it is measured on them, cached, and shown its task."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import engine_runs as runs
import pytest
import torch
from mmengine.config import Config
from rich.console import Console
from torch import Tensor, nn

from xkd.batch import View
from xkd.data.annotations import Masks
from xkd.data.augment import Augment
from xkd.data.identity import identity
from xkd.data.loader import collate
from xkd.data.manifest import sensor
from xkd.data.paired import PairedDataset
from xkd.engine.stages import teacher_config
from xkd.engine.student import load_student
from xkd.evaluate import measure, predict_boxes
from xkd.graph.branch import Branch
from xkd.graph.inputs import Crops
from xkd.graph.weights import Checkpoint, Random, Trained
from xkd.tasks import Classification, Detection

CLASSES = ("blank", "disc", "bar")
RUN = Detection(CLASSES)


def config(folder: Path, options: dict[str, Any] | None = None) -> Config:
    return runs.config_of(folder, runs.BOXED.replace("FOLDER", str(folder / "cache")), options)


def output_of(made: Config, folder: Path) -> str:
    page = io.StringIO()
    runs.run_training(made, folder, Console(file=page, width=400))
    return page.getvalue()


class Warm(nn.Module):
    """Tells long objects from round ones by how much of the window is warm, since all of them are."""

    def forward(self, images: Tensor) -> Tensor:
        share = (images > 0).float().mean((1, 2, 3))
        return 50 * torch.stack([0 * share, share - 0.45, 0.45 - share], 1)


def boxes_of(tiny_dataset: Path, split: str, augment: Augment | None = None) -> PairedDataset:
    view = View("thermal", sensor(str(tiny_dataset), "thermal"), (40, 48))
    return PairedDataset(str(tiny_dataset), split, [view], augment or Augment(), target="boxes", masks=Masks("none"))


def test_the_windows_move_with_the_boxes_in_every_draw(tiny_dataset: Path) -> None:
    dataset = boxes_of(tiny_dataset, "train", Augment(flip=0.5, scale=(0.6, 1.3), shift=0.2))
    crops, middles = Crops((9, 9), 1.0), []
    for draw in range(6):
        batch = collate([dataset[index, draw] for index in range(len(dataset))])
        images, places = crops.food(dataset.views[0], batch, RUN, None)
        assert places.sum() == len(images) > 0
        middles.append(images[:, 0, 4, 4])
    assert (torch.cat(middles) > 299).all(), "around it are 290 K, the object has 302"


def test_a_classifier_is_measured_on_the_boxes_that_are_annotated(tiny_dataset: Path) -> None:
    dataset = boxes_of(tiny_dataset, "test")
    batches = [collate([dataset[index] for index in range(first, first + 4)]) for first in (0, 4, 8)]
    view = dataset.views[0]
    branch = Branch(Warm(), view, Random(frozen=True), frozen=True, task=Classification(CLASSES), eats=Crops((8, 8), 1.0))
    told = predict_boxes(branch, RUN, batches)
    assert len(told) == 8, "a third of the rows shows none"
    assert measure(Classification(CLASSES), told)["accuracy"] == 1
    more = Classification(("other", "bar", "disc", "blank"))
    renamed = Branch(nn.Sequential(Warm(), Reordered()), view, Random(frozen=True), frozen=True, task=more, eats=Crops((8, 8), 1.0))
    assert measure(more, predict_boxes(renamed, RUN, batches))["accuracy"] == 1
    control = Branch(Warm(), view, Random(frozen=True), frozen=True, task=Classification(CLASSES), eats=Crops((8, 8), 1.0, shuffled=True))
    assert torch.equal(predict_boxes(control, RUN, batches).values, told.values)
    fewer = Branch(Warm(), view, Random(frozen=True), frozen=True, task=Classification(("disc", "bar", "x")), eats=Crops((8, 8)))
    with pytest.raises(ValueError, match=r"Classification\(.* does not tell the classes \['blank', 'disc', 'bar'\] of boxes apart"):
        predict_boxes(fewer, RUN, batches)
    unread = [replace(batch, broken=["a.png is cut off"]) for batch in batches]
    with pytest.raises(ValueError, match=r"3 of 12 rows could not be read, more than 5%: a\.png is cut off"):
        predict_boxes(branch, RUN, unread)
    empty = [replace(batch, labelled=torch.zeros(4, dtype=torch.bool)) for batch in batches]
    with pytest.raises(ValueError, match="no row has a box in view 'thermal'"):
        predict_boxes(branch, RUN, empty)


class Reordered(nn.Module):
    def forward(self, logits: Tensor) -> Tensor:
        return torch.cat([logits[:, :1] - 99, logits.flip(1)], 1)


def test_a_run_measures_and_caches_it_and_a_second_one_finds_its_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xkd.engine.train.build_distiller", runs.double)
    text = output_of(config(tmp_path), tmp_path / "first")
    assert "thermal (frozen, Crops(size=(8, 8), context=1.15, shuffled=False), view thermal)" in text
    assert "teacher 'thermal' on val: accuracy" in text
    assert " of 8 boxes" in text
    assert "thermal.output of 23 rows in 1 draws" in text
    live = config(tmp_path, {"teacher_cache": None, "train_dataloader.sampler.num_draws": 1})
    runs.run_training(live, tmp_path / "live")
    one, other = (runs.read(tmp_path / folder / "epoch_1.pth")["state_dict"] for folder in ("first", "live"))
    assert all(torch.allclose(one[name], other[name], rtol=1e-9, atol=1e-9) for name in one)
    assert "; 0 of " in output_of(config(tmp_path), tmp_path / "second")
    stays = output_of(config(tmp_path, {"distiller.branches.thermal.eats.shuffled": True}), tmp_path / "third")
    assert "branch 'thermal' stays live; its answers depend on other branches or rows" in stays
    alone = load_student(config(tmp_path), str(tmp_path / "first" / "best.pth"))
    assert alone.task == RUN


def test_boxes_that_are_drawn_otherwise_are_other_answers(tiny_dataset: Path) -> None:
    dataset = boxes_of(tiny_dataset, "train")
    before = [identity(dataset, dataset.views[0], boxes) for boxes in (False, True)]
    row, (box, name) = next((index, row.boxes[0]) for index, row in enumerate(dataset.rows) if row.boxes)
    dataset.rows[row] = replace(dataset.rows[row], boxes=((replace_edge(box), name),))
    after = [identity(dataset, dataset.views[0], boxes) for boxes in (False, True)]
    assert before[0] == after[0]
    assert before[1] != after[1]


def replace_edge(box: Any) -> Any:
    return box._replace(x2=box.x2 + 1)


def test_who_answers_another_question_is_trained_by_another_config(tmp_path: Path) -> None:
    made = config(tmp_path, {"distiller.branches.thermal.weights": {"type": Trained}})
    told = r"branch 'thermal' has a task of its own, or eats no whole view, so .* by a config of its own and use weights=Checkpoint\(path\)"
    with pytest.raises(ValueError, match=told):
        teacher_config(made, "thermal")


def test_a_view_that_the_data_lack_is_named_with_those_that_there_are(tmp_path: Path) -> None:
    made = config(tmp_path)
    made.train_dataloader.dataset.views = [made.train_dataloader.dataset.views[0]]
    with pytest.raises(ValueError, match=r"branch 'thermal' takes View\(name='thermal', .*the train data provides \[View\(name='rgb'"):
        runs.run_training(made, tmp_path / "run")


def test_a_branch_that_learned_by_its_own_task_says_which_classes(tmp_path: Path) -> None:
    runs.run_training(config(tmp_path, {"teacher_cache": None}), tmp_path / "run")
    path = str(tmp_path / "run" / "best.pth")
    assert Checkpoint(path, branch="thermal").classes() == CLASSES
    assert runs.read(tmp_path / "run" / "best.pth")["meta"]["xkd"]["own_classes"] == {"thermal": list(CLASSES)}
