"""What a run chooses by the machine: sized to it, told with its reason, and each can be set."""

from __future__ import annotations

import io
import sysconfig
from pathlib import Path
from typing import Any

import engine_runs as runs
import pytest
from mmengine.optim import AmpOptimWrapper
from rich.console import Console

from xkd.engine import precision, settings

SHUFFLED: dict[str, Any] = {"dataset": {}, "sampler": {"shuffle": True}}


@pytest.mark.parametrize(
    ("there", "gpu", "count", "ahead"),
    [(1, False, 0, None), (2, False, 1, 2), (16, False, 1, 2), (1, True, 1, 4), (6, True, 5, 4), (64, True, 8, 4)],
)
def test_workers_by_the_machine(there: int, gpu: bool, count: int, ahead: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "cores", lambda: there)
    monkeypatch.setattr(settings.torch.cuda, "is_available", lambda: gpu)
    for section in (SHUFFLED, {**SHUFFLED, "num_workers": "auto", "prefetch_factor": "auto"}):
        chosen = settings.workers_of(section)
        assert (chosen.count, chosen.ahead) == (count, ahead)


def test_what_the_config_says_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "cores", lambda: 8)
    chosen = settings.workers_of({**SHUFFLED, "num_workers": 3, "prefetch_factor": 7, "multiprocessing_context": "spawn"})
    assert chosen == settings.Workers(3, 7, "spawn", "as the config says")
    assert settings.workers_of({**SHUFFLED, "num_workers": 1}).start == settings.START
    assert settings.workers_of({**SHUFFLED, "num_workers": 0}).ahead is None


def test_rows_that_stay_in_memory_need_no_workers_where_nothing_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "cores", lambda: 8)
    kept = {"dataset": {"cache": True}}
    assert settings.workers_of(kept).count == 0
    monkeypatch.setattr(settings.torch.cuda, "is_available", lambda: True)
    assert settings.workers_of({**kept, "sampler": {"shuffle": True}}).count == 1, "each would keep all rows"
    monkeypatch.setattr(settings.torch.cuda, "is_available", lambda: False)
    assert settings.workers_of({"dataset": {}}).count == 1


def test_processes_of_one_machine_share_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings.os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(settings, "_QUOTA", Path("nowhere"))
    assert settings.cores() == 8
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert settings.cores() == 2


@pytest.mark.parametrize(("quota", "there"), [("max 100000", 8), ("250000 100000", 2), ("50000 100000", 1), ("1600000 100000", 8)])
def test_a_containers_quota_counts(quota: str, there: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings.os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(settings, "_QUOTA", tmp_path / "cpu.max")
    (tmp_path / "cpu.max").write_text(f"{quota}\n", "utf-8")
    assert settings.cores() == there


@pytest.mark.parametrize("amp", [False, True])
@pytest.mark.parametrize("pays", [False, True])
def test_a_run_says_what_was_chosen_and_why(amp: bool, pays: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (settings, precision):
        monkeypatch.setattr(module, "bfloat16_pays", lambda: pays)
    page = io.StringIO()
    options = {"train_cfg.max_epochs": 1, "distiller.branches.rgb.channels_last": False}
    runs.run_training(runs.config_of(tmp_path, runs.GRAPH, options), tmp_path / "run", Console(file=page, width=300), amp=amp)
    lines = page.getvalue().splitlines()
    assert "workers: 0 (as the config says)" in lines
    assert "memory: rgb contiguous, thermal channels-last, average channels-last (channels-last is faster for CNNs)" in lines
    assert any(line.startswith("freed memory: ") for line in lines)
    assert any(line.startswith("compiled: nothing (on request") for line in lines)
    (text,) = [line for line in lines if line.startswith("precision: ")]
    expected = {
        (False, False): "float32 (as the config says)",
        (False, True): "float32 (as the config says; --amp is bfloat16, faster here)",
        (True, False): "float32 (bfloat16 was asked for; it is no faster on this machine, which has no AMX)",
        (True, True): "bfloat16 where it is safe, weights and losses in float32 (this machine computes in it)",
    }
    assert text == f"precision: {expected[amp, pays]}"


@pytest.mark.parametrize("wrapper", ["AmpOptimWrapper", AmpOptimWrapper])
def test_another_wrapper_is_named_and_not_guessed_at(wrapper: Any) -> None:
    assert settings._precision({"type": wrapper}, False) == "that of AmpOptimWrapper (as the config says)"


def test_bfloat16_where_it_does_not_pay_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "bfloat16_pays", lambda: False)
    line = settings._precision({"type": precision.BF16OptimWrapper, "always": True}, False)
    assert line.startswith("bfloat16")
    assert line.endswith("(as the config says; slower on this machine)")


def test_a_machine_without_a_compiler_hears_nothing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: "no-such-compiler" if name == "CC" else None)
    runs.run_training(runs.config_of(tmp_path, runs.PLAIN, {"train_cfg.max_epochs": 1}), tmp_path / "run", smoke=True)
    assert capfd.readouterr().err == ""
    (log,) = (tmp_path / "run").glob("*/*.log")
    assert "GCC: n/a" in log.read_text("utf-8")
