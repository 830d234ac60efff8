"""Training: a config becomes a Distiller, loaders and mmengine's Runner; the best checkpoint on val is what comes out.

One training step, in the order in which it runs:

1. `DrawSampler` gives (index, draw), a function of (seed, epoch) alone (`data/loader.py`).
2. `PairedDataset` reads the row's files, draws one geometric change for all views and each sensor's own jitter (`data/paired.py`).
3. `Mix`, where there is one, then `collate`: a `Batch` (`data/mix.py`, `data/loader.py`).
4. Hooks before the step: `IntervalInfoHook`, `StepHook` (the distiller's epoch), `GradientHook` (an epoch's first batch alone).
5. mmengine's `train_step` moves the batch to the device and calls the `Distiller`, in bfloat16 where it pays (`engine/model.py`).
6. `Distiller.read`: each branch runs on its own view, or its cached readings are taken (`graph/branch.py`).
7. Each `Term` chooses rows, projects the student's reading and calls its loss in float32 (`graph/term.py`).
8. The loss is the sum of weight times part (`graph/distiller.py`).
9. Backward; where the step is due, clip, look for what is not finite, step, zero the gradients (`engine/precision.py`).
10. Hooks after the step: `IntervalInfoHook`, `StepHook` (averages follow), broken rows, log, schedules, checkpoints by epoch, progress.

The run's log lists the hooks in the order in which they are called.
"""

from __future__ import annotations

import json
import shutil
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from multiprocessing import get_start_method
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import barrier, is_main_process
from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook, LoggerHook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from mmengine.visualization import LocalVisBackend, Visualizer
from torch.utils.data import DataLoader

from xkd.data.cache import TeacherCache
from xkd.engine import launch
from xkd.engine.broken_rows import BrokenRowsHook
from xkd.engine.checks import check_together
from xkd.engine.config import as_plain, load_config, naming_commands, settle
from xkd.engine.describe import describe, heard, measure_teachers, print_rows
from xkd.engine.exemplars import drawn_instead, with_exemplars
from xkd.engine.gradient_log import GradientHook
from xkd.engine.hooks import SETTINGS, PlainCheckpointHook, StepHook, SyncStatisticsHook, checkpoints, find_last
from xkd.engine.interval import IntervalInfoHook
from xkd.engine.links import check_unlinked
from xkd.engine.loaders import build_distiller, build_loader
from xkd.engine.memory import keep_freed, peak_bytes, reset_peak
from xkd.engine.model import DistillerModel, TaskMetric, TermMetric, chosen_by_terms, legal_scores, less_is_better
from xkd.engine.precision import BF16OptimWrapper, StepOptimWrapper
from xkd.engine.progress import Display, ProgressHook, shown_on
from xkd.engine.resume import resumed, settings_of
from xkd.engine.runner import QuietRunner
from xkd.engine.settings import choices, workers_of
from xkd.engine.stages import STORE, with_trained
from xkd.engine.teacher_cache import FILLING, TeacherCacheHook, cache_of
from xkd.files import sweep, write_atomically
from xkd.graph.distiller import Distiller
from xkd.tasks import Task


@dataclass(frozen=True)
class TrainResult:
    """`result.json` of a run: where its best checkpoint is, by which score it was chosen, what it took."""

    checkpoint: str
    save_best: str
    best: float
    epochs: int
    seconds: float
    seed: int
    peak_memory: int  # bytes, see `xkd.engine.memory`
    filling: float = 0.0  # of the seconds, those that filled the teacher cache


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What a run is told beside its config: `smoke` tries one step, `name` is shown beside its bar, `store` keeps what it starts from."""

    seed: int = 0
    resume: bool = False
    amp: bool = False
    launcher: str = "none"
    smoke: bool = False
    name: str = "train"
    store: str | Path = ""


def train(  # noqa: PLR0913  # each is an option of the command
    config: Config | str | Path,
    work_dir: str | Path = "",
    *,
    options: Mapping[str, Any] | None = None,
    display: Display | None = None,
    seed: int = 0,
    resume: bool = False,
    amp: bool = False,
    launcher: str = "none",
    smoke: bool = False,
    name: str = "train",
    store: str | Path = "",
) -> TrainResult:
    """One run, and before it those that its branches start from (`Trained`, `PretrainedOnPairs`) and that are not in `store` yet.

    Writes checkpoints, logs, the config and `result.json` below `work_dir` (work_dirs/NAME-OF-CONFIG without one); `options` override a
    config's file ("train_cfg.max_epochs": 5); `resume` goes on after the last whole epoch; `smoke` tries one step, with random teachers.
    `store` is a folder "trained" beside `work_dir` without one.
    """
    if not isinstance(config, Config):
        config = load_config(config, options)
    elif options:
        raise ValueError("options go with a config's file; set the keys of a Config yourself")
    folder = Path(work_dir or f"work_dirs/{Path(config.filename).stem}" + ("_smoke" if smoke else ""))
    run = RunSettings(seed=seed, resume=resume, amp=amp, launcher=launcher, smoke=smoke, name=name, store=store)
    with shown_on(display, quiet=not launch.is_first()) as screen:
        return _run(config, folder, screen, run)


def _run(config: Config, work_dir: Path, display: Display, run: RunSettings) -> TrainResult:
    console = display.console
    check_unlinked(config)
    environment = as_plain(config.get("env_cfg") or {})
    model_wrapper = launch.prepare(run.launcher, environment.get("dist_cfg", {}))
    if not run.resume and not run.smoke and checkpoints(work_dir):
        # a later --resume could not tell the two runs' checkpoints apart
        raise ValueError(f"{work_dir} holds the checkpoints of an earlier run; use --resume to go on with it, or another --work-dir")
    if not run.smoke:
        run = replace(run, store=run.store or work_dir.parent / STORE)
        first = partial(_first, display, run)
        config = with_trained(config, Path(run.store), run.seed, {"amp": run.amp}, first, console.print)
    last = find_last(work_dir, console) if run.resume else None
    tell = partial(console.print, markup=False)
    config = drawn_instead(config) if run.smoke else with_exemplars(config, work_dir, last, run.seed, tell)
    if last and not run.smoke:
        config = resumed(config, last, run.amp, console)
    cache = cache_of(config)
    draws = cache.draws if cache else 0
    loaders = {split: build_loader(config[f"{split}_dataloader"], run.seed, int(run.smoke), draws=draws) for split in ("train", "val")}
    with heard(console), naming_commands(config):
        distiller = build_distiller(config.distiller, run.seed, run.smoke).to(get_device())
    check_together(distiller, loaders, config.save_best)
    print_rows(loaders, console)
    if not run.smoke:
        if not display.brief:
            console.print(describe(distiller))
            for line in choices(distiller, as_plain(config.optim_wrapper), workers_of(as_plain(config.train_dataloader)), run.amp):
                console.print(line, highlight=False)
        measure_teachers(distiller, config, run.seed, console)
    hooks = _hooks(config, display, run, cache)
    runner = make_runner(config, work_dir, distiller, loaders, hooks, last, run, model_wrapper)
    reset_peak()
    try:
        with warnings.catch_warnings():
            if config.optim_wrapper.get("accumulative_counts", 1) > 1:
                # schedules go by iteration, and the first optimiser step comes some iterations later
                warnings.filterwarnings("ignore", r"Detected call of `scheduler\.step\(\)` before `optimizer\.step\(\)`")
            runner.train()
    finally:
        close(runner, loaders.values())
    return _finish(runner, distiller, work_dir, run.seed)


def _first(display: Display, run: RunSettings, config: Config, work_dir: Path, name: str) -> TrainResult:
    """A run that another one starts from, with that one's settings."""
    return _run(config, work_dir, display, replace(run, resume=True, name=name))


def _hooks(config: Config, display: Display, run: RunSettings, cache: TeacherCache | None) -> list[Hook]:
    own = [StepHook(), GradientHook(display.console), BrokenRowsHook(display.console), ProgressHook(display.progress, run.name)]
    if cache and not run.smoke:
        own.append(TeacherCacheHook(cache, config, display.console, display.progress))
    return [*own, *as_plain(config.get("custom_hooks") or [])]


def _finish(runner: Runner, distiller: Distiller, work_dir: Path, seed: int) -> TrainResult:
    """The best checkpoint and what is known of the run, as files."""
    seconds = round(runner.message_hub.get_info("seconds"), 2)
    best, score = work_dir / "best.pth", runner.message_hub.get_info("best_score")
    if score is None:
        raise ValueError(
            f"{work_dir}: save_best='{runner.cfg.save_best}' was not a number in any validation, so no checkpoint is the best; choose by"
            f" another of {legal_scores(distiller)}"
        )
    filling = round(runner.message_hub.get_info(FILLING, 0.0), 2)
    result = TrainResult(str(best), runner.cfg.save_best, float(score), int(runner.epoch), seconds, seed, peak_bytes(), filling)
    if is_main_process():
        # the name alone: a run may have been moved before it was resumed
        write_atomically(best, (work_dir / Path(runner.message_hub.get_info("best_ckpt")).name).read_bytes())
        write_atomically(work_dir / "result.json", json.dumps(asdict(result), indent=1).encode())
    barrier()
    return result


def make_runner(
    config: Config,
    work_dir: Path,
    distiller: Distiller,
    loaders: Mapping[str, Any],
    hooks: Sequence[Hook],
    last: str | None,
    run: RunSettings,
    model_wrapper: Mapping[str, Any],
) -> Runner:
    """`last` is the checkpoint to go on from; `model_wrapper` what the launch adds to the Runner's config."""
    free_or_fail(work_dir)
    keep_freed()
    if is_main_process():
        sweep(work_dir)
    by_terms = chosen_by_terms(config.save_best)
    experiment = f"xkd_{time.time_ns()}"  # mmengine keeps its logger, message hub and visualizer by this name
    optim_wrapper = as_plain(config.optim_wrapper)
    if run.amp or optim_wrapper.get("type", OptimWrapper) is OptimWrapper:
        optim_wrapper["type"] = BF16OptimWrapper if run.amp else StepOptimWrapper
    if optim_wrapper.get("paramwise_cfg"):  # by which mmengine goes through branches, and would meet shared weights twice
        optim_wrapper["paramwise_cfg"].setdefault("bypass_duplicate", True)
    train_cfg = dict(config.train_cfg)
    if run.smoke:
        train_cfg.update(max_epochs=1, val_begin=1, val_interval=1)
    return QuietRunner(
        model=DistillerModel(distiller, by_terms),
        work_dir=str(work_dir),
        train_dataloader=loaders["train"],
        val_dataloader=loaders["val"],
        train_cfg=train_cfg,
        val_cfg={},
        val_evaluator=Evaluator([TermMetric(distiller) if by_terms else TaskMetric(distiller.task)]),
        optim_wrapper=optim_wrapper,
        param_scheduler=with_ends(as_plain(config.get("param_scheduler") or []), config.train_cfg.max_epochs),
        default_hooks=make_hooks(config, run.launcher, distiller.task),
        custom_hooks=list(hooks),
        load_from=last,
        resume=last is not None,
        launcher=run.launcher,
        env_cfg=environment_of(config),
        # mmengine averages all that has "loss" in its name over ten entries; an entry is the mean of an interval already
        log_processor={"mean_pattern": "(^|/)(time|data_time)$"},
        visualizer={"type": Visualizer, "vis_backends": backends(config)},
        randomness={"seed": run.seed},
        experiment_name=experiment,
        cfg=settle(config, {**model_wrapper, SETTINGS: settings_of(config, run.amp)}),
    )


def environment_of(config: Config) -> dict[str, Any]:
    """The config's `env_cfg`; mmengine would make "fork" the whole process' way to start others, whatever it was."""
    own = as_plain(config.get("env_cfg") or {})
    started = {"mp_start_method": get_start_method(), **(own.get("mp_cfg") or {})}
    return {"dist_cfg": {"backend": "nccl"}, **own, "mp_cfg": started}


def backends(config: Config) -> list[Any]:
    """Those of the config, and always the run's own folder, which a comparison's page reads."""
    named: list[Any] = as_plain(config.get("vis_backends") or [])
    return named if any(backend["type"] is LocalVisBackend for backend in named) else [{"type": LocalVisBackend}, *named]


def make_hooks(config: Config, launcher: str, task: Task) -> dict[str, Any]:
    """mmengine's default hooks, with those that xkd has in their place, and the config's changes to them."""
    own = as_plain(config.get("default_hooks") or {})
    return {
        "logger": LoggerHook(interval=config.get("log_interval", 50)),
        **own,
        "runtime_info": {"type": IntervalInfoHook, **own.get("runtime_info", {})},
        "checkpoint": {
            "type": PlainCheckpointHook,
            "save_best": config.save_best,
            "less_is_better": less_is_better(config.save_best, task),
            **own.get("checkpoint", {}),
        },
        **({"sync_statistics": SyncStatisticsHook()} if launcher != "none" else {}),
    }


def with_ends(schedulers: Sequence[Mapping[str, Any]], max_epochs: int) -> list[Mapping[str, Any]]:
    """Schedules by epoch that name no `end` last as long as the config's run, in a smoke run too."""
    return [{"end": max_epochs, **one} if one.get("by_epoch", True) else one for one in schedulers]


def close(runner: Runner, loaders: Iterable[DataLoader[Any]]) -> None:
    """A process may train many times; each run's workers and log files end with it."""
    for loader in loaders:
        if loader._iterator is not None:
            # left to the garbage collector, persistent workers never hear that they should end and are waited for, five seconds each
            loader._iterator._shutdown_workers()  # type: ignore[attr-defined]  # only iterators with workers outlive an epoch
    runner.visualizer.close()
    for handler in runner.logger.handlers:
        handler.close()


def free_or_fail(work_dir: Path, least: int = 64 * 1024**2) -> None:
    work_dir.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(work_dir).free
    if free < least:
        raise OSError(f"{work_dir} has {free / 2**20:.0f} MiB free, a run needs at least {least // 2**20}; nothing was written")
