"""The deployed folder: what `xkd export --out FOLDER` writes, all of it or nothing."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
from core_models import CNN
from edge_folders import CLASSES, load_runner

from xkd.batch import View
from xkd.deploy import folder as writing
from xkd.deploy.card import CardNotes, needs_of
from xkd.deploy.export import ExportReport
from xkd.deploy.folder import check_place, samples_of, write_folder
from xkd.graph.branch import Branch
from xkd.graph.weights import Random
from xkd.modalities import RGB, Clip, Thermal
from xkd.modality import Stack
from xkd.tasks import Classification, Features

VIEW = View("rgb", RGB(), (24, 32))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> ExportReport:
    branch = Branch(CNN(), VIEW, Random())
    return write_folder(branch, Classification(CLASSES), tmp_path_factory.mktemp("edge") / "edge", CardNotes("made up"))


@pytest.fixture(scope="module")
def run(exported: ExportReport) -> ModuleType:
    return load_runner(exported.model.parent)


def called(run: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """The exit code of `python run.py ...`, in this process."""
    monkeypatch.setattr(sys, "argv", ["run.py", *map(str, arguments)])
    monkeypatch.setenv("XKD_CHECKED", "1")
    code: int = run.main()
    return code


def test_what_is_in_it(exported: ExportReport) -> None:
    folder = exported.model.parent
    plan = json.loads((folder / "plan.json").read_text("utf-8"))
    card = json.loads((folder / "card.json").read_text("utf-8"))
    assert {*plan["sha256"], "run.py", "plan.json", "card.md"} == {path.name for path in folder.iterdir()}
    assert (plan["precision"], plan["segments"][0]["file"], plan["answer"]["names"]) == ("float32", "model.onnx", list(CLASSES))
    assert card["needs"] == plan["runtime"] == needs_of(onnx.load(exported.model))
    page = (folder / "card.md").read_text("utf-8")
    assert f"onnxruntime {card['needs']['onnxruntime']} or newer" in page
    assert "python run.py photos/ --out answers.csv" in page
    assert not list(folder.parent.glob(".edge*"))


def test_the_runner_stands_alone(exported: ExportReport) -> None:
    for name in ("run.py", "measured.py", "streams.py", "without_opencv.py", "boxes.py", "counts.py", "exits.py"):
        tree = ast.parse((Path(writing.__file__).parent / name).read_text("utf-8"))
        plain = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        from_ = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        roots = {module.split(".")[0] for module in plain | from_}
        assert roots - sys.stdlib_module_names <= {"numpy", "onnxruntime", "cv2", "PIL"}


def test_the_lowest_runtime_is_known() -> None:
    model = onnx.ModelProto(ir_version=9, opset_import=[onnx.helper.make_opsetid("", 21)])
    assert needs_of(model) == {"onnxruntime": "1.18", "opset": "21", "ir": "9"}
    model.ir_version = 99
    with pytest.raises(ValueError, match="IR version 99"):
        needs_of(model)


SENSORS = {"colour": RGB(), "counts": Thermal(range=(285.0, 310.0)), "array": Stack((RGB(), Thermal())), "clip": Clip(RGB(), 4)}


@pytest.mark.parametrize("sensor", SENSORS.values(), ids=SENSORS)
def test_samples_are_of_the_sensor(sensor: RGB | Thermal | Stack | Clip) -> None:
    samples = samples_of(View("eye", sensor, (24, 32)))
    assert samples["images"].shape[1:] == (sensor.channels, 24, 32)
    assert ("picture0" in samples) == (not isinstance(sensor, Stack))
    assert np.isfinite(samples["images"]).all()
    if isinstance(sensor, Thermal):
        assert np.isnan(samples["picture0"]).any()


def test_check_finds_the_folder_right(run: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert called(run, monkeypatch, "check") == 0
    assert capsys.readouterr().out.count("right") == 2


@pytest.mark.parametrize(
    ("part", "shifted"),
    [
        ("steps", lambda steps: [(part, answer + np.float32(0.01)) for part, answer in steps]),
        ("prepare", lambda image: image + np.uint8(1)),
    ],
)
def test_check_finds_a_difference(
    part: str, shifted: Callable[[Any], object], run: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = getattr(run.Model, part)
    monkeypatch.setattr(run.Model, part, lambda self, values: shifted(own(self, values)))
    assert called(run, monkeypatch, "check") == 1
    assert capsys.readouterr().out.count("DIFFERENT") == 1


def test_whole_images_of_other_proportions_are_counted(run: ModuleType) -> None:
    def is_odd(height: int, width: int, **told: Any) -> bool:
        plan = {"input": {"size": [100, 200]}, "crops": 0.0, "image": {}, **told}
        return bool(run.stretched(plan, np.zeros((height, width, 3))))

    assert [is_odd(*size) for size in ((512, 1024), (512, 700), (512, 650), (512, 1500), (512, 1600))] == [
        False,
        False,
        True,
        False,
        True,
    ]
    assert not is_odd(512, 512, crops=1.0), "of crops each has proportions of its own"
    assert not is_odd(512, 512, image={"clip": {}}), "strips are looked at by themselves"


def test_a_missing_instruction_is_told(run: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Ended:
        returncode = -4

    monkeypatch.setattr(run.subprocess, "run", lambda *_, **__: Ended())
    monkeypatch.setattr(sys, "argv", ["run.py", "check"])
    monkeypatch.delenv("XKD_CHECKED", raising=False)
    assert run.main() == 4
    assert "ends with signal 4 here" in capsys.readouterr().out


def test_bench(run: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert called(run, monkeypatch, "bench", "--repeats", 3, "--warm-up", 1, "--threads", 1, "--out", tmp_path / "timings.json") == 0
    told = json.loads((tmp_path / "timings.json").read_text("utf-8"))
    assert (told["precision"], told["threads"], told["warm_up"], told["repeats"]) == ("float32", 1, 1, 3)
    assert told["median_ms"] > 0 <= told["interquartile_range_ms"]
    assert told["peak_memory_mb"] > 10


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("check --out x.txt", "--out is nothing to check; legal here: --threads"),
        ("check --repeats 200", "--repeats is nothing to check"),
        ("bench --masks m", "--masks is nothing to bench; legal here: --out, --threads, --warm-up, --repeats"),
        ("bench --below 0.5", "--below is nothing to bench"),
        ("photos --warm-up 3", "--warm-up is nothing to images"),
        ("photos --fps 8", "--fps is for a camera or a video"),
        ("photos --camera 0", "name one of these: images and folders, --camera"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(
    arguments: str, said: str, run: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        called(run, monkeypatch, *arguments.split())
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "model.onnx").write_bytes(b"x"), "model.onnx is not the file that was exported"),
        (lambda folder: (folder / "samples.npz").unlink(), "samples.npz"),
        (lambda folder: (folder / "plan.json").write_text("{", "utf-8"), "plan.json is damaged"),
        (lambda folder: (folder / "plan.json").write_text('{"format": 1}', "utf-8"), "plan.json is damaged: KeyError('runtime')"),
    ],
)
def test_a_changed_file_is_refused(
    damage: Callable[[Path], object],
    said: str,
    exported: ExportReport,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for path in exported.model.parent.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    damage(tmp_path)
    assert called(load_runner(tmp_path), monkeypatch, tmp_path, "--out", tmp_path / "answers.csv") == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "answers.csv").exists()


def test_another_format_or_runtime_is_refused(
    run: ModuleType, exported: ExportReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = json.loads((exported.model.parent / "plan.json").read_text("utf-8"))
    (tmp_path / "plan.json").write_text(json.dumps({**plan, "format": 2}), "utf-8")
    with pytest.raises(ValueError, match=r"is of format 2, this run\.py reads 1"):
        run.Model(folder=tmp_path)
    monkeypatch.setattr(run.onnxruntime, "__version__", "1.9.1")
    with pytest.raises(ValueError, match=r"onnxruntime 1\.9\.1 is too old: this model needs 1\.\d+ or newer"):
        run.Model()


def test_a_file_that_the_runtime_cannot_run(run: ModuleType, tmp_path: Path) -> None:
    node = onnx.helper.make_node("Unheard", ["images"], ["answer"], domain="of.nobody")
    value = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in ("images", "answer")]
    graph = onnx.helper.make_graph([node], "g", value[:1], value[1:])
    domains = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("of.nobody", 1)]
    (tmp_path / "model.onnx").write_bytes(onnx.helper.make_model(graph, opset_imports=domains, ir_version=8).SerializeToString())
    with pytest.raises(ValueError, match=r"cannot run .*model\.onnx: .*Unheard"):
        run._session(tmp_path / "model.onnx", 1)


def test_an_earlier_folder_is_replaced_or_kept(tmp_path: Path) -> None:
    folder, script = tmp_path / "edge", b"import sys; sys.exit({'' : 0}.get(open(__file__.replace('run.py', 'says')).read(), 1))"
    writing.put_folder(folder, {"run.py": script, "plan.json": b"old", "says": b""})
    writing.put_folder(folder, {"run.py": script, "plan.json": b"new", "says": b""})
    assert (folder / "plan.json").read_bytes() == b"new"
    with pytest.raises(ValueError, match="does not run here, so it is not kept"):
        writing.put_folder(folder, {"run.py": script, "plan.json": b"bad", "says": b"no"})
    assert (folder / "plan.json").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["edge"]


def test_nothing_else_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    check_place(tmp_path / "thesis")
    (tmp_path / "thesis" / "chapter.tex").write_text("!", "utf-8")
    with pytest.raises(ValueError, match="is no folder that xkd export wrote"):
        check_place(tmp_path / "thesis")
    with pytest.raises(ValueError, match=r"a \.onnx file or a folder.*student\.pt"):
        check_place(tmp_path / "student.pt")


def test_a_task_without_answers_has_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"run\.py knows no answers of a Features"):
        write_folder(Branch(CNN(), VIEW, Random()), Features(), tmp_path / "edge", CardNotes("made up"))
