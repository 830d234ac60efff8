"""The arms of a comparison, derived from one config, and how each is trained and tested once per seed; finished runs are reused."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

import xkd
from xkd.attention.maps import attention_map
from xkd.attention.scores import energy_pointing_game
from xkd.compare import TestRun
from xkd.data.manifest import data_root
from xkd.engine.config import SECTIONS, as_names, as_plain, load_config
from xkd.engine.loaders import build_loader
from xkd.engine.student import Student, load_student
from xkd.engine.train import train
from xkd.evaluate import predict
from xkd.files import write_atomically

COMPARE_KEYS = ("attention", "cluster", "teachers", "variants")
CLUSTER = "group"  # rows of one plant, scene or drive are alike: the bootstrap draws them together
RESERVED = ("alone", "distilled", "masks", "shuffled", "teacher")
LABELS = ("batch.target",)
MASKS = (*LABELS, "batch.mask")


@dataclass(frozen=True)
class Arm:
    """One way to train; `teachers` are the arms whose checkpoints it loads, by branch. A `variant` is the distilled one, changed."""

    name: str
    title: str
    config: Callable[[], Config]
    branch: str
    teachers: Mapping[str, str] = field(default_factory=dict)
    variant: bool = False


@dataclass(frozen=True)
class ArmRun:
    """A finished run: its folder, its checkpoint, its answers on the test split, its best score on val, the seconds its training took."""

    folder: Path
    checkpoint: Path
    test: TestRun
    validation: float
    seconds: float


def make_arms(path: Path, options: Mapping[str, Any]) -> list[Arm]:
    """Teachers, the student alone, alone with masks, distilled, on shuffled pairs, and its variants, in the order to be run."""
    config = load_config(path, options)
    section = as_plain(config.get("compare") or {})
    unknown = [key for key in section if key not in COMPARE_KEYS]
    if unknown:
        raise KeyError(f"{path}: compare has no key '{unknown[0]}'; it takes {list(COMPARE_KEYS)}")
    branches = as_plain(config.distiller.branches)
    frozen = [name for name, branch in branches.items() if branch.get("frozen") and "path" in branch["weights"]]
    teachers = section.get("teachers", {})
    if set(teachers) != set(frozen):
        raise KeyError(f"{path}: compare.teachers must name the config that trains each frozen branch {frozen}; it names {list(teachers)}")
    student = config.distiller.student
    if not frozen:
        raise ValueError(
            f"{path}: none of the branches {list(branches)} is frozen with weights=Checkpoint(...): no teacher to compare with"
        )
    arms, sources = [], {}
    for branch, file in teachers.items():
        teacher_path = path.parent / file
        name = "teacher" if len(teachers) == 1 else f"teacher_{branch}"
        sources[branch] = name
        arms.append(Arm(name, f"teacher on {branch}", _teacher(teacher_path, section), load_config(teacher_path).distiller.student))
    arms.append(Arm("alone", "student alone", lambda: alone(load_config(path, options)), student))
    if alone(load_config(path, options), MASKS).distiller.terms != arms[-1].config().distiller.terms:
        # what masks bring without a teacher must not count as the teacher's
        arms.append(Arm("masks", "student alone, with masks", lambda: alone(load_config(path, options), MASKS), student))
    arms.append(Arm("distilled", "student distilled", lambda: load_config(path, options), student, sources))
    if has_pairs(config):
        arms.append(Arm("shuffled", "student, shuffled pairs", lambda: shuffled(load_config(path, options)), student, sources))
    return [*arms, *variants(path, options, section.get("variants", {}), student, sources)]


def variants(
    path: Path, options: Mapping[str, Any], changes: Mapping[str, Mapping[str, Any]], student: str, sources: Mapping[str, str]
) -> list[Arm]:
    """The distilled student with other losses, weights or taps; each change is a mapping of dotted keys, as `--cfg-options` takes them."""
    arms = []
    for name, change in changes.items():
        if name in RESERVED or name.startswith("teacher_"):
            raise ValueError(f"{path}: compare.variants cannot have '{name}', the name of an arm of every comparison")

        def config(change: Mapping[str, Any] = as_names(change)) -> Config:
            return load_config(path, {**options, **change})

        config()  # a wrong key is told before anything is trained
        arms.append(Arm(name, f"student, {name}", config, student, sources, variant=True))
    return arms


def has_pairs(config: Config) -> bool:
    """Whether there is anything to shuffle: branches on several views."""
    return len({branch["view"]["name"] for branch in as_plain(config.distiller.branches).values()}) > 1


def alone(config: Config, targets: Sequence[str] = LABELS) -> Config:
    """The same student, data, steps and augmentation, with its labels (and masks) as the only supervision."""
    student = config.distiller.student
    for name in list(config.distiller.branches):
        if name != student:
            config.distiller.branches.pop(name)
    for name, term in as_plain(config.distiller.terms).items():
        readings = term["student"] if isinstance(term["student"], list | tuple) else [term["student"]]
        if term["teacher"] not in targets or any(reading.split(".")[0] != student for reading in readings):
            config.distiller.terms.pop(name)
        elif term.get("gate") and term["gate"]["reading"].split(".")[0] != student:
            config.distiller.terms[name].pop("gate")  # it asks a teacher
    if not any(term["teacher"] in LABELS for term in as_plain(config.distiller.terms).values()):
        raise ValueError(f"the student '{student}' has no term with 'batch.target', so it cannot be trained alone")
    return config


def shuffled(config: Config) -> Config:
    """The negative control: every view but the student's comes from another row."""
    student = as_plain(config.distiller.branches)[config.distiller.student]
    config.train_dataloader.dataset.shuffle_pairs_except = student["view"]["name"]
    return config


def run_arm(
    arm: Arm,
    seed: int,
    root: Path,
    done: Mapping[str, ArmRun],
    settings: Mapping[str, Any],
    console: Console,
    progress: Progress,
) -> ArmRun:
    """Train and test one arm with one seed, or take what an earlier call has finished with the same config, data and teachers."""
    config = arm.config()
    # before the teachers' paths are in it: a folder may be moved, or named in another way
    key = fingerprint(config, seed, [done[teacher].folder.name for teacher in arm.teachers.values()], settings)
    for branch, teacher in arm.teachers.items():
        config.distiller.branches[branch].weights.path = str(done[teacher].checkpoint)
    folder = root / arm.name / f"seed{seed}_{key[:8]}"
    result, answers = folder / "result.json", folder / f"rows_{asked(config)}.npz"
    if not result.is_file():
        train(config, folder, console, progress, seed, resume=True, name=f"{arm.title}, seed {seed}", **settings)
    checkpoint = folder / "best.pth"
    if not answers.is_file():
        student = load_student(config, str(checkpoint), arm.branch)
        write_atomically(answers, to_bytes(answer(config, student, seed)))
    trained = json.loads(result.read_text("utf-8"))
    return ArmRun(folder, checkpoint, from_file(answers), float(trained["best"]), float(trained["seconds"]))


def answer(config: Config, student: Student, seed: int) -> TestRun:
    """The trained network on the labelled rows of the test split, on its own view alone."""
    section = as_plain(config.get("compare") or {})
    loader = build_loader(config.test_dataloader, seed, views=[student.branch.view])
    predictions = predict(student.branch, student.task, loader)
    labelled = predictions.labelled.numpy()
    cluster = section.get("cluster", CLUSTER)
    clusters = np.array([meta[cluster] for meta in predictions.meta])
    method = section.get("attention", {}).get(student.name, "")
    energy = mask_energies(student, loader, method) if method else np.full(len(labelled), np.nan)
    return TestRun(
        np.array([meta["id"] for meta in predictions.meta])[labelled],
        predictions.probabilities.numpy()[labelled],
        predictions.target.numpy()[labelled].astype(np.int64),
        clusters[labelled],
        energy[labelled],
    )


def check_cluster(config: Config) -> None:
    """Before anything is trained: is there such a column?"""
    cluster = as_plain(config.get("compare") or {}).get("cluster", CLUSTER)
    columns = build_loader(config.test_dataloader, 0).dataset[0].meta
    if cluster not in columns:
        raise KeyError(f"compare.cluster = '{cluster}' is no column of the manifest; there are {sorted(columns)}")


def mask_energies(student: Student, loader: Any, method: str) -> NDArray[np.float64]:
    """Share of attention inside the mask for each row; not a number for rows without a mask."""
    energies = []
    for batch in loader:
        maps = attention_map(student.branch, batch.views[student.branch.view.name], student.task, method)
        energy = energy_pointing_game(maps, batch.mask)
        energies.append(torch.where(batch.masked, energy, torch.nan).double())
    return torch.cat(energies).numpy()


def fingerprint(config: Config, seed: int, teachers: list[str], settings: Mapping[str, Any]) -> str:
    """Changes with anything that a result depends on: config, the data's manifest, seed, teachers, settings (a smoke run), version."""
    sections = {name: as_plain(config.get(name)) for name in SECTIONS if name != "compare"}  # `asked` has that one
    text = json.dumps(sections, default=_name, sort_keys=True)
    digest = hashlib.sha256(f"{text} {seed} {teachers} {sorted(settings.items())} {xkd.__version__}".encode())
    for split in ("train", "val", "test"):
        folder = data_root(config[f"{split}_dataloader"].dataset.root)
        for file in ("manifest.csv", "manifest.toml"):
            digest.update((folder / file).read_bytes())
    return digest.hexdigest()


def asked(config: Config) -> str:
    """Changes with what a trained network is asked: which attention, which clusters."""
    section = as_plain(config.get("compare") or {})
    text = json.dumps([section.get("attention", {}), section.get("cluster", CLUSTER)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def to_bytes(run: TestRun) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, rows=run.rows, probabilities=run.probabilities, target=run.target, clusters=run.clusters, energy=run.energy)
    return buffer.getvalue()


def from_file(path: Path) -> TestRun:
    with np.load(path, allow_pickle=False) as columns:
        return TestRun(columns["rows"], columns["probabilities"], columns["target"], columns["clusters"], columns["energy"])


def _teacher(path: Path, section: Mapping[str, Any]) -> Callable[[], Config]:
    """A teacher's own config, but tested like the others: the same clusters, the attention that the comparison names."""

    def load() -> Config:
        config = load_config(path)
        config["compare"] = {key: section[key] for key in ("attention", "cluster") if key in section}
        return config

    return load


def _name(value: Any) -> str:
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', repr(value))}"
