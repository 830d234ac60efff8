"""Pretraining on pairs in one command: pairs are checked, a config is written, a network learns without labels and is kept."""

from __future__ import annotations

import io
import runpy
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from rich.console import Console
from rich.progress import Progress
from safetensors.torch import save_file

from xkd import cli
from xkd.batch import Number
from xkd.data.check.residual import Residual, Spread
from xkd.data.manifest import Manifest
from xkd.engine.config import as_plain, load_config
from xkd.engine.progress import Display
from xkd.evidence.first import first_config
from xkd.evidence.pretrain import PretrainedPairs, pretrain
from xkd.evidence.probe import fit_linear
from xkd.evidence.worth import Worth
from xkd.graph.state_dicts import load_file
from xkd.init import choices
from xkd.init.alignment import choose_taps, stage_taps
from xkd.init.choices import Node, Wishes
from xkd.init.write import in_docstring
from xkd.statistics import run_of
from xkd.tasks import Classification, Regression


@pytest.fixture(scope="module", autouse=True)
def quick() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choices, "_SIDE", {"quick": 32, "cpu": 32, "gpu": 32})
        yield


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as timm's hub would give it."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "resnet10t.safetensors"
    save_file(timm.create_model("resnet10t").state_dict(), path)
    return path


@pytest.fixture(scope="module")
def unlabelled(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same pairs, of which nobody has said anything."""
    folder = tmp_path_factory.mktemp("unlabelled") / "tiny"
    shutil.copytree(tiny_dataset, folder)
    lines = (folder / "manifest.csv").read_text("utf-8").splitlines()
    at = lines[0].split(",").index("label")
    bare = [",".join("" if place == at else cell for place, cell in enumerate(line.split(","))) for line in lines[1:]]
    (folder / "manifest.csv").write_text("\n".join([lines[0], *bare]) + "\n", "utf-8")
    return folder


def again(*_: object, **__: object) -> None:
    raise RuntimeError("an edited config is another run")


def run(data: Path, weights: Path, work: Path, epochs: int = 3) -> tuple[PretrainedPairs, str]:
    console = Console(file=(said := io.StringIO()), width=200, emoji=False)
    display = Display(console, Progress(console=console, disable=True))
    networks = {"rgb": "resnet10t"}
    options = {"networks": networks, "weights": weights, "epochs": epochs, "quick": True, "trust_pairs": True}
    return pretrain(data, source="rgb", target="thermal", work_dir=work, display=display, **options), said.getvalue()


def test_a_backbone_comes_of_pairs_without_a_label(
    unlabelled: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done, said = run(unlabelled, weights, tmp_path / "work")
    assert done.backbone is not None
    assert (done.backbone / "model.safetensors").is_file()
    assert "linear probe: none, no row" in said
    assert not done.probes
    assert load_file(str(done.checkpoint))["meta"]["xkd"]["classes"] == []
    config = load_config(done.config)
    assert config.save_best == "val/loss"
    assert as_plain(config.distiller.branches.rgb)["frozen"]
    before = done.checkpoint.stat().st_mtime_ns
    _, said = run(unlabelled, weights, tmp_path / "work")
    assert "was trained before" in said
    assert done.checkpoint.stat().st_mtime_ns == before
    assert "# the frozen network answers once" in done.config.read_text("utf-8"), "the run has written its own config elsewhere"
    with pytest.raises(ValueError, match=r"was written when other things were asked for than `xkd pretrain .* --epochs 4"):
        run(unlabelled, weights, tmp_path / "work", epochs=4)
    done.config.write_text(done.config.read_text("utf-8").replace("max_epochs=3", "max_epochs=4"), "utf-8")
    monkeypatch.setattr("xkd.evidence.pretrain.train", again)
    with pytest.raises(RuntimeError, match="another run"):
        run(unlabelled, weights, tmp_path / "work")


@pytest.mark.slow
def test_labels_that_are_there_give_a_sign(tiny_dataset: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done, said = run(tiny_dataset, weights, tmp_path / "work")
    assert list(done.probes) == ["rgb, the teacher", "thermal before", "thermal after"]
    assert all(0 <= values["accuracy"] <= 1 for values in done.probes.values())
    assert "linear probe on val, thermal after: balanced accuracy" in said
    assert done.backbone is not None
    assert "| thermal after |" in (done.backbone / "README.md").read_text("utf-8")


def test_a_linear_probe_finds_what_is_linear() -> None:
    torch.manual_seed(0)
    features = torch.randn(200, 5)
    target = (features[:, 0] + 2 * features[:, 1] > 0).long()
    layer = fit_linear(features, target, Classification(("no", "yes")))
    assert float((layer(features).argmax(1) == target).float().mean()) > 0.95
    several = torch.stack([target, 1 - target, (features[:, 2] > 0).long()], 1)
    assert (
        float(
            ((fit_linear(features, several, Classification(("a", "b", "c"), multilabel=True))(features) > 0).long() == several)
            .float()
            .mean()
        )
        > 0.95
    )


@pytest.mark.parametrize("highest", [0.01, 1000.0])
def test_what_a_linear_probe_finds_does_not_depend_on_the_unit(highest: float) -> None:
    torch.manual_seed(0)
    features, task = torch.randn(100, 5), Regression((Number("weight", "g", (0, highest)),))
    target = (0.5 + 0.1 * features[:, :1]) * highest
    with torch.no_grad():
        predictions = task.predict(task.in_units(fit_linear(features, target, task)(features)))
    assert task.measures().of(run_of(predictions.numpy(), target.numpy()))["r2"] > 0.98


MISTAKES: dict[str, tuple[list[str], str]] = {
    "sensor": (["--from", "rgb", "--to", "lidar"], "no sensor 'lidar'; manifest.toml has ['rgb', 'thermal']"),
    "one sensor": (["--from", "rgb", "--to", "rgb"], "--from and --to name one sensor, 'rgb'"),
    "network": (["--from", "rgb", "--to", "thermal", "--networks", "rgb=resnet10x"], "timm has no model of that name"),
    "branch": (["--from", "rgb", "--to", "thermal", "--networks", "teacher=resnet18"], "no such branch; there are ['rgb', 'thermal']"),
    "epochs": (["--from", "rgb", "--to", "thermal", "--epochs", "2", "--trust-pairs"], "--epochs must be 3 or more"),
    "file": (["--from", "rgb", "--to", "thermal", "--weights", "none.pth", "--trust-pairs"], "--weights none.pth: no such file or folder"),
    "weights": (
        ["--from", "rgb", "--to", "thermal", "--networks", "rgb=test_mambaout", "--trust-pairs"],
        "has no pretrained weights of test_",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), MISTAKES.values(), ids=list(MISTAKES))
def test_mistakes(arguments: list[str], message: str, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run("pretrain", [str(tiny_dataset), *arguments, "--work-dir", str(tmp_path / "work")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "work" / "config.py").exists()


def test_a_network_without_stages(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("xkd.init.alignment.stage_names", lambda model: [])
    assert cli.run("pretrain", [str(tiny_dataset), "--from", "rgb", "--to", "thermal", "--work-dir", str(tmp_path / "work")]) == 2
    assert "resnet18 has 5 stages that timm names" not in (message := capsys.readouterr().err)
    assert "at least 2 are needed: features are taught stage by stage" in message


def test_pairs_that_cannot_be_measured_are_refused_with_the_remedy(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "tiny"
    shutil.copytree(tiny_dataset, folder)
    lines = (folder / "manifest.csv").read_text("utf-8").splitlines()
    rows = [line.split(",") for line in lines[1:]]
    files = [row[4] for row in rows]
    for row, other in zip(rows, [*files[7:], *files[:7]], strict=True):
        row[4] = other  # another scene's
    (folder / "manifest.csv").write_text("\n".join([lines[0], *map(",".join, rows)]) + "\n", "utf-8")
    assert cli.run("pretrain", [str(folder), "--from", "rgb", "--to", "thermal", "--work-dir", str(tmp_path / "work")]) == 2
    message = capsys.readouterr().err
    assert "is not measurable" in message
    assert "--trust-pairs" in message


@pytest.mark.parametrize(("teacher", "before", "told"), [(0.9, 0.6, False), (0.6, 0.9, True), (0.7, 0.7, True)])
def test_a_teacher_that_knows_no_more_is_told_before(teacher: float, before: float, told: bool) -> None:
    found = Worth({"balanced_accuracy": teacher, "accuracy": 0.5}, {"balanced_accuracy": before, "accuracy": 0.5})
    assert bool(found.against) == told
    assert not told or f"reaches {before:.3f}, on the teacher {teacher:.3f}" in found.against


def test_without_labels_nobody_can_tell() -> None:
    assert not Worth({}, {}).against


@pytest.mark.parametrize("against", [True, False])
def test_a_first_config_goes_by_the_probes(
    against: bool, tiny_dataset: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xkd.init.starts.choose_taps", lambda nodes, taps, *_, **__: choices.Choice(tuple(taps)[-1:], "they fit"))
    scores = [{"balanced_accuracy": 0.5 if against else 0.8}, {"balanced_accuracy": 0.7}]
    monkeypatch.setattr("xkd.evidence.worth.probe", lambda *_: scores.pop(0))
    wishes = Wishes("rgb", ("thermal",), {"teacher": "resnet10t", "student": "resnet10t"}, pretrained=True, weights=str(weights))
    first_config(Manifest.load(str(tiny_dataset)), str(tiny_dataset), wishes, tmp_path / "first.py", "xkd init")
    start = as_plain(load_config(tmp_path / "first.py").distiller.branches)["thermal"]["weights"]["start"]
    assert start["type"].__name__ == ("Pretrained" if against else "PretrainedOnPairs")
    assert ("not by pairs: as it begins this network says more of the labels" in (tmp_path / "first.py").read_text("utf-8")) == against


def test_a_first_config_with_pretrained_weights_teaches_the_other_sensor_on_pairs(
    tiny_dataset: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xkd.init.starts.choose_taps", lambda nodes, taps, *_, **__: choices.Choice(tuple(taps)[-1:], "they fit"))
    monkeypatch.setattr("xkd.evidence.worth.Worth.against", "")
    networks = {"teacher": "resnet10t", "student": "resnet10t"}
    wishes = Wishes("rgb", ("thermal",), networks, pretrained=True, weights=str(weights))
    manifest = Manifest.load(str(tiny_dataset))
    assert first_config(manifest, str(tiny_dataset), wishes, tmp_path / "first.py", "xkd init")
    branches = as_plain(load_config(tmp_path / "first.py").distiller.branches)
    start = branches["thermal"]["weights"]["start"]
    assert start["type"].__name__ == "PretrainedOnPairs"
    assert start["taps"] == ("stage:-1",)
    assert start["teacher"]["view"]["name"] == "rgb"
    assert start["start"]["channels"] == "average"
    assert branches["rgb"]["weights"]["file"] == str(weights)


def test_so_does_one_for_pixels(tiny_dataset: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xkd.init.starts.choose_taps", lambda nodes, taps, *_, **__: choices.Choice(tuple(taps)[-1:], "they fit"))
    wishes = Wishes("rgb", ("thermal",), {"teacher": "resnet10t", "student": "resnet10t"}, pretrained=True, weights=str(weights))
    assert first_config(Manifest.load(str(tiny_dataset)), str(tiny_dataset), wishes, tmp_path / "first.py", "xkd init", "segmentation")
    start = as_plain(load_config(tmp_path / "first.py").distiller.branches)["thermal"]["weights"]["start"]
    assert start["taps"] == (("backbone.layer2", "backbone.layer2"),)


def test_without_fitting_pairs_it_begins_with_averaged_weights_and_says_why(
    tiny_dataset: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xkd.init.starts.choose_taps", lambda *_, **__: choices.Choice((), "the edges lie a mile apart"))
    wishes = Wishes("rgb", ("thermal",), {"teacher": "resnet10t", "student": "resnet10t"}, pretrained=True, weights=str(weights))
    first_config(Manifest.load(str(tiny_dataset)), str(tiny_dataset), wishes, tmp_path / "first.py", "xkd init")
    assert "not by pairs with rgb: the edges lie a mile apart" in (tmp_path / "first.py").read_text("utf-8")
    start = as_plain(load_config(tmp_path / "first.py").distiller.branches)["thermal"]["weights"]["start"]
    assert start["type"].__name__ == "Pretrained"


def test_one_file_of_weights_is_of_one_network(tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = [str(tiny_dataset), "--teacher", "thermal", "--student", "rgb", "--weights", "some.pth", "--out", str(tmp_path / "a.py")]
    assert cli.run("init", call) == 2
    assert "is of one network, and these are ['resnet18', 'resnet10t']" in capsys.readouterr().err


def test_a_path_of_windows_stays_what_it_is(tmp_path: Path) -> None:
    command = shlex.join(["xkd", "init", "D:\\new\\x", 'a"""b'])
    (tmp_path / "text.py").write_text(f'"""Written by `{in_docstring(command)}`."""\n', "utf-8")
    assert runpy.run_path(str(tmp_path / "text.py"))["__doc__"] == f"Written by `{command}`."


NODES = (Node("rgb", "rgb", "rgb", (128, 160), "resnet18", 3, True), Node("warm", "warm", "warm", (64, 64), "resnet18", 1, True))


def apart(p95: float) -> Residual:
    return Residual("rgb", "warm", "warm", 3.5, Spread(48, 40, p95 / 2, p95, p95 / 2), Spread(47, 2, 20, 30, 20), (0, 0), ())


def test_the_finer_grid_decides_which_stage_fits() -> None:
    taps = stage_taps(NODES)
    assert taps == {"stage:-2": [16, 16], "stage:-1": [32, 32]}
    # 48 pixels of the thermal camera: on the photograph's grid a position covers 48 * 16 / 128 = 6 and 12 of them
    assert choose_taps(NODES, taps, 48.0, apart(2.9), trusted=False).value == ("stage:-2", "stage:-1")
    fewer = choose_taps(NODES, taps, 48.0, apart(3.1), trusted=False)
    assert fewer.value == ("stage:-1",)
    assert "stage:-2 covers 6.0 and is left out" in fewer.why
    assert choose_taps(NODES, taps, 48.0, apart(6.1), trusted=False).value == ()
    assert choose_taps(NODES, taps, 48.0, apart(6.1), trusted=True).value == ("stage:-1",)


def test_one_position_is_no_place() -> None:
    small = (replace(NODES[0], size=(32, 32)), NODES[1])
    assert choose_taps(small, stage_taps(small), 48.0, apart(1.0), trusted=False).value == ("stage:-2",)
    tiny = (replace(NODES[0], size=(16, 16)), NODES[1])
    assert "less than 2 positions" in choose_taps(tiny, stage_taps(tiny), 48.0, apart(1.0), trusted=True).why
