"""A search from its timings to the page: who is left out, who goes on, the controls, what was missed; a second call trains nothing."""

from __future__ import annotations

import io
import json
import pickle
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import engine_runs as runs
import pytest
from rich.console import Console
from rich.progress import Progress

from xkd import cli
from xkd.engine.config import load_config
from xkd.engine.progress import Display
from xkd.evidence import search as searches
from xkd.evidence.afford import afford
from xkd.evidence.candidates import Candidate, candidates_of
from xkd.evidence.found import Found, as_json
from xkd.evidence.page.search import write_search_page
from xkd.evidence.rungs import Ground, run_one
from xkd.evidence.search import SearchSettings, search
from xkd.evidence.timings import Budget, here

MORE = """
import timm
distiller["branches"]["rgb"]["model"] = dict(type=timm.create_model, model_name="test_resnet", num_classes=3)
search = dict(candidates=["test_resnet", "test_efficientnet", "test_convnext", dict(model_name="test_vit", size=(16, 24))], rungs=[2])
"""
MS = {"test_resnet": 2.0, "test_efficientnet": 1.0, "test_convnext": 1.0, "test_vit_16x24": 9.0}
SETTINGS = SearchSettings(controls=True, full=True, jobs=1, smoke=True)


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return runs.write(tmp_path_factory.mktemp("search"), teacher=runs.TEACHER, student=runs.STUDENT + MORE)


@pytest.fixture(scope="module")
def on(student: Path) -> Path:
    """What a device has timed."""
    told = {"interquartile_range_ms": 0.1, "megabytes": 1.0, "precision": "float32", "threads": 1, "machine": "a board"}
    of = {one.folder: {**told, "median_ms": MS[one.name]} for one in candidates_of(load_config(student))}
    path = student.parent / "timings.json"
    path.write_text(json.dumps(of), "utf-8")
    return path


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is exported, which costs seconds and is tested elsewhere."""
    told: list[Any] = []
    monkeypatch.setattr(searches, "export", lambda config, checkpoint, out, **more: told.append((config, checkpoint, out, more)))
    return told


def test_a_search_with_all_of_it(student: Path, on: Path, tmp_path: Path, exported: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(record=True, width=150, file=io.StringIO())
    display = Display(console, Progress(console=console, disable=True))
    kept: list[Found] = []
    monkeypatch.setattr(searches, "as_json", lambda found, budget: kept.append(found) or as_json(found, budget))
    done = search(student, Budget(5, on=on), SETTINGS, work_dir=tmp_path / "work", display=display)
    content = json.loads((tmp_path / "work" / "search.json").read_text("utf-8"))
    assert content["candidates"]["test_vit_16x24"]["left_out"] == "9 ms, 5 allowed"
    assert "the graph cannot take it: branch 'rgb'" in content["candidates"]["test_convnext"]["left_out"]
    fitting = {"test_resnet", "test_efficientnet"}
    assert [(rung["epochs"], len(rung["runs"])) for rung in content["rungs"]] == [(2, 2), (3, 1)]
    assert content["rungs"][0]["runs"].keys() == content["full"]["runs"].keys() == fitting
    assert content["chosen"] == done.chosen == next(iter(content["rungs"][0]["runs"]))
    assert list(content["finals"]) == [searches.CHOSEN, searches.BY_LABELS, searches.LARGEST]
    assert content["finals"][searches.LARGEST]["network"] == "test_resnet"
    assert content["cost"]["share_of_epochs"] == pytest.approx(7 / 6)
    assert content["cost"]["all_to_the_end_is"] == "measured"
    assert content["full"]["kendall"][0]["epochs"] == 2
    page = done.report.read_text("utf-8")
    for part in ("After 2 epochs", "After 3 epochs", "Left out", "What it cost", "What the search missed", 'class="mark', "a board"):
        assert part in page, part
    assert "float network" not in page
    write_search_page(tmp_path / "int8.html", load_config(student), kept[0], Budget(5, precision="int8", on=on), "")
    page = (tmp_path / "int8.html").read_text("utf-8")
    assert "of the float network on test" in page
    assert "what int8 loses is measured for the chosen network alone" in page
    [(config, checkpoint, out, _)] = exported
    assert (checkpoint, out) == (done.checkpoint, done.exported)
    assert done.chosen.startswith(config.distiller.branches.rgb.model.model_name)
    ground = Ground(student, {}, tmp_path, 0, {}, {"thermal": "teacher"}, {})
    pickle.dumps(partial(run_one, ground, candidates_of(load_config(student))[0], 2, True, False))  # for a process of its own
    monkeypatch.setattr("xkd.evidence.runs.train", lambda *_, **__: pytest.fail("it was trained before"))
    again = search(student, Budget(5, on=on), SETTINGS, work_dir=tmp_path / "work", display=display)
    assert again.content == done.content
    with_one_that_diverges(student, on, tmp_path / "work", display, monkeypatch)
    assert "test_efficientnet, 2 epochs: its training diverged, it is dropped: term ce is not finite" in console.export_text()


def with_one_that_diverges(student: Path, on: Path, root: Path, display: Display, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search once more, where the runs of one candidate are gone and fail."""

    def diverges(*_: object, **__: object) -> None:
        raise FloatingPointError("term ce is not finite")

    for folder in root.glob("test_efficientnet/*"):
        shutil.rmtree(folder)
    monkeypatch.setattr("xkd.evidence.runs.train", diverges)
    less = search(student, Budget(5, on=on), SETTINGS, work_dir=root, display=display)
    assert less.chosen == "test_resnet"
    assert [list(rung["runs"]) for rung in less.content["rungs"]] == [["test_resnet", "test_efficientnet"], ["test_resnet"]]
    assert list(less.content["diverged"]) == ["test_efficientnet, 2 epochs", "test_efficientnet, 3 epochs"]
    page = less.report.read_text("utf-8")
    assert "training diverged: term ce is not finite" in page
    assert page.count(">diverged<") == 2, "after 2 epochs, and to the end"


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert cli.run("search", arguments) == 2
    return capsys.readouterr().err


def test_mistakes_end_before_anything_is_trained(student: Path, on: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = [str(student), "--work-dir", str(tmp_path / "work"), "--on", str(on), "--budget-ms"]
    assert "the nearest is test_efficientnet: 1 ms, 0.5 allowed" in refused([*call, "0.5"], capsys)
    assert "was timed with precision float32, not int8" in refused([*call, "5", "--precision", "int8"], capsys)
    assert "search.eta: one of so many goes on" in refused([*call, "0.5", "--cfg-options", "search.eta=1"], capsys), "before the budget"
    assert "no network 'resnet10x'" in refused([*call, "5", "--cfg-options", "search.candidates=[resnet10x]"], capsys)
    lacking = [*call, "5", "--cfg-options", "search.candidates=[test_resnet,test_vit]"]
    assert f"{on} has no timing of ['test_vit']" in refused(lacking, capsys)
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "search.json").write_text('{"chosen": "weeks of work"}', "utf-8")
    assert "holds a real search, which a smoke run would overwrite" in refused([*call, "5", "--smoke"], capsys)
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["search.json"]


def test_candidates_for_a_device(
    student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reasons = {"test_resnet": ""}
    monkeypatch.setattr("xkd.evidence.afford.tried", lambda path, options, one, *_: (1, reasons.get(one.name, "no such stage")))
    call = [str(student), "--precision", "int8", "--write-candidates", str(tmp_path / "some")]
    assert cli.run("search", call) == 0
    assert (tmp_path / "some" / "bench.py").is_file()
    reasons.clear()
    assert "no candidate can be exported in int8" in refused([*call[:-1], str(tmp_path / "none")], capsys)
    assert not (tmp_path / "none").exists()


def test_candidates_are_timed_once_and_again_where_time_differs(student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []

    def timed(candidates: Any, folder: Path, threads: int, say: Any) -> dict[str, Any]:
        asked.append((len(candidates), threads))
        told = {"interquartile_range_ms": 0.1, "megabytes": 1.0, **here(Budget(5, threads=threads))}
        return {one.folder: {**told, "median_ms": MS[one.name]} for one in candidates}

    def tried(path: Path, options: Any, candidate: Candidate, folder: Path, precision: str = "") -> tuple[int, str]:
        told.append((candidate.name, precision))
        return 5, "no such stage" if candidate.name == "test_convnext" else ""

    told: list[tuple[str, str]] = []
    monkeypatch.setattr("xkd.evidence.afford.timed_here", timed)
    monkeypatch.setattr("xkd.evidence.afford.tried", tried)
    console = Console(quiet=True)
    display, candidates = Display(console, Progress(console=console, disable=True)), candidates_of(load_config(student))
    for threads in (1, 1, 2):
        found = afford(student, {}, candidates, Budget(5, threads=threads), tmp_path, display)
        assert [one.name for one in found.fits] == ["test_efficientnet", "test_resnet"], "the fastest first"
        assert found.left_out == {"test_vit_16x24": "9 ms, 5 allowed", "test_convnext": "no such stage"}
    assert asked == [(3, 1), (3, 2)]
    for name in ("xkd.evidence.timings.processor", "xkd.evidence.timings.os.cpu_count"):
        monkeypatch.setattr(name, lambda: "another")
        afford(student, {}, candidates, Budget(5, threads=2), tmp_path, display)
    monkeypatch.setattr("xkd.evidence.timings.onnxruntime.__version__", "0.1")
    afford(student, {}, candidates, Budget(5, threads=2), tmp_path, display)
    assert len(asked) == 5, "a folder that was brought here has the timings of where it was"
    assert ("test_vit_16x24", "") not in told, "what is over budget is not built"
    with pytest.raises(ValueError, match=r"no candidate is left: test_convnext: no such stage"):
        afford(student, {}, candidates[2:3], Budget(5), tmp_path, display)
