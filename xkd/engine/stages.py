"""Runs that other runs start from: each in a folder that its fingerprint names, trained once, reused by whoever asks for the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout
from mmengine.config import Config
from mmengine.dist import barrier, is_main_process

from xkd.engine.config import as_names, as_plain, checked, copied, override
from xkd.engine.fingerprint import MADE_OF, folder_of, made_of
from xkd.engine.loaders import supervising
from xkd.engine.outline import Outline
from xkd.engine.pairs import pairs_config
from xkd.files import write_atomically
from xkd.graph.pairs import PretrainedOnPairs
from xkd.graph.reading import Reading
from xkd.graph.weights import Checkpoint, Random, Trained

LABELS: Final = "batch.target"
STORE: Final = "trained"  # the folder beside a run's, of the runs that it starts from
_WHILE_TEACHING: Final = ("heads", "explanations", "class_map", "frozen", "judged", "bfloat16", "changes")  # not of its own training
Train = Callable[[Config, Path, str], object]  # a config, the run's folder and what to call it


def teacher_config(config: Config, branch: str) -> Config:
    """What trains a branch with `weights=Trained()`: that branch alone, by the student's supervision, on its own view.

    Every step is of labelled rows, since no other term is there; the student's weights, schedules and gates of its terms are left out.
    """
    outline = Outline.of(config)
    own = outline.branches[branch]
    weights = {key: value for key, value in own["weights"].items() if key != "type"}
    if own.get("class_map"):
        raise ValueError(
            f"branch '{branch}' has a class_map, so it knows other classes than this config's labels: train it by a config of its own and"
            " use weights=Checkpoint(path)"
        )
    if own.get("task") or own.get("eats"):
        raise ValueError(
            f"branch '{branch}' has a task of its own, or eats no whole view, so this config's labels cannot train it: train it by a config"
            " of its own and use weights=Checkpoint(path)"
        )
    if not own.get("frozen"):
        raise ValueError(
            f"branch '{branch}' has weights=Trained() and learns: set frozen=True, or start it from Random() or Checkpoint(path)"
        )
    start = weights.get("start", {"type": Random})
    if issubclass(start["type"], Trained):
        raise ValueError(f"branch '{branch}': Trained(start=...) begins with Random(), Pretrained() or Checkpoint(path), got {start}")
    made = copied(config)
    kept = {key: value for key, value in own.items() if key not in _WHILE_TEACHING}
    made.distiller.student = branch
    made.distiller.branches = as_names({branch: {**kept, "weights": start}})
    made.distiller.pop("ensembles", None)
    made.distiller.terms = as_names(_supervision(outline, as_plain(config.distiller.terms), branch))
    for split in ("train", "val", "test"):
        dataset = made[f"{split}_dataloader"].dataset
        dataset.views = [as_names(own["view"]), *map(as_names, supervising(as_plain(dataset), [own["view"]["name"]]))]
    if "labelled_share" in (made.train_dataloader.get("sampler") or {}):
        made.train_dataloader.sampler.labelled_share = 1.0
    made.pop("teacher_cache", None)
    if weights.get("epochs"):
        made.train_cfg.max_epochs = weights["epochs"]
    if weights.get("augment"):
        made.train_dataloader.dataset.augment.update(as_names(weights["augment"]))
    where = f"distiller.branches.{branch}.weights.options"
    for key, value in (weights.get("options") or {}).items():
        override(made, key, as_names(value), where)
    made.compare = _questions(config, branch)
    return checked(made, where)


def _supervision(outline: Outline, terms: Mapping[str, Any], branch: str) -> dict[str, Any]:
    """The terms by which the student's output learns from labels, moved to the branch."""
    output = (Reading(outline.student, "output"),)
    labelled = [name for name, edge in outline.edges.items() if edge.student == output and edge.teacher == (Reading.parse(LABELS),)]
    if not labelled:
        raise ValueError(
            f"branch '{branch}' has weights=Trained(), by the student's own supervision, and no term compares '{outline.student}.output'"
            f" with '{LABELS}': add one, or use weights=Checkpoint(path)"
        )
    left_out = ("weight", "gate", "student")
    return {
        name: {**{key: value for key, value in terms[name].items() if key not in left_out}, "student": f"{branch}.output"}
        for name in labelled
    }


def _questions(config: Config, branch: str) -> dict[str, Any]:
    """Tested like the others: the same clusters and regions, the attention that the comparison names for the branch."""
    section = as_plain(config.get("compare") or {})
    questions = {key: section[key] for key in ("cluster", "object", "probed") if key in section}
    if branch in section.get("attention", {}):
        questions["attention"] = {branch: section["attention"][branch]}
    return questions


def with_trained(config: Config, store: Path, seed: int, settings: Mapping[str, Any], train: Train, tell: Callable[[str], None]) -> Config:
    """The config with checkpoints in place of what is `Trained` or `PretrainedOnPairs`; what is not in the store is trained by `train`."""
    outline = Outline.of(config)
    if not outline.made_first:
        return config
    named = copied(config)
    for branch in outline.made_first:
        of, folder, title = first_run(config, branch, store, seed, settings)
        tell(f"{title} {'was trained before' if is_finished(folder) else 'is trained first'}: {folder}")
        run_once(of, folder, f"{title}, seed {seed}", train, made_of(of, seed, (), settings))
        take(named, branch, folder / "best.pth")
    return named


def first_run(config: Config, branch: str, store: Path, seed: int, settings: Mapping[str, Any]) -> tuple[Config, Path, str]:
    """The run that makes a branch's weights: its config, its folder in the store, and what it is called."""
    trained = branch in Outline.of(config).trained
    of = teacher_config(config, branch) if trained else pairs_config(config, branch)
    folder = folder_of(of, store / (branch if trained else f"{branch}_pairs"), seed, (), settings)
    return of, folder, f"teacher '{branch}'" if trained else f"'{branch}' on pairs"


def take(config: Config, branch: str, checkpoint: Path) -> None:
    """Load a branch from this checkpoint."""
    weights = config.distiller.branches[branch].weights
    if issubclass(as_plain(weights)["type"], Trained | PretrainedOnPairs):
        config.distiller.branches[branch].weights = as_names({"type": Checkpoint, "path": str(checkpoint)})
    else:
        weights.path = str(checkpoint)


def run_once(config: Config, folder: Path, name: str, train: Train, origin: Mapping[str, Any]) -> None:
    """Train into the folder unless a finished run is there; a second process that wants the same waits for the first.

    `origin` is kept there: what the folder's fingerprint was made of, for whoever asks why a run is not another one.
    """
    with _alone(folder):
        if is_finished(folder):
            return
        if is_main_process():
            write_atomically(folder / MADE_OF, json.dumps(origin, indent=1).encode())
        train(config, folder, name)


def is_finished(folder: Path) -> bool:
    return (folder / "result.json").is_file()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Of several processes of one launch the first holds the lock for all."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "running.lock")
    if is_main_process():
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"waiting for another process that trains {folder}", flush=True)
            lock.acquire()
    barrier()
    try:
        yield
    finally:
        lock.release()
