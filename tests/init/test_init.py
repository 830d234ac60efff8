"""A first config: what the manifest tells is chosen, the reason stands beside it, and nothing is overwritten."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from xkd import cli
from xkd.data.manifest import Manifest
from xkd.engine.config import as_plain, load_config
from xkd.engine.outline import Outline
from xkd.evidence.arms import make_arms
from xkd.evidence.first import first_config
from xkd.init import choices as choosing
from xkd.init.choices import Node, Wishes, choose
from xkd.init.facts import Facts, gather
from xkd.init.write import _tap
from xkd.losses import MaskEnergy


@pytest.fixture
def manifest(tiny_dataset: Path) -> Manifest:
    return Manifest.load(str(tiny_dataset))


@pytest.fixture
def facts(manifest: Manifest) -> Facts:
    return gather(manifest, "rgb", ("thermal",))


def config(manifest: Manifest, folder: Path, wishes: Wishes, task: str = "") -> Any:
    assert first_config(manifest, str(manifest.root), wishes, folder / "first.py", "xkd init", task)
    return load_config(folder / "first.py")


def test_facts_of_a_data_set(facts: Facts) -> None:
    assert facts.rows == {"train": 22, "val": 12, "test": 12}
    assert facts.labelled == {"train": 16, "val": 12, "test": 12}
    assert (facts.paired, facts.masked, facts.clustered, facts.task) == (21, 21, True, "classification")
    assert facts.sizes == {"rgb": (40, 48), "thermal": (40, 48)}
    assert facts.channels == {"rgb": 3, "thermal": 1}


def test_the_written_config_is_a_distillation_with_its_controls(manifest: Manifest, tmp_path: Path) -> None:
    made = config(manifest, tmp_path, Wishes("rgb", ("thermal",)))
    outline = Outline.of(made)
    assert (outline.student, outline.teachers, outline.trained) == ("rgb", ["thermal"], ["thermal"])
    assert issubclass(as_plain(made.distiller.terms)["mask"]["loss"]["type"], MaskEnergy)
    assert made.compare.cluster == "group"
    arms = [arm.name for arm in make_arms(tmp_path / "first.py", {})]
    assert {"teacher", "alone", "masks", "distilled", "shuffled", "same_sensor"} <= set(arms)


def test_a_second_call_changes_nothing_and_an_edited_file_is_kept(manifest: Manifest, tmp_path: Path) -> None:
    out, wishes = tmp_path / "first.py", Wishes("rgb", ("thermal",))
    assert first_config(manifest, str(manifest.root), wishes, out, "xkd init")
    assert not first_config(manifest, str(manifest.root), wishes, out, "xkd init")
    out.write_text(out.read_text() + "\n# mine\n")
    with pytest.raises(FileExistsError, match="is there and says something else"):
        first_config(manifest, str(manifest.root), wishes, out, "xkd init")
    assert out.read_text().endswith("# mine\n")


def test_several_teachers_share_the_weight_of_one(manifest: Manifest, tmp_path: Path) -> None:
    made = config(manifest, tmp_path, Wishes("rgb", ("thermal", "rgb")))
    terms = as_plain(made.distiller.terms)
    assert (terms["kd_thermal"]["weight"], terms["kd_rgb_teacher"]["weight"]) == (0.5, 0.5)
    assert as_plain(made.distiller.branches)["rgb_teacher"]["view"]["name"] == "rgb"


def test_a_bigger_network_on_the_same_sensor_teaches(manifest: Manifest, tmp_path: Path) -> None:
    made = config(manifest, tmp_path, Wishes("rgb", ("rgb",), {"teacher": "resnet18"}))
    assert Outline.of(made).teachers == ["rgb_teacher"]
    assert not Outline.of(made).has_pairs


def test_pixels(manifest: Manifest, tmp_path: Path) -> None:
    made = config(manifest, tmp_path, Wishes("rgb", ("thermal",)), "segmentation")
    assert made.train_dataloader.dataset.target == "mask"
    assert as_plain(made.distiller.task)["classes"] == ("background", "object")
    assert made.compare.attention.rgb == "grad_cam:backbone.layer2"


@pytest.mark.parametrize(("gpu", "quick", "size"), [(False, False, (112, 144)), (True, False, (208, 256)), (False, True, (64, 64))])
def test_proportions_are_kept(facts: Facts, gpu: bool, quick: bool, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing.torch.cuda, "is_available", lambda: gpu)
    made = choose(replace(facts, sizes={"rgb": (512, 640), "thermal": (120, 160)}), Wishes("rgb", ("thermal",), quick=quick))
    assert made.size.value == size


def test_nothing_is_enlarged(facts: Facts) -> None:
    assert choose(facts, Wishes("rgb", ("thermal",))).size.value == (32, 48)


@pytest.mark.parametrize(("rows", "batch"), [(3, 1), (22, 4), (100, 16), (255, 32), (256, 64), (100_000, 64)])
def test_a_batch_is_below_the_rows(facts: Facts, rows: int, batch: int) -> None:
    made = choose(replace(facts, rows={**facts.rows, "train": rows}), Wishes("rgb", ("thermal",)))
    assert made.batch_size.value == batch


def test_epochs_make_some_hundred_steps(facts: Facts) -> None:
    made = choose(replace(facts, rows={**facts.rows, "train": 1079}), Wishes("rgb", ("thermal",)))
    assert made.epochs.value == 50
    assert "16 steps each, 800 in all" in made.epochs.why
    assert choose(facts, Wishes("rgb", ("thermal",), epochs=7)).epochs.value == 7
    assert choose(replace(facts, rows={**facts.rows, "train": 10**6}), Wishes("rgb", ("thermal",))).epochs.value == 6


def test_half_of_a_step_is_labelled_only_where_labels_are_few(facts: Facts) -> None:
    assert choose(facts, Wishes("rgb", ("thermal",))).labelled_share is None
    few = choose(replace(facts, labelled={**facts.labelled, "train": 5}), Wishes("rgb", ("thermal",)))
    assert few.labelled_share is not None
    assert few.labelled_share.value == 0.5


PAIR = ["--teacher", "thermal", "--student", "rgb"]
MISTAKES: dict[str, tuple[list[str], str]] = {
    "sensor": (["--teacher", "lidar", "--student", "rgb"], "no sensor 'lidar'; manifest.toml has ['rgb', 'thermal']"),
    "twice": (["--teacher", "thermal", "thermal", "--student", "rgb"], "name one teacher or several different ones"),
    "network": (
        ["--teacher", "thermal", "--student", "rgb", "--networks", "student=resnet10x"],
        "timm has no model of that name; near it: ",
    ),
    "branch": (
        ["--teacher", "thermal", "--student", "rgb", "--networks", "pupil=resnet10t"],
        "no such branch; there are ['teacher', 'student'",
    ),
    "form": ([*PAIR, "--networks", "resnet10t"], "--networks takes BRANCH=MODEL"),
    "epochs": ([*PAIR, "--epochs", "1"], "--epochs must be 2 or more"),
}


@pytest.mark.parametrize(("arguments", "message"), MISTAKES.values(), ids=list(MISTAKES))
def test_mistakes(arguments: list[str], message: str, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run("init", [str(tiny_dataset), *arguments, "--out", str(tmp_path / "a.py")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "a.py").exists()


def test_a_data_set_without_a_labelled_test_row_says_what_is_missing(tiny_dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_dataset, tmp_path / "tiny")
    table = tmp_path / "tiny" / "manifest.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join(line for line in lines if ",test," not in line) + "\n")
    with pytest.raises(ValueError, match="no row of split 'test' has rgb and a label"):
        gather(Manifest.load(str(tmp_path / "tiny")), "rgb", ("thermal",))


@pytest.mark.parametrize(("size", "path"), [((64, 64), "stage:-2"), ((128, 160), "stage:-1"), ((32, 48), "stage:-3")])
def test_attention_is_read_where_its_grid_is_fine_enough(size: tuple[int, int], path: str) -> None:
    assert _tap(Node("rgb", "rgb", "rgb", size, "resnet10t", 3, True)) == path


def test_a_transformers_last_stage_is_as_fine_as_all() -> None:
    assert _tap(Node("rgb", "rgb", "rgb", (224, 224), "vit_tiny_patch16_224", 3, True)) == "stage:-1"


def test_a_transformer_is_told_the_size_of_its_images(manifest: Manifest, tmp_path: Path) -> None:
    made = config(manifest, tmp_path, Wishes("rgb", ("thermal",), {"teacher": "vit_tiny_patch16_224", "student": "resnet10t"}))
    branches = as_plain(made.distiller.branches)
    assert branches["thermal"]["model"]["img_size"] == (32, 48)
    assert "img_size" not in branches["rgb"]["model"]
