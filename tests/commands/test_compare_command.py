"""`xkd compare`: from a config to a table and a summary."""

from __future__ import annotations

import csv
import errno
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import engine_runs as runs
import pytest

from xkd import cli
from xkd.evidence.answers import from_file

NEEDED = ["--arms", "teacher", "alone", "distilled"]


@pytest.fixture(scope="module")
def finished(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a comparison of the needed arms with one seed; read-only."""
    folder = tmp_path_factory.mktemp("finished")
    assert cli.run("compare", [str(trained / "student.py"), "--smoke", "--seeds", "1", "--work-dir", str(folder), *NEEDED]) == 0
    return folder


@pytest.fixture
def work(finished: Path, tmp_path: Path) -> Path:
    """A copy, whose runs a comparison goes on from."""
    return Path(shutil.copytree(finished, tmp_path / "work"))


def test_smoke(trained: Path, work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in work.rglob("best.pth")}
    assert cli.run("compare", [str(trained / "student.py"), "--smoke", "--seeds", "2", "--work-dir", str(work)]) == 0
    shown = capsys.readouterr().out
    assert "student distilled" in shown
    assert "share of the gap" in shown
    assert "A smoke run: one step per arm" in (work / "report.html").read_text("utf-8")
    summary = json.loads((work / "summary.json").read_text("utf-8"))
    assert list(summary["arms"]) == ["teacher", "alone", "distilled", "shuffled"]
    assert summary["seeds"] == 2
    assert summary["finding"] in " ".join(shown.split())
    assert list(summary["minus_alone_p"]) == ["teacher", "distilled", "shuffled"]
    assert "accuracy minus student alone, points" in (work / "report.html").read_text("utf-8")
    for arm in summary["arms"].values():
        assert len(arm["checkpoints"]) == len(arm["seconds"]) == 2
        assert all(Path(path).is_file() for path in arm["checkpoints"])
        assert 0 <= arm["metrics"]["accuracy"]["low"] <= arm["metrics"]["accuracy"]["high"] <= 1
    after = {path: path.stat().st_mtime_ns for path in work.rglob("best.pth")}
    assert len(before) == 3
    assert len(after) == 8
    assert {path: after[path] for path in before} == before, "what was finished is not trained anew"


def test_a_full_disk_leaves_the_earlier_page_and_numbers(
    trained: Path, work: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [str(trained / "student.py"), "--smoke", "--seeds", "1", "--work-dir", str(work), *NEEDED]
    before = {path: path.read_bytes() for path in work.rglob("*") if path.is_file()}
    sync = os.fsync
    for room in range(3):  # for nothing, for summary.json, for summary.csv too: a panel is left out
        left = iter(range(room))

        def full(descriptor: int, left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            sync(descriptor)

        monkeypatch.setattr(os, "fsync", full)
        capsys.readouterr()
        assert cli.run("compare", arguments) == 2
        assert re.search(r"xkd compare: cannot write \S+: No space left on device; what was there is untouched", capsys.readouterr().err)
        after = {path: path.read_bytes() for path in work.rglob("*") if path.is_file()}
        assert after.keys() == before.keys()
        assert after[work / "report.html"] == before[work / "report.html"]
        json.loads(after[work / "summary.json"])


def test_a_variant_is_an_arm_beside_the_others(trained: Path, work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    variant = '\ncompare["variants"] = dict(heavy={"distiller.terms.kd.weight": 9.0})\n'
    config = trained / "variant.py"
    config.write_text((trained / "student.py").read_text("utf-8") + variant, "utf-8")
    assert cli.run("compare", [str(config), "--smoke", "--seeds", "1", "--work-dir", str(work), *NEEDED, "heavy"]) == 0
    assert "heavy - alone" in capsys.readouterr().out
    summary = json.loads((work / "summary.json").read_text("utf-8"))
    assert list(summary["arms"]) == ["teacher", "alone", "distilled", "heavy"]
    assert list(summary["minus_alone"]) == ["teacher", "distilled", "heavy"]
    assert len(summary["arms"]["heavy"]["validation"]) == 1
    assert "student, heavy" in (work / "report.html").read_text("utf-8")


def test_controls_are_run_where_they_are_asked_for(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--cfg-options", "train_dataloader.dataset.labels.fraction=0.5"]
    assert (
        cli.run("compare", [str(trained / "student.py"), "--smoke", "--seeds", "1", "--work-dir", str(tmp_path), "--controls", *few]) == 0
    )
    shown = capsys.readouterr().out
    assert "shuffled - smoothed" in shown
    summary = json.loads((tmp_path / "summary.json").read_text("utf-8"))
    assert list(summary["arms"]) == [
        "teacher",
        "alone",
        "smoothed",
        "all_labels",
        "distilled",
        "shuffled",
        "shuffled_within",
        "self_taught",
    ]
    assert list(summary["distilled_minus"]) == ["shuffled", "shuffled_within", "self_taught", "smoothed"]
    assert {"agreement", "kl", "epg", "randomised"} <= set(summary["arms"]["distilled"]["scores"])
    assert "agreement" not in summary["arms"]["teacher"]["scores"]
    lines = list(csv.DictReader((tmp_path / "summary.csv").read_text("utf-8").splitlines()))
    assert {line["arm"] for line in lines} == set(summary["arms"])
    table = {(line["arm"], line["number"]): float(line["mean"] or "nan") for line in lines}
    assert table["distilled", "gain"] == pytest.approx(summary["gain"]["mean"], rel=1e-5)
    assert {("distilled", "share_of_gap"), ("alone", "recall bar"), ("distilled", "epg disc")} <= set(table)
    assert set(summary["flips"]) == {"gained", "lost"}
    assert set(summary["cka"]["rgb.output and thermal.output"]) == {"alone", "distilled"}
    for arm in summary["arms"].values():
        assert arm["cost"]["parameters"] > 0
        assert arm["cost"]["latency"] > 0
        assert len(arm["peak_memory"]) == 1
        assert sum(of["count"] for of in arm["calibration"]) == 12
    assert table["distilled", "accuracy"] == pytest.approx(summary["arms"]["distilled"]["metrics"]["accuracy"]["mean"], rel=1e-5)
    page = (tmp_path / "report.html").read_text("utf-8")
    for part in (
        "Beyond its own teacher",
        "Calibration",
        "How near it is to the teacher on thermal",
        "Reliability",
        "rgb.output and thermal.output",
    ):
        assert part in page, part
    for part in ("Where it looks", "Whether the maps can be trusted", "Data and pairs", "latency, one image", "peak memory of training"):
        assert part in page, part


def test_a_smoke_run_does_not_take_the_place_of_numbers(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "summary.json").write_text('{"finding": "weeks of work"}', "utf-8")
    assert cli.run("compare", [str(trained / "student.py"), "--smoke", "--work-dir", str(tmp_path)]) == 2
    assert "holds a real comparison, which a smoke run would overwrite" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]


MISTAKES = {
    "arm": (
        ["--arms", "alnoe"],
        "no arm 'alnoe'; there are ['teacher', 'alone', 'smoothed', 'distilled', 'shuffled', 'shuffled_within', 'self_taught']",
    ),
    "needed arm": (
        ["--arms", "alone", "shuffled"],
        "needs the arms ['teacher', 'alone', 'distilled']; --arms leaves out ['teacher', 'distilled']",
    ),
    "an arm's teacher": (
        ["--arms", "teacher", "alone", "distilled", "same_sensor", "--cfg-options", "compare.same_sensor={'thermal': 'teacher.py'}"],
        "the arm 'same_sensor' is taught by, or begins with, 'same_sensor_teacher': name that one too",
    ),
    "seeds": (["--seeds", "0"], "--seeds must be at least 1, got 0"),
    "a metric of another task": (
        ["--metric", "mean_iou"],
        "this task is not judged by --metric mean_iou; there are ['accuracy', 'balanced_accuracy', 'macro_f1']",
    ),
    "column": (["--cfg-options", "compare.cluster=plant"], "compare.cluster = 'plant' is no column of the manifest; there are ['"),
    "attention of a network without stages": (
        ["--cfg-options", "compare.attention={}"],
        "branch 'thermal' cannot show its attention by 'grad_cam': no tap 'stage:-1': CNN has stages none; give a module path."
        " Set compare.attention.thermal, one of tap:NAME, attention:PATH, rollout, grad_cam, grad_cam:PATH",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), MISTAKES.values(), ids=list(MISTAKES))
def test_mistakes(arguments: list[str], message: str, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run("compare", [str(trained / "student.py"), "--work-dir", str(tmp_path / "work"), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "work").exists()


OTHER_CLASSES = runs.TEACHER.replace('root="tiny"', 'root="tiny4"').replace('("blank", "disc", "bar")', '("ring", "bar", "disc", "blank")')
OTHER_CLASSES = OTHER_CLASSES.replace("dict(type=CNN, channels=1)", "dict(type=CNN, channels=1, num_classes=4)")


@pytest.fixture
def other_classes(tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The config of a student whose teacher knows four classes in another order, two of them the student's discs."""
    for name in ("tiny", "tiny4"):
        shutil.copytree(tiny_dataset, tmp_path / "data" / name)
    monkeypatch.setenv("XKD_DATA_ROOT", str(tmp_path / "data"))
    toml, table = (tmp_path / "data/tiny4" / name for name in ("manifest.toml", "manifest.csv"))
    toml.write_text(toml.read_text("utf-8").replace('["blank", "disc", "bar"]', '["ring", "bar", "disc", "blank"]'), "utf-8")
    lines = table.read_text("utf-8").splitlines(keepends=True)
    discs = [at for at, line in enumerate(lines) if ",disc," in line]
    for at in discs[::2]:
        lines[at] = lines[at].replace(",disc,", ",ring,")
    table.write_text("".join(lines), "utf-8")
    student = runs.STUDENT.replace(
        "type=Branch, model=dict(type=CNN, channels=1), view=thermal",
        'type=Branch, class_map=dict(type=ClassMap, own=("ring", "bar", "disc", "blank"), to=dict(ring="disc")),'
        " model=dict(type=CNN, channels=1, num_classes=4), view=thermal",
    ).replace("from xkd.graph.distiller", "from xkd.graph.class_map import ClassMap\nfrom xkd.graph.distiller", 1)
    return runs.write(tmp_path, teacher=OTHER_CLASSES, student=student)


def test_a_teacher_of_other_classes_answers_in_the_students(other_classes: Path, tmp_path: Path) -> None:
    assert cli.run("compare", [str(other_classes), "--smoke", "--seeds", "1", "--work-dir", str(tmp_path / "work"), *NEEDED]) == 0
    (rows,) = (tmp_path / "work/teacher").glob("seed0_*/rows_*.npz")
    tested = from_file(rows)
    assert tested.predictions.shape == (12, 3)
    assert tested.target.tolist() == [0, 1, 2] * 4
    assert tested.predictions.sum(1) == pytest.approx(1)
    summary = json.loads((tmp_path / "work/summary.json").read_text("utf-8"))
    assert len(summary["arms"]["teacher"]["recall"]) == 3
    assert "agreement" in summary["arms"]["distilled"]["scores"]


def test_an_unknown_metric_lists_the_known(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run("compare", [str(trained / "student.py"), "--metric", "f1"]) == 2
    assert "this task is not judged by --metric f1; there are ['accuracy', 'balanced_accuracy'," in capsys.readouterr().err


def test_images_whose_pixels_changed_are_listed(trained: Path, tmp_path: Path) -> None:
    network = "dict(type=PixelHead, num_classes=2, backbone=dict(type=timm.create_model, model_name='resnet10t', features_only=True, {}))"
    configs = {}
    for name, text in (("teacher", runs.TEACHER), ("student", runs.STUDENT)):
        for old, new in (
            ("dict(type=CNN, channels=1)", network.format("out_indices=(1,), in_chans=1")),
            ("dict(type=CNN)", network.format("out_indices=(1,)")),
            ('dict(type=Classification, classes=("blank", "disc", "bar"))', 'dict(type=Segmentation, classes=("background", "object"))'),
            ("import Classification", "import PixelHead, Segmentation"),
            ('root="tiny", split', 'root="tiny", target="mask", split'),
            ("size=(16, 24)", "size=(16, 16)"),
            ("grad_cam:deep", "grad_cam:backbone.layer1"),
            ("val/macro_f1", "val/mean_iou"),
        ):
            text = text.replace(old, new)
        configs[name] = "import timm\n" + text.lstrip()
    path, work = runs.write(tmp_path, **configs), tmp_path / "work"
    few = ["--cfg-options", "distiller.terms.kd.weight=1000.0", "optim_wrapper.optimizer.lr=0.1", *NEEDED]
    assert cli.run("compare", [str(path), "--smoke", "--seeds", "1", "--work-dir", str(work), *few]) == 0
    summary = json.loads((work / "summary.json").read_text("utf-8"))
    changed = summary["flips"]["gained"] | summary["flips"]["lost"]
    assert changed
    assert all(0 < share <= 1 for share in changed.values())
    assert "alone, % of pixels right" in (work / "report.html").read_text("utf-8")
