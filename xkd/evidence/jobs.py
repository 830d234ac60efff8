"""Runs beside each other: each arm and seed in a process of its own, cores shared out, one display for all."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Final

import torch
from rich.progress import TaskID

from xkd.engine.memory import available_bytes
from xkd.engine.progress import Display
from xkd.engine.settings import cores
from xkd.evidence.forwarded import forwarded

MEMORY_OF_ONE: Final = 3 * 2**30  # bytes that a run may take: libraries, its rows in memory, a worker
_TRAINED: Final = 0.9  # share of a run that is training; the rest is its test

Work = Callable[[Display, Mapping[str, Path]], Path]  # does a job, given the folders of those that it needs; can be pickled


@dataclass(frozen=True)
class Job:
    """One run: `needs` are the keys of the jobs that must be done before, whose folders `work` gets."""

    key: str
    title: str
    work: Work
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Done:
    """Folders of what is done, and why the others are not, by key; `diverged` are those failures whose training did."""

    folders: Mapping[str, Path]
    failures: Mapping[str, str]
    diverged: tuple[str, ...] = ()


def default_jobs(number: int) -> int:
    """As many beside each other as there are GPUs, or else as cores and memory allow, and never more than there are."""
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return max(1, min(number, gpus or min(cores(), available_bytes() // MEMORY_OF_ONE)))


def do_all(todo: Sequence[Job], jobs: int, display: Display) -> Mapping[str, Path]:
    """The folder of each job, by its key, `jobs` beside each other (0: as many as there is room for); they stand in an order that serves.

    When the others are done `FloatingPointError` names those that failed, where training diverged in one of them, else `RuntimeError`. One
    after the other, whatever is no divergence ends them at once.
    """
    beside = min(jobs or default_jobs(len(todo)), len(todo))
    if beside > 1:
        display.console.print(f"{len(todo)} runs, {beside} beside each other")
    done = run_jobs(todo, beside, display) if beside > 1 else _run_in_turn(todo, display)
    if done.failures:
        failed = "; ".join(f"{key}: {why}" for key, why in done.failures.items())
        error = FloatingPointError if done.diverged else RuntimeError
        raise error(f"{len(done.failures)} of {len(todo)} runs failed, the others are finished and kept: {failed}")
    return done.folders


def _run_in_turn(todo: Sequence[Job], display: Display) -> Done:
    """In this process; a job whose training diverges is named, those that need it are left out, the others go on."""
    folders, failures, diverged = dict[str, Path](), dict[str, str](), list[str]()
    bar = display.progress.add_task("runs", total=len(todo))
    for job in todo:
        if broken := [need for need in job.needs if need in failures]:
            failures[job.key] = _needs(broken[0])
        else:
            try:
                folders[job.key] = job.work(display, folders)
            except FloatingPointError as error:
                failures[job.key] = str(error)
                diverged.append(job.key)
        if job.key in failures:
            display.console.print(f"{job.title}: failed: {failures[job.key]}", style="bold red")
        display.progress.advance(bar)
    display.progress.remove_task(bar)
    return Done(folders, failures, tuple(diverged))


def _needs(broken: str) -> str:
    return f"it needs {broken}, which failed"


def run_jobs(jobs: Sequence[Job], beside: int, display: Display) -> Done:
    """Do all jobs, `beside` at a time; one that fails is named and those that need it are left out, the others go on.

    Each process gets its share of the cores (or a GPU). An interrupt ends all of them; what they have finished is kept.
    """
    crew = _Crew(jobs, _shares(beside), display)
    try:
        while crew.running or crew.ready():
            crew.fill()
            crew.listen()
    finally:
        crew.close()
    return Done(crew.folders, crew.failures, tuple(crew.diverged))


@dataclass
class _Running:
    job: Job
    slot: int
    process: Any
    connection: Connection
    bars: dict[int, TaskID] = field(default_factory=dict)
    share: float = 0.0
    result: Path | None = None
    failure: str = ""


class _Crew:
    """The processes of `run_jobs` and what is known of them."""

    def __init__(self, jobs: Sequence[Job], shares: Sequence[Mapping[str, Any]], display: Display) -> None:
        self.waiting, self.display, self.shares = list(jobs), display, shares
        self.running: dict[str, _Running] = {}
        self.folders: dict[str, Path] = {}
        self.failures: dict[str, str] = {}
        self.diverged: list[str] = []
        self.bar = display.progress.add_task("runs", total=len(jobs))
        # by fork the children would have this process's threads' locks; Windows has no fork server
        self.context: Any = multiprocessing.get_context("spawn" if sys.platform == "win32" else "forkserver")
        if sys.platform != "win32":
            self.context.set_forkserver_preload(["xkd.evidence.runs"])  # libraries are imported once for all

    def ready(self) -> list[Job]:
        """Jobs whose needs are done, those first that most others wait for; those whose needs have failed are failures too."""
        for job in [job for job in self.waiting if any(need in self.failures for need in job.needs)]:
            broken = next(need for need in job.needs if need in self.failures)
            self._failed(job, _needs(broken))
            self.waiting.remove(job)
        free = [job for job in self.waiting if all(need in self.folders for need in job.needs)]
        return sorted(free, key=lambda job: -sum(job.key in other.needs for other in self.waiting))

    def fill(self) -> None:
        free = [slot for slot in range(len(self.shares)) if slot not in {one.slot for one in self.running.values()}]
        for slot, job in zip(free, self.ready(), strict=False):
            ours, theirs = self.context.Pipe(duplex=False)
            done = {need: self.folders[need] for need in job.needs}
            terminal = self.display.console.is_terminal
            # the server forks with the environment in which it was started itself
            share = {**self.shares[slot], "environment": dict(os.environ)}
            arguments = (job.work, done, share, theirs, terminal, self.display.console.width)
            process = self.context.Process(target=_work, args=arguments, name=job.key)
            process.start()
            theirs.close()  # or its end would never be heard
            self.waiting.remove(job)
            self.running[job.key] = _Running(job, slot, process, ours)

    def listen(self) -> None:
        """Until something is heard; a process whose end is heard without a result was killed."""
        for connection in wait([one.connection for one in self.running.values()], timeout=1.0):
            one = next(of for of in self.running.values() if of.connection is connection)
            try:
                kind, content = one.connection.recv()
            except EOFError:
                self._ended(one)
                continue
            if kind == "line":
                text = content if content.startswith(one.job.title) else f"{one.job.title}: {content}"
                self.display.console.print(text, highlight=False)
            elif kind == "bars":
                self._show(one, content)
            elif kind == "done":
                one.result = content
            else:
                one.failure = content
                self.diverged += [one.job.key] if kind == "diverged" else []
        fractions = sum(one.share for one in self.running.values())
        self.display.progress.update(self.bar, completed=len(self.folders) + len(self.failures) + fractions)

    def close(self) -> None:
        for one in self.running.values():
            one.process.terminate()
        for one in self.running.values():
            one.process.join()
            self._hide(one)
        self.display.progress.remove_task(self.bar)

    def _show(self, one: _Running, bars: Sequence[tuple[int, str, float, float | None]]) -> None:
        progress = self.display.progress
        for number, description, completed, total in bars:
            if number not in one.bars:
                one.bars[number] = progress.add_task(description, total=total)
            progress.update(one.bars[number], description=description, completed=completed, total=total)
        for number in set(one.bars) - {bar[0] for bar in bars}:
            progress.remove_task(one.bars.pop(number))
        one.share = max([one.share, *(_TRAINED * done / total for _, _, done, total in bars if total)])

    def _ended(self, one: _Running) -> None:
        one.process.join()
        self.running.pop(one.job.key)
        self._hide(one)
        if one.result is not None:
            self.folders[one.job.key] = one.result
            self.display.console.print(f"{one.job.title}: finished")
            return
        self._failed(one.job, one.failure or _end(one.process.exitcode))

    def _failed(self, job: Job, why: str) -> None:
        self.failures[job.key] = why
        self.display.console.print(f"{job.title}: failed: {why}", style="bold red")

    def _hide(self, one: _Running) -> None:
        for bar in one.bars.values():
            self.display.progress.remove_task(bar)
        one.bars.clear()


def _end(code: int) -> str:
    """How a process ended that said nothing."""
    if code >= 0:
        return f"its process ended with exit code {code}"
    name = signal.Signals(-code).name
    return f"its process was ended by {name}" + (": is the memory full?" if name == "SIGKILL" else "")


def _shares(beside: int) -> list[dict[str, Any]]:
    """What each place among `beside` may use: its cores, its threads, a GPU where there are some."""
    mine = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    threads = max(1, min(cores(), torch.get_num_threads()) // beside)
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    each = len(mine) // beside
    return [
        {"cores": mine[slot * each : (slot + 1) * each], "threads": threads, "gpu": str(slot % gpus) if gpus else ""}
        for slot in range(beside)
    ]


def _work(work: Work, done: Mapping[str, Path], share: Mapping[str, Any], connection: Connection, terminal: bool, width: int) -> None:
    """In the child: do the job, send its lines, its bars and its end."""
    os.environ.update(share["environment"])
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has what it starts in the background ignore it
    if share["cores"]:  # none where a system cannot bind a process to them
        os.sched_setaffinity(0, share["cores"])
    if share["gpu"]:
        os.environ["CUDA_VISIBLE_DEVICES"] = share["gpu"]
    torch.set_num_threads(share["threads"])
    lock = threading.Lock()

    def send(kind: str, content: Any) -> None:
        try:
            with lock:
                connection.send((kind, content))
        except OSError:  # the parent is gone: nobody would read the result, and the next call goes on from the last whole epoch
            os.kill(os.getpid(), signal.SIGINT)

    try:
        with forwarded(send, terminal, width) as display:
            folder = work(display, done)
        send("done", folder)
    except KeyboardInterrupt:
        pass
    except FloatingPointError as error:
        send("diverged", str(error))
    except Exception as error:  # whatever it is, the parent names it and the other runs go on
        text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
        send("failed", f"{type(error).__name__}: {text}" if not isinstance(error, ValueError) else text)
    finally:
        connection.close()
