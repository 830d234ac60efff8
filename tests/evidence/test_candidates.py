"""What a search chooses among: timm's networks and sizes as changes of one config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import engine_runs as runs
import pytest
import timm
import torch

from xkd.engine.config import as_plain, load_config
from xkd.evidence.candidates import DEFAULT, built, candidates_of
from xkd.taps import stage_names

STUDENT = (
    runs.STUDENT
    + """
import timm
distiller["branches"]["rgb"].update(model=dict(type=timm.create_model, model_name="test_resnet", num_classes=3, drop_rate=0.1))
search = dict(candidates={candidates}, {more})
"""
)


def searching(folder: Path, candidates: str, more: str = "") -> Path:
    return runs.write(folder, teacher=runs.TEACHER, student=STUDENT.format(candidates=candidates, more=more))


def test_a_candidate_changes_the_network_and_every_place_of_its_size(tmp_path: Path) -> None:
    path = searching(
        tmp_path,
        "['test_vit', dict(model_name='test_resnet', channels=(8, 16), size=[24, 16]), dict(name='a.b', model_name='test_vit')]",
        "sizes=[(16, 16), (8, 8)]",
    )
    made = candidates_of(load_config(path))
    names = ["test_vit", "test_vit_8x8", "test_resnet_channels8-16_24x16", "a-b", "a-b_8x8"]
    assert [one.name for one in made] == names
    assert len({one.key for one in made}) == 3, "by the network and the size, not the name"
    assert [one.key for one in made] == [one.key for one in candidates_of(load_config(path))], "a device's timings are found again"
    assert list(made[0].change) == ["distiller.branches.rgb.model"]
    changed = load_config(path, made[2].change)
    model = as_plain(changed.distiller.branches.rgb.model)
    assert model == {"type": timm.create_model, "num_classes": 3, "model_name": "test_resnet", "channels": (8, 16)}
    assert tuple(changed.distiller.branches.rgb.view["size"]) == (24, 16)
    for split in ("train", "val", "test"):
        assert tuple(changed[f"{split}_dataloader"].dataset.views[0]["size"]) == (24, 16)
    assert tuple(changed.train_dataloader.dataset.views[1]["size"]) == (16, 24), "the teacher's stays"


def test_it_is_found_in_a_wrapper(tmp_path: Path) -> None:
    path = searching(tmp_path, "['test_vit']")
    text = path.read_text("utf-8") + 'network = distiller["branches"]["rgb"]["model"]\n'
    text += 'from xkd import Enlarged\ndistiller["branches"]["rgb"]["model"] = dict(type=Enlarged, size=(32, 32), network=network)\n'
    [one] = candidates_of(load_config(runs.write(tmp_path, student=text)))
    assert list(one.change) == ["distiller.branches.rgb.model.network"]
    [other] = candidates_of(load_config(runs.write(tmp_path, student=text.replace("(32, 32)", "(64, 64)"))))
    assert other.key != one.key, "the wrapper costs time as well"


MISTAKES: dict[str, tuple[str, str, type[Exception], str]] = {
    "unknown": (
        "['mobilenetv3_smal_050']",
        "",
        ValueError,
        r"timm has no network 'mobilenetv3_smal_050'; near it: \['mobilenetv3_small_050'",
    ),
    "twice": ("['test_vit', 'test_vit']", "", ValueError, "names test_vit twice"),
    "an arm's": ("[dict(name='alone', model_name='test_vit')]", "", ValueError, "cannot have 'alone', the name of an arm"),
    "none": ("[]", "", ValueError, "names no network"),
    "entry": ("[3]", "", ValueError, "names of timm's, or dict"),
    "size": ("['test_vit']", "sizes=[32]", ValueError, r"a size is \(height, width\)"),
    "key": ("['test_vit']", "size=[(32, 32)]", KeyError, "did you mean 'sizes'"),
}


@pytest.mark.parametrize(("candidates", "more", "kind", "message"), MISTAKES.values(), ids=list(MISTAKES))
def test_mistakes(candidates: str, more: str, kind: type[Exception], message: str, tmp_path: Path) -> None:
    with pytest.raises(kind, match=message):
        candidates_of(load_config(searching(tmp_path, candidates, more)))


SHARED = 'distiller["branches"]["thermal"].update(model=dict(type=CNN), view=rgb)\n'
PIXELS = "from xkd.tasks import Segmentation\ndistiller['task'] = dict(type=Segmentation, classes=('a', 'b', 'c'))\n"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (SHARED, "branch 'thermal' sees the student's view 'rgb' too"),
        (PIXELS, "measured at their own size"),
        ('distiller["branches"]["rgb"]["model"] = dict(type=CNN)\n', "branch 'rgb' has 0 of them"),
    ],
)
def test_what_cannot_be_changed_is_said(more: str, message: str, tmp_path: Path) -> None:
    path = searching(tmp_path, "['test_vit']", "sizes=[(8, 8)]")
    with pytest.raises(ValueError, match=message):
        candidates_of(load_config(runs.write(tmp_path, student=path.read_text("utf-8") + more)))


def test_timm_has_the_default_ones() -> None:
    assert len(set(DEFAULT)) == 20
    assert all(timm.is_model(name) for name in DEFAULT)


@pytest.mark.slow
@pytest.mark.parametrize("name", DEFAULT)
def test_a_default_one_has_stages_to_tap(name: str) -> None:
    network: Any = timm.create_model(name, num_classes=3).eval()
    assert len(stage_names(network)) >= 4
    with torch.no_grad():
        assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 3)
    assert timm.create_model(name, features_only=True, out_indices=(1, 2, 3)).feature_info.reduction()[-1] >= 16


def test_the_graph_is_tried(tmp_path: Path) -> None:
    path = searching(tmp_path, "['test_convnext']")  # whose stages leave nothing of 16 pixels
    [one] = candidates_of(load_config(path))
    with pytest.raises(ValueError, match="cannot take"):
        built(load_config(path, one.change))
