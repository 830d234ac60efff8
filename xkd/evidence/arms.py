"""The arms of a comparison, derived from one config, and how each is trained and tested once per seed; finished runs are reused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mmengine.config import Config
from rich.console import Console
from rich.progress import Progress

import xkd
from xkd.data.manifest import data_root
from xkd.engine.config import as_names, as_plain, load_config
from xkd.engine.panel_hook import PanelHook
from xkd.engine.sections import SECTIONS
from xkd.engine.student import load_student
from xkd.engine.train import train
from xkd.evidence import controls
from xkd.evidence.answers import answer, asked, from_file, to_bytes
from xkd.files import write_atomically
from xkd.statistics import TestRun

COMPARE_KEYS = ("attention", "cluster", "object", "same_sensor", "teachers", "variants")
RESERVED = ("all_labels", "alone", "distilled", "masks", "same_sensor", "self_taught", "shuffled", "shuffled_within", "smoothed", "teacher")


@dataclass(frozen=True)
class Arm:
    """One way to train; `teachers` are the arms whose checkpoints it loads, by branch. A `variant` is the distilled one, changed.

    A `control` is run where it is asked for. A teacher of other classes is tested `through` another config and one of its branches: that of
    the student, whose class map says what its classes mean.
    """

    name: str
    title: str
    config: Callable[[], Config]
    branch: str
    teachers: Mapping[str, str] = field(default_factory=dict)
    variant: bool = False
    control: bool = False
    through: tuple[Callable[[], Config], str] | None = None

    def tested(self) -> tuple[Config, str]:
        """The config and the branch by which a trained network is tested and shown."""
        return (self.config(), self.branch) if self.through is None else (self.through[0](), self.through[1])


@dataclass(frozen=True)
class ArmRun:
    """A finished run: its folder, its checkpoint, its answers on the test split, its best score on val; what its training took."""

    folder: Path
    checkpoint: Path
    test: TestRun
    validation: float
    seconds: float
    peak_memory: int = 0  # bytes; 0 where an earlier version, which did not count it, has trained


def make_arms(path: Path, options: Mapping[str, Any]) -> list[Arm]:
    """Every arm in the order to be run: teachers, the student alone, alone with masks, distilled, on shuffled pairs, controls, variants."""
    config = load_config(path, options)
    section = as_plain(config.get("compare") or {})
    unknown = [key for key in section if key not in COMPARE_KEYS]
    if unknown:
        raise KeyError(f"{path}: compare has no key '{unknown[0]}'; it takes {list(COMPARE_KEYS)}")
    frozen, student = controls.teachers_of(config), config.distiller.student
    teachers = section.get("teachers", {})
    if set(teachers) != set(frozen):
        raise KeyError(f"{path}: compare.teachers must name the config that trains each frozen branch {frozen}; it names {list(teachers)}")
    if not frozen:
        raise ValueError(
            f"{path}: none of the branches {list(config.distiller.branches)} is frozen with weights=Checkpoint(...): no teacher to compare"
            " with"
        )
    arms, sources = [], {}
    for branch, file in teachers.items():
        name = sources[branch] = "teacher" if len(teachers) == 1 else f"teacher_{branch}"
        arm = _teacher(name, f"teacher on {branch}", path.parent / file, section, branch)
        mapped = "class_map" in config.distiller.branches[branch]
        arms.append(replace(arm, through=(lambda: load_config(path, options), branch)) if mapped else arm)

    def derived(name: str, title: str, change: Callable[[Config], Config], taught_by: Mapping[str, str], *, control: bool = False) -> Arm:
        return Arm(name, title, lambda: change(load_config(path, options)), student, taught_by, control=control)

    def differs(arm: Arm) -> bool:
        of = arm.config()
        return any(as_plain(of[section]) != as_plain(plain[section]) for section in ("distiller", "train_dataloader"))

    arms.append(derived("alone", "student alone", controls.alone, {}))
    plain = arms[-1].config()
    without_teacher = [
        # what masks bring without a teacher must not count as the teacher's
        derived("masks", "student alone, with masks", lambda config: controls.alone(config, controls.MASKS), {}),
        derived("smoothed", "student alone, smoothed labels", controls.smoothed, {}, control=True),
        derived("all_labels", "student alone, all labels", controls.all_labels, {}, control=True),
    ]
    arms += [arm for arm in without_teacher if differs(arm)]
    arms.append(derived("distilled", "student distilled", lambda config: config, sources))
    if controls.has_pairs(config):
        arms.append(derived("shuffled", "student, shuffled pairs", controls.shuffled, sources))
        title = "student, pairs shuffled within classes"
        arms.append(derived("shuffled_within", title, controls.shuffled_within, sources, control=True))
    self_taught = derived("self_taught", "student, its own teacher", controls.self_taught, {controls.SELF: "alone"}, control=True)
    if controls.teaches(self_taught.config()):
        arms.append(self_taught)
    return [*arms, *_same_sensor(path, options, section, student), *variants(path, options, section.get("variants", {}), student, sources)]


def _same_sensor(path: Path, options: Mapping[str, Any], section: Mapping[str, Any], student: str) -> list[Arm]:
    """What the second sensor adds over a bigger network: the teachers that `compare.same_sensor` names, and the student that they teach."""
    files: Mapping[str, str] = section.get("same_sensor", {})
    if strange := sorted(set(files) ^ set(section["teachers"])) if files else []:
        raise KeyError(
            f"{path}: compare.same_sensor must name a config for each of {list(section['teachers'])}; '{strange[0]}' is not alike"
        )
    arms, sources = [], {}
    for branch, file in files.items():
        name = sources[branch] = "same_sensor_teacher" if len(files) == 1 else f"same_sensor_teacher_{branch}"
        title = "teacher on the student's sensor" + (f", for {branch}" if len(files) > 1 else "")
        arms.append(_teacher(name, title, path.parent / file, section, control=True))

    def taught() -> Config:
        return controls.same_sensor(load_config(path, options), {branch: load_config(path.parent / file) for branch, file in files.items()})

    return [*arms, Arm("same_sensor", "student, taught by its own sensor", taught, student, sources, control=True)] if files else []


def variants(
    path: Path, options: Mapping[str, Any], changes: Mapping[str, Mapping[str, Any]], student: str, sources: Mapping[str, str]
) -> list[Arm]:
    """The distilled student with other losses, weights or taps; each change is a mapping of dotted keys, as `--cfg-options` takes them."""
    arms = []
    for name, change in changes.items():
        if name in RESERVED or name.startswith(("teacher_", "same_sensor_")):
            raise ValueError(f"{path}: compare.variants cannot have '{name}', the name of an arm of every comparison")

        def config(change: Mapping[str, Any] = as_names(change)) -> Config:
            return load_config(path, {**options, **change})

        config()  # a wrong key is told before anything is trained
        arms.append(Arm(name, f"student, {name}", config, student, sources, variant=True))
    return arms


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
    folder = train_arm(arm, seed, root, {name: run.folder for name, run in done.items()}, settings, console, progress)
    config, branch = arm.tested()
    # a folder's name says nothing of a config that only tests
    named = asked(config) if arm.through is None else f"{asked(config)}_{fingerprint(config, 0, [], {})[:8]}"
    answers, checkpoint = folder / f"rows_{named}.npz", folder / "best.pth"
    if not answers.is_file():
        student = load_student(config, str(checkpoint), branch)
        write_atomically(answers, to_bytes(answer(config, student, seed)))
    trained = json.loads((folder / "result.json").read_text("utf-8"))
    return ArmRun(
        folder, checkpoint, from_file(answers), float(trained["best"]), float(trained["seconds"]), int(trained.get("peak_memory", 0))
    )


def train_arm(
    arm: Arm,
    seed: int,
    root: Path,
    done: Mapping[str, Path],
    settings: Mapping[str, Any],
    console: Console,
    progress: Progress,
) -> Path:
    """The folder of the arm's run, trained here unless it is there; `done` has those of the arms that teach it."""
    config = arm.config()
    # before the teachers' paths are in it: a folder may be moved, or named in another way
    key = fingerprint(config, seed, [done[teacher].name for teacher in arm.teachers.values()], settings)
    for branch, teacher in arm.teachers.items():
        config.distiller.branches[branch].weights.path = str(done[teacher] / "best.pth")
    folder = root / arm.name / f"seed{seed}_{key[:8]}"
    if not (folder / "result.json").is_file():
        train(config, folder, console, progress, seed, resume=True, name=f"{arm.title}, seed {seed}", **settings)
    return folder


def fingerprint(config: Config, seed: int, teachers: list[str], settings: Mapping[str, Any]) -> str:
    """Changes with anything that a result depends on: config, the data's manifest, seed, teachers, settings (a smoke run), version."""
    told = ("compare", "log_interval", "vis_backends")  # `asked` has the first; the others change what is said, not what is learned
    sections = {name: as_plain(config.get(name)) for name in SECTIONS if name not in told}
    sections["custom_hooks"] = [hook for hook in sections["custom_hooks"] or [] if hook.get("type") is not PanelHook]
    (sections["teacher_cache"] or {}).pop("folder", None)  # where answers are kept changes none
    for loader in [of for name, of in sections.items() if name.endswith("_dataloader")]:
        for read in ("multiprocessing_context", "num_workers", "persistent_workers", "prefetch_factor"):
            loader.pop(read, None)  # rows and draws are the same whoever reads them
    text = json.dumps(sections, default=_name, sort_keys=True)
    digest = hashlib.sha256(f"{text} {seed} {teachers} {sorted(settings.items())} {xkd.__version__}".encode())
    for split in ("train", "val", "test"):
        folder = data_root(config[f"{split}_dataloader"].dataset.root)
        for file in ("manifest.csv", "manifest.toml"):
            digest.update((folder / file).read_bytes())
    return digest.hexdigest()


def _teacher(name: str, title: str, path: Path, section: Mapping[str, Any], branch: str = "", *, control: bool = False) -> Arm:
    """A teacher by its own config, but tested like the others: the same clusters, the attention that the comparison names for `branch`."""
    own = load_config(path).distiller.student
    asked = {key: section[key] for key in ("attention", "cluster", "object") if key in section}
    if branch in asked.get("attention", {}):
        asked["attention"] = {own: asked["attention"][branch]}

    def load() -> Config:
        config = load_config(path)
        config["compare"] = asked
        return config

    return Arm(name, title, load, own, control=control)


def _name(value: Any) -> str:
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', repr(value))}"
