"""Runs beside each other: the same numbers as one after the other, failures named, nothing lost."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import engine_runs as runs
import numpy as np
import pytest
import torch
from rich.console import Console
from rich.progress import Progress

from xkd.engine import memory
from xkd.engine.progress import Display
from xkd.evidence import jobs as jobs_module
from xkd.evidence.compare import compare
from xkd.evidence.jobs import MEMORY_OF_ONE, Done, Job, default_jobs, do_all, run_jobs


@pytest.fixture
def display() -> Display:
    console = Console(file=io.StringIO(), width=200)
    return Display(console, Progress(console=console, disable=True))


def output_of(display: Display) -> str:
    assert isinstance(display.console.file, io.StringIO)
    return display.console.file.getvalue()


def note(folder: Path, name: str, screen: Display, done: Mapping[str, Path]) -> Path:
    screen.console.print(f"{name} has {torch.get_num_threads()} thread")
    (folder / name).write_text(" ".join(sorted(done)))
    return folder / name


def place(screen: Display, done: Mapping[str, Path]) -> Path:
    return Path(os.environ["XKD_DATA_ROOT"])


def fail(screen: Display, done: Mapping[str, Path]) -> Path:
    raise ValueError("no such thing")


def diverge(screen: Display, done: Mapping[str, Path]) -> Path:
    raise FloatingPointError("term ce is not finite")


def die(screen: Display, done: Mapping[str, Path]) -> Path:
    os.kill(os.getpid(), signal.SIGKILL)
    return Path()


def test_each_waits_for_what_it_needs_and_is_heard(tmp_path: Path, display: Display) -> None:
    work = {name: partial(note, tmp_path, name) for name in "abc"}
    done = run_jobs([Job("c", "the c", work["c"], ("a", "b")), Job("a", "the a", work["a"]), Job("b", "the b", work["b"])], 2, display)
    assert done == Done({name: tmp_path / name for name in "abc"}, {})
    assert (tmp_path / "c").read_text() == "a b"
    assert "the a: a has 1 thread" in output_of(display)
    assert "the c: finished" in output_of(display)


def test_each_has_the_environment_of_now(display: Display, monkeypatch: pytest.MonkeyPatch) -> None:
    for root in ("first", "second"):  # the server of processes is there the second time
        monkeypatch.setenv("XKD_DATA_ROOT", root)
        assert run_jobs([Job("a", "the a", place)], 1, display).folders == {"a": Path(root)}


def test_a_failure_is_named_the_others_go_on_and_what_needs_it_is_left_out(tmp_path: Path, display: Display) -> None:
    todo = [
        Job("bad", "the bad one", fail),
        Job("killed", "the killed one", die),
        Job("after", "the one after", partial(note, tmp_path, "after"), ("bad",)),
        Job("last", "the last", partial(note, tmp_path, "last")),
    ]
    done = run_jobs(todo, 2, display)
    assert list(done.folders) == ["last"]
    assert done.failures["bad"] == "no such thing"
    assert "SIGKILL: is the memory full?" in done.failures["killed"]
    assert done.failures["after"] == "it needs bad, which failed"
    assert not (tmp_path / "after").exists()


@pytest.mark.parametrize("beside", [1, 2])
def test_one_that_diverges_does_not_end_the_others(beside: int, tmp_path: Path, display: Display) -> None:
    todo = [
        Job("bad", "the bad one", diverge),
        Job("after", "the one after", partial(note, tmp_path, "after"), ("bad",)),
        Job("last", "the last", partial(note, tmp_path, "last")),
    ]
    why = "2 of 3 runs failed, the others are finished and kept: bad: term ce is not finite; after: it needs bad, which failed"
    with pytest.raises(FloatingPointError, match=why):  # a short message of the command, without a traceback
        do_all(todo, beside, display)
    assert "the bad one: failed: term ce is not finite" in output_of(display)
    assert [file.name for file in tmp_path.iterdir()] == ["last"]


def test_as_many_as_cores_and_memory_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_module, "cores", lambda: 8)
    monkeypatch.setattr(jobs_module.torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(jobs_module, "available_bytes", lambda: 5 * MEMORY_OF_ONE + 1)
    assert (default_jobs(3), default_jobs(30)) == (3, 5)
    monkeypatch.setattr(jobs_module, "available_bytes", lambda: 0)
    assert default_jobs(30) == 1


def test_a_containers_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (("_MEMORY", "MemTotal: 9 kB\nMemAvailable: 4096 kB\n"), ("_LIMIT", "2097152\n"), ("_USED", "1048576\n")):
        (tmp_path / name).write_text(text)
        monkeypatch.setattr(memory, name, tmp_path / name)
    assert memory.available_bytes() == 1048576
    (tmp_path / "_LIMIT").write_text("max\n")
    assert memory.available_bytes() == 4096 * 1024


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = "\ntrain_cfg.update(max_epochs=2)\nparam_scheduler = []\n"
    return runs.write(tmp_path_factory.mktemp("jobs"), teacher=runs.TEACHER + options, student=runs.STUDENT + options)


def test_beside_each_other_gives_the_numbers_of_one_after_the_other(student: Path, tmp_path: Path, display: Display) -> None:
    few = ("teacher", "alone", "distilled")
    torch.set_num_threads(1)
    compared = {n: compare(student, seeds=1, arms=few, work_dir=tmp_path / str(n), jobs=n, display=display) for n in (1, 2)}
    for arm in few:
        one, two = (compared[n].runs[arm][0] for n in (1, 2))
        assert one.folder.name == two.folder.name, "the same fingerprint, so that either can be gone on from"
        np.testing.assert_array_equal(one.test.predictions, two.test.predictions)
    assert compared[1].summary.finding == compared[2].summary.finding


def test_a_failed_arm_is_an_error_when_the_others_are_done(student: Path, tmp_path: Path, display: Display) -> None:
    blocked = tmp_path / "work" / "alone"
    blocked.parent.mkdir()
    blocked.write_text("a file where a folder should be")
    with pytest.raises(RuntimeError, match=r"1 of 3 runs failed, the others are finished and kept: alone, seed 0: "):
        compare(student, seeds=1, arms=("teacher", "alone", "distilled"), work_dir=tmp_path / "work", jobs=2, display=display)
    assert list((tmp_path / "work" / "distilled").glob("*/result.json"))


@pytest.mark.slow
def test_an_interrupt_ends_all_and_keeps_what_is_finished(student: Path, tmp_path: Path, tiny_dataset: Path) -> None:
    command = ["-m", "xkd", "compare", str(student), "--seeds", "1", "--work-dir", str(tmp_path), "--jobs", "2"]
    long = ["--cfg-options", "train_cfg.max_epochs=3000", "train_cfg.val_interval=1000"]
    process = subprocess.Popen([sys.executable, *command, *long], env=runs.environment_of(tiny_dataset), start_new_session=True)
    while not list(tmp_path.glob("teacher/*/result.json")):
        time.sleep(0.2)
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=120) == 130
    for _ in range(50):  # the server of processes hears of its end a moment later
        left = subprocess.run(["pgrep", "-g", str(process.pid)], capture_output=True, text=True, check=False).stdout.split()
        if not left:
            break
        time.sleep(0.2)
    assert not left, "no process outlives the command"
    assert json.loads(next(tmp_path.glob("teacher/*/result.json")).read_text())["epochs"]


def wait(folder: Path, screen: Display, done: Mapping[str, Path]) -> Path:
    (folder / "pid").write_text(str(os.getpid()))
    time.sleep(60)
    return folder


KILLED = """
import os, signal, sys, threading, time
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

import test_jobs
from xkd.engine.progress import Display
from xkd.evidence.jobs import Job, run_jobs

def kill(folder):
    while not (folder / "pid").exists() or not (folder / "pid").read_text():
        time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    threading.Thread(target=kill, args=(folder,)).start()
    console = Console()
    run_jobs([Job("a", "a", partial(test_jobs.wait, folder))], 1, Display(console, Progress(console=console, disable=True)))
"""


def test_a_run_ends_when_the_command_that_started_it_is_killed(tmp_path: Path, tiny_dataset: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    environment = runs.environment_of(tiny_dataset)
    environment["PYTHONPATH"] = os.pathsep.join((str(Path(__file__).parent), environment["PYTHONPATH"]))
    unheard = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]  # as a shell starts what runs in the background
    command = [*unheard, sys.executable, str(script), str(tmp_path)]
    assert subprocess.run(command, env=environment, check=False).returncode == -signal.SIGKILL
    pid = int((tmp_path / "pid").read_text())
    for _ in range(50):
        stat = Path(f"/proc/{pid}/stat")
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":  # ended, though nobody may have asked how
            return
        time.sleep(0.2)
    os.kill(pid, signal.SIGKILL)
    raise AssertionError("the run went on for nobody")


def test_an_end_is_told_where_there_is_no_sigkill(monkeypatch: pytest.MonkeyPatch) -> None:
    assert jobs_module._end(-9) == "its process was ended by SIGKILL: is the memory full?"
    monkeypatch.delattr(signal, "SIGKILL")
    assert jobs_module._end(-15) == "its process was ended by SIGTERM"
