"""A run without any data: interrupted, resumed, and looked at by the images that its generator makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import engine_runs as runs
import pytest
import torch
from broken_off_runs import interrupted, same_runs
from core_models import CNN

from xkd.batch import View
from xkd.cli import run
from xkd.data.augment import Augment
from xkd.data.manifest import Manifest, sensor
from xkd.data.paired import PairedDataset
from xkd.engine.synthesize import judge_of, maker_of, synthesize
from xkd.graph.inputs import Crops, Eats

FREE = f"""{runs.HEAD}
from xkd.data.blank import Blank
from xkd.graph.inputs import Eats
from xkd.losses import NormStatistics, OwnClass
from xkd.modalities import Noise
from xkd.networks import Generator
from xkd.tasks import Features

noise = dict(type=View, name="noise", modality=dict(type=Noise, channels=9), size=(1, 1))
maker = dict(type=Generator, view=rgb, latent=9, classes=3, width=4)
distiller = dict(
    type=Distiller,
    student="rgb",
    task=task,
    branches=dict(
        rgb=dict(type=Branch, model=dict(type=CNN), view=rgb, weights=dict(type=Random), eats=dict(type=Eats, reading="maker.output")),
        judge=dict(
            type=Branch, model=dict(type=CNN), view=rgb, weights=dict(type=Checkpoint, path="FOLDER/judge.pth"), frozen=True, judged=False,
            taps=dict(norms=dict(type=Tap, path="", kind="norms")), eats=dict(type=Eats, reading="maker.output", gradient=1.0),
        ),
        maker=dict(
            type=Branch, model=maker, view=noise, weights=dict(type=Random), task=dict(type=Features),
            taps=dict(drawn=dict(type=Tap, path="drawn")),
        ),
    ),
    terms=dict(
        kd=dict(type=Term, loss=dict(type=KD), student="rgb.output", teacher="judge.output"),
        asked=dict(type=Term, loss=dict(type=OwnClass), student="judge.output", teacher="maker.drawn"),
        norms=dict(type=Term, loss=dict(type=NormStatistics), student="judge.norms", teacher="judge.norms"),
    ),
)
train_dataloader = dict(batch_size=6, num_workers=0, sampler=dict(shuffle=True), dataset=dict(type=Blank, rows=12, views=[noise]))
train_cfg.update(max_epochs=2)
"""


@pytest.fixture
def config(tmp_path: Path) -> Any:
    torch.manual_seed(0)
    torch.save(CNN().state_dict(), tmp_path / "judge.pth")
    return lambda: runs.config_of(tmp_path, FREE.replace("FOLDER", str(tmp_path)))


def test_a_run_without_data_is_resumed_and_its_images_are_a_data_set(config: Any, tmp_path: Path) -> None:
    runs.run_training(config(), tmp_path / "whole")
    interrupted(config, tmp_path / "parts", epoch=1)
    runs.run_training(config(), tmp_path / "parts", resume=True)
    same_runs(tmp_path / "whole", tmp_path / "parts", "epoch_2.pth")
    last = str(tmp_path / "whole" / "epoch_2.pth")

    sheet = synthesize(config(), last, tmp_path / "made", num=60)
    assert cv2.imread(str(sheet)) is not None
    manifest = Manifest.load(tmp_path / "made")
    assert (len(manifest.rows), manifest.classes) == (60, ("blank", "disc", "bar"))
    assert {row.labels for row in manifest.rows} == {("blank",), ("disc",), ("bar",)}  # the classes that were asked for
    row = manifest.rows[0]
    assert row.meta["asked"] == (row.labels or [""])[0]
    assert {"prediction", "p_blank", "p_disc", "p_bar"} <= set(row.meta)
    rgb = View("rgb", sensor(str(tmp_path / "made"), "rgb"), (16, 16))
    assert rgb.modality == sensor("tiny", "rgb")
    images = PairedDataset(str(tmp_path / "made"), "train", [rgb], Augment())
    assert images[0].views["rgb"].float().std() > 1

    command = [str(tmp_path / "config.py"), last, "--num", "2", "--out"]
    assert [run("synthesize", [*command, str(tmp_path / name), "--draw", draw]) for name, draw in (("again", "0"), ("other", "1"))] == [
        0,
        0,
    ]
    first, again, other = (cv2.imread(str(tmp_path / name / row.files["rgb"][0])) for name in ("made", "again", "other"))
    assert (first == again).all()
    assert (first != other).any()
    assert run("synthesize", [*command, str(tmp_path / "made")]) == 2  # it is there already


def test_who_makes_the_images_is_found_or_named() -> None:
    eats: dict[str, Any] = {f"judge of {name}": {"eats": {"type": Eats, "reading": f"{name}.output"}} for name in ("one", "two")}
    assert maker_of({"judge": eats["judge of one"], "crops": {"eats": {"type": Crops, "size": (8, 8)}}, "plain": {}}) == "one"
    assert maker_of(eats, "two") == "two"
    for named, error in (
        ("", r"several branches make images, \['one', 'two'\]: name one by --branch"),
        ("three", "no branch eats the output"),
    ):
        with pytest.raises((KeyError, ValueError), match=error):
            maker_of(eats, named)
    with pytest.raises(ValueError, match=r"no branch of \['plain'\] eats another one's output, so nobody makes images here"):
        maker_of({"plain": {}})


def test_a_term_on_labels_where_nothing_has_a_label_is_refused(config: Any, tmp_path: Path) -> None:
    labels = 'ce=dict(type=Term, loss=dict(type=CrossEntropy), student="rgb.output", teacher="batch.target"),'
    config()
    text = FREE.replace("FOLDER", str(tmp_path)).replace("terms=dict(", f"terms=dict({labels}", 1)
    with pytest.raises(ValueError, match=r"blank rows: term 'ce' learns from labels, and none of the 12 training rows has one"):
        runs.run_training(runs.config_of(tmp_path, text), tmp_path / "run")


def test_no_network_that_learns_is_the_judge(config: Any, tmp_path: Path) -> None:
    config()
    start = f'weights=dict(type=Checkpoint, path="{tmp_path}/judge.pth")'
    eats = 'eats=dict(type=Eats, reading="maker.output")'
    fakes = f'fakes=dict(type=Branch, model=dict(type=CNN), view=rgb, weights=dict(type=Shared, of="rgb"), {eats}),'
    text = FREE.replace("FOLDER", str(tmp_path)).replace("weights=dict(type=Random)", start, 1)
    text = text.replace("        judge=dict(", f"        {fakes}\n        judge=dict(", 1)
    made = runs.config_of(tmp_path, text.replace("from xkd.tasks", "from xkd.graph.weights import Shared\nfrom xkd.tasks", 1))
    torch.save({"state_dict": {}}, tmp_path / "run.pth")
    judge = judge_of(made, str(tmp_path / "run.pth"), "maker")
    assert judge is not None
    assert judge.name == "judge"
