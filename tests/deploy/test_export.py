from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import timm
import torch
from torch import nn

from xkd.batch import View
from xkd.deploy.card import CardNotes
from xkd.deploy.export import ExportReport, export_onnx, probe_images
from xkd.graph.branch import Branch
from xkd.graph.weights import Random
from xkd.modalities import RGB, Thermal
from xkd.taps import Tap
from xkd.tasks import Classification

TASK = Classification(("healthy", "rust", "blight"))
NOTES = CardNotes("leaf student", "A made-up student.", "made-up leaves, CC0", {"accuracy": 0.75}, ("never look at mushrooms",))
RGB_VIEW = View("rgb", RGB(), (64, 64))
THERMAL_VIEW = View("thermal", Thermal(range=(285.0, 310.0)), (48, 64))

# what a machine without xkd and torch does; prints the probabilities
SCRIPT = """
import json, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("xkd", "torch", "timm", "onnx"):
            raise ImportError(name)
sys.meta_path.insert(0, Absent())
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
card = json.loads(session.get_modelmeta().custom_metadata_map["xkd"])
images = np.load(sys.argv[2])
assert images.dtype == np.dtype(card["input_dtype"]) and list(images.shape[1:]) == card["input_shape"][1:]
probabilities = session.run(["probabilities"], {card["input_name"]: images})[0]
print(json.dumps([card["classes"], probabilities.tolist()]))
"""


def vit(view: View) -> nn.Module:
    height, width = view.size
    return timm.create_model(
        "vit_tiny_patch16_224", num_classes=3, img_size=(height, width), patch_size=8, depth=2, in_chans=view.modality.channels
    )


@pytest.fixture(scope="module")
def student() -> Branch:
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=3)
    nn.init.normal_(model.fc.weight, std=0.3)  # probabilities far from a third each
    return Branch(model, RGB_VIEW, Random(), {"look": Tap("stage:-1", kind="attention")})


@pytest.fixture(scope="module")
def exported(student: Branch, tmp_path_factory: pytest.TempPathFactory) -> ExportReport:
    return export_onnx(student, TASK, tmp_path_factory.mktemp("export") / "student.onnx", NOTES)


def test_runs_without_xkd_and_agrees(student: Branch, exported: ExportReport, tmp_path: Path) -> None:
    images = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    np.save(tmp_path / "images.npy", images.numpy())
    command = [sys.executable, "-I", "-c", SCRIPT, str(exported.model), str(tmp_path / "images.npy")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    classes, probabilities = json.loads(done.stdout)
    with torch.no_grad():
        expected = TASK.predict(student.model.eval()(student.normalise(images)))
    student.taps.forget()
    student.train()
    assert tuple(classes) == TASK.classes
    np.testing.assert_allclose(probabilities, expected.numpy(), atol=1e-5)
    assert expected.max() > 0.5


def test_the_card_says_what_is_needed(exported: ExportReport) -> None:
    card = json.loads(exported.model.with_suffix(".json").read_text("utf-8"))
    assert card["input_shape"] == ["batch", 3, 64, 64]
    assert (card["input_dtype"], card["channel_order"], card["layout"]) == ("uint8", "RGB", "NCHW")
    assert card["normalisation"]["mean"] == pytest.approx(RGB().mean)
    assert card["metrics"] == {"accuracy": 0.75}
    text = exported.model.with_suffix(".md").read_text("utf-8")
    for part in (
        "leaf student",
        "0 healthy, 1 rust, 2 blight",
        "0.75",
        "mushrooms",
        "made-up leaves, CC0",
        "images",
        card["versions"]["torch"],
    ):
        assert part in text
    assert exported.max_difference < TASK.tolerance
    assert exported.num_bytes == exported.model.stat().st_size


def test_the_file_holds_no_path_of_this_machine(exported: ExportReport) -> None:
    content = exported.model.read_bytes()
    assert str(Path(timm.__file__).parent).encode() not in content
    assert str(Path(__file__).parents[2]).encode() not in content


def test_the_readable_cards_script_runs(exported: ExportReport) -> None:
    text = exported.model.with_suffix(".md").read_text("utf-8")
    script = text.split("```python\n")[1].split("```")[0]
    subprocess.run([sys.executable, "-I", "-c", script], cwd=exported.model.parent, check=True)


def test_the_branch_is_left_as_it_was(student: Branch, exported: ExportReport) -> None:
    assert student.training
    capture = student.bind(TASK)  # a tap that still held a traced tensor would complain
    assert capture["look"].shape == (2, 1, 2, 2)


@pytest.mark.parametrize(
    ("view", "name"),
    [
        (THERMAL_VIEW, "vit"),
        pytest.param(RGB_VIEW, "vit", marks=pytest.mark.slow),
        pytest.param(RGB_VIEW, "resnet10t", marks=pytest.mark.slow),
        pytest.param(RGB_VIEW, "mobilenetv3_small_050", marks=pytest.mark.slow),
    ],
)
def test_other_networks_and_sensors(view: View, name: str, tmp_path: Path) -> None:
    model = vit(view) if name == "vit" else timm.create_model(name, num_classes=3)
    branch = Branch(model, view, Random(), {"look": Tap("stage:-1", kind="attention")})
    report = export_onnx(branch, Classification(TASK.classes, multilabel=True), tmp_path / "new" / "model.onnx", NOTES)
    graph = onnx.load(report.model).graph
    assert [entry.name for entry in graph.input] == ["images"]
    assert report.card.input_dtype == ("uint8" if view is RGB_VIEW else "float32")
    assert report.card.input_shape == ("batch", view.modality.channels, *view.size)
    assert sorted(file.name for file in report.model.parent.iterdir()) == ["model.json", "model.md", "model.onnx"]


def test_nothing_is_kept_where_the_runtime_disagrees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "student.onnx").write_bytes(b"the last good one")
    tiny = Branch(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), RGB_VIEW, Random())
    monkeypatch.setattr(type(TASK), "tolerance", -1.0)
    with pytest.raises(ValueError, match=r"differ by up to .* not exported"):
        export_onnx(tiny, TASK, tmp_path / "student.onnx", NOTES)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("student.onnx", b"the last good one")]


def test_a_model_that_answers_nan_is_not_exported(tmp_path: Path) -> None:
    class Root(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.mean((2, 3)).sqrt()  # of normalised values, some of them negative

    with pytest.raises(ValueError, match="finite"):
        export_onnx(Branch(Root(), RGB_VIEW, Random()), TASK, tmp_path / "root.onnx", NOTES)
    assert not list(tmp_path.iterdir())


def test_the_name_says_what_it_is(student: Branch, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.onnx file, got .*student\.pt"):
        export_onnx(student, TASK, tmp_path / "student.pt", NOTES)


def test_probes_cover_the_sensors_range() -> None:
    assert {0, 255} <= set(probe_images(RGB_VIEW).flatten().tolist())
    probes = probe_images(THERMAL_VIEW)
    assert probes.min() < 285.0
    assert probes.max() == 310.0
