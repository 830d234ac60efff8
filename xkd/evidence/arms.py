"""The arms of a comparison, derived from one config."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from mmengine.config import Config

from xkd.builder import build
from xkd.data.manifest import Manifest
from xkd.engine.config import as_names, as_plain, copied, load_config
from xkd.engine.outline import Outline
from xkd.engine.stages import teacher_config
from xkd.engine.use import check_answers
from xkd.evidence import controls
from xkd.evidence.arm import Arm
from xkd.evidence.chains import begun, in_order
from xkd.evidence.purpose import purpose_of
from xkd.tasks import checked

COMPARE_KEYS = ("about", "answers", "attention", "cluster", "note", "object", "probed", "same_sensor", "teachers", "variants")


def make_arms(path: Path, options: Mapping[str, Any]) -> list[Arm]:
    """Every arm in the order to be run: teachers, the student alone, alone with masks, distilled, on shuffled pairs, controls, variants."""
    config = load_config(path, options)
    check_answers(config, "compared")
    section, outline = _section(path, config), Outline.of(config)
    student = outline.student
    arms, sources = teacher_arms(path, options, outline, section)

    def derived(name: str, title: str, change: Callable[[Config], Config], taught_by: Mapping[str, str], *, control: bool = False) -> Arm:
        return Arm(name, title, lambda: change(copied(config)), student, taught_by, control=control)

    def differs(arm: Arm) -> bool:
        of, sections = arm.config(), ("distiller", "train_cfg", "train_dataloader")
        return all(any(as_plain(of[key]) != as_plain(other[key]) for key in sections) for other in (plain, config))

    arms.append(derived("alone", "student alone", controls.alone, {}))
    plain = arms[-1].config()
    without_teacher = [
        # what masks bring without a teacher must not count as the teacher's
        derived("masks", "student alone, with masks", lambda config: controls.alone(config, controls.MASKS), {}),
        derived("smoothed", "student alone, smoothed labels", controls.smoothed, {}, control=True),
        derived("all_labels", "student alone, all labels", controls.all_labels, {}, control=True),
    ]
    if student in outline.on_pairs:
        without_teacher += [
            derived("scratch", "student alone, from scratch", controls.scratch, {}),
            derived("longer", "student alone, as many steps", controls.longer, {}, control=True),
        ]
    arms += [arm for arm in without_teacher if differs(arm)]
    arms.append(
        derived("distilled", "student, steered by masks" if outline.steers else "student distilled", lambda config: config, sources)
    )
    if outline.steers:
        arms.append(derived("shuffled_masks", "student, masks of other rows", controls.shuffled_masks, {}))
    if outline.has_pairs:
        arms.append(derived("shuffled", "student, shuffled pairs", controls.shuffled, sources))
        if _are_labelled(config):
            alike = checked(build(as_plain(plain.distiller.task), "distiller.task")).alike
            title = f"student, pairs shuffled within {alike}"
            arms.append(derived("shuffled_within", title, controls.shuffled_within, sources, control=True))
    if controls.sees_clips(config):
        arms.append(derived("shuffled_frames", "student, shuffled frames", controls.shuffled_frames, sources, control=True))
    self_taught = derived("self_taught", "student, its own teacher", controls.self_taught, {controls.SELF: "alone"}, control=True)
    if Outline.of(self_taught.config()).taught_by(controls.SELF):
        arms.append(self_taught)
    same_sensor = _same_sensor(path, options, section, outline)
    every = [*arms, *same_sensor, *variants(path, options, section.get("variants", {}), student, sources)]
    return with_answerers(path, with_starts(every, outline, sources), section.get("answers", {}))


def _section(path: Path, config: Config) -> dict[str, Any]:
    """What the config asks of its comparison; wrong keys and a wrong purpose are told before anything is trained."""
    section: dict[str, Any] = as_plain(config.get("compare") or {})
    if unknown := [key for key in section if key not in COMPARE_KEYS]:
        raise KeyError(f"{path}: compare has no key '{unknown[0]}'; it takes {list(COMPARE_KEYS)}")
    purpose_of(config)
    return section


def with_starts(arms: Sequence[Arm], outline: Outline, sources: Mapping[str, str]) -> list[Arm]:
    """The arms; what learns from the file of a teacher's `Checkpoint` on begins with that teacher's own run of each seed."""
    paths = {source: outline.branches[branch]["weights"].get("path", "") for branch, source in sources.items()}
    files = {source: path for source, path in paths.items() if path}
    found = [begun(arm.config(), files) if files and not is_teacher(arm) else {} for arm in arms]
    return [replace(arm, starts={key: of[key] for key in of if key not in arm.teachers}) for arm, of in zip(arms, found, strict=True)]


def _are_labelled(config: Config) -> bool:
    """Whether training rows have what pairs are shuffled within: masks and boxes are no label of a row."""
    rows = Manifest.load(config.train_dataloader.dataset.root).rows
    return any(row.labels is not None for row in rows if row.split == "train")


def is_teacher(arm: Arm) -> bool:
    return arm.name == "teacher" or arm.name.startswith("teacher_")


def first_teacher(arms: Sequence[Arm]) -> Arm | None:
    """The teacher that others are measured against; None where pairs alone teach, by a network that does not know the task."""
    return next((arm for arm in arms if is_teacher(arm) and not arm.aside), None)


def teacher_arms(path: Path, options: Mapping[str, Any], outline: Outline, section: Mapping[str, Any]) -> tuple[list[Arm], dict[str, str]]:
    """An arm for each teacher, and by branch its name: `Trained` ones are derived, for others `compare.teachers` names a config."""
    files: Mapping[str, str] = section.get("teachers", {})
    named = [branch for branch in outline.teachers if branch not in outline.trained]
    if set(files) != set(named):
        raise KeyError(
            f"{path}: compare.teachers must name the config that trains each branch with weights=Checkpoint(...), {named}; it names"
            f" {list(files)}"
        )
    if not (outline.teachers or outline.student in outline.on_pairs or outline.distils or outline.steers):
        raise ValueError(
            f"{path}: none of the branches {list(outline.branches)} is frozen with weights=Trained() or Checkpoint(...): no teacher to"
            f" compare with, and no peer; and no term draws '{outline.student}' to 'batch.mask'"
        )
    arms = {}
    sources = {branch: "teacher" if len(outline.teachers) == 1 else f"teacher_{branch}" for branch in outline.teachers}
    for branch, name in sources.items():
        title = f"teacher on {branch}"
        if branch in outline.trained:
            arms[name] = Arm(name, title, partial(_derived, path, options, branch), branch)
            continue
        arm = _teacher(name, title, path.parent / files[branch], section, branch)
        others = {sources[other]: outline.branches[other]["weights"]["path"] for other in named if other != branch}
        through = (partial(load_config, path, options), branch) if outline.branches[branch].get("class_map") else None
        arms[name] = replace(arm, through=through, teachers=begun(arm.config(), others), aside=outline.answers_otherwise(branch))
    return [arms[name] for name in in_order(path, {name: arm.teachers.values() for name, arm in arms.items()})], sources


def _derived(path: Path, options: Mapping[str, Any], branch: str) -> Config:
    return teacher_config(load_config(path, options), branch)


def _same_sensor(path: Path, options: Mapping[str, Any], section: Mapping[str, Any], outline: Outline) -> list[Arm]:
    """What the second sensor adds over a bigger network: teachers on the student's own sensor, and the student that they teach.

    `compare.same_sensor` names their configs; those of `Trained` teachers are derived where each network says its channels.
    """
    files: Mapping[str, str] = section.get("same_sensor", {})
    if not outline.teachers:
        return []
    configs: dict[str, Callable[[], Config]] = {branch: partial(load_config, path.parent / file) for branch, file in files.items()}
    if strange := sorted(set(files) - set(outline.teachers)):
        raise KeyError(f"{path}: compare.same_sensor names '{strange[0]}', which is no teacher; there are {outline.teachers}")
    for branch in outline.trained:
        if outline.has_pairs and controls.on_students_view(load_config(path, options), branch) is not None:
            configs.setdefault(branch, partial(_on_students_view, path, options, branch))
    if missing := [branch for branch in outline.teachers if branch not in configs]:
        if files:
            raise KeyError(f"{path}: compare.same_sensor must name a config for each of {outline.teachers}; '{missing[0]}' is missing")
        return []
    arms, sources = [], {}
    for branch, config in configs.items():
        name = sources[branch] = "same_sensor_teacher" if len(configs) == 1 else f"same_sensor_teacher_{branch}"
        title = "teacher on the student's sensor" + (f", for {branch}" if len(configs) > 1 else "")
        arms.append(
            _teacher(name, title, path.parent / files[branch], section, control=True)
            if branch in files
            else Arm(name, title, config, branch, control=True)
        )

    def taught() -> Config:
        return controls.same_sensor(load_config(path, options), {branch: config() for branch, config in configs.items()})

    return [*arms, Arm("same_sensor", "student, taught by its own sensor", taught, outline.student, sources, control=True)]


def _on_students_view(path: Path, options: Mapping[str, Any], branch: str) -> Config:
    config = controls.on_students_view(load_config(path, options), branch)
    assert config is not None
    return teacher_config(config, branch)


def variants(
    path: Path,
    options: Mapping[str, Any],
    changes: Mapping[str, Mapping[str, Any]],
    student: str,
    sources: Mapping[str, str],
) -> list[Arm]:
    """The distilled student with other losses, weights or taps; each change is a mapping of dotted keys, as `--cfg-options` takes them.

    A teacher is that of the comparison, unless a variant gives it other `weights`: those are loaded, or `Trained` first.
    """
    arms, given = [], Outline.of(load_config(path, options)).branches
    for name, change in changes.items():
        if name in controls.ARMS or name.startswith(("teacher_", "same_sensor_")):
            raise ValueError(f"{path}: compare.variants cannot have '{name}', the name of an arm of every comparison")

        def config(change: Mapping[str, Any] = as_names(change)) -> Config:
            return load_config(path, {**options, **change})

        # a wrong key is told before anything is trained; what is a teacher may learn here, or have been trained first
        outline = Outline.of(config())
        same = [of for of in outline.teachers if of in given and outline.branches[of]["weights"] == given[of]["weights"]]
        taught_by = {branch: arm for branch, arm in sources.items() if branch in same}
        arms.append(Arm(name, f"student, {name}", config, student, taught_by, variant=True))
    return arms


def _teacher(name: str, title: str, path: Path, section: Mapping[str, Any], branch: str = "", *, control: bool = False) -> Arm:
    """A teacher by its own config, but tested like the others: the same clusters, the attention that the comparison names for `branch`."""
    own = load_config(path).distiller.student
    questions = {key: section[key] for key in ("attention", "cluster", "object", "probed") if key in section}
    if branch in questions.get("attention", {}):
        questions["attention"] = {own: questions["attention"][branch]}

    def load() -> Config:
        config = load_config(path)
        config["compare"] = questions
        return config

    return Arm(name, title, load, own, control=control)


def with_answerers(path: Path, arms: Sequence[Arm], answers: Mapping[str, str | Sequence[str]]) -> list[Arm]:
    """The arms of `compare.answers`: a text is the node that answers in the student's place, a list are nodes that answer beside it.

    Those beside it are arms of their own, ARM_NODE, of one and the same run: nothing more is trained. `KeyError` names what can answer.
    """
    named = {arm.name: arm for arm in arms}
    made = list(arms)
    for name, nodes in answers.items():
        if name not in named:
            raise KeyError(f"{path}: compare.answers names '{name}', which is no arm; there are {list(named)}")
        arm = named[name]
        for node in [nodes] if isinstance(nodes, str) else nodes:
            _check_answers(path, arm, node)
        if isinstance(nodes, str):
            made[made.index(arm)] = replace(arm, branch=nodes, title=f"{nodes}, {name}")
            continue
        beside = [replace(arm, name=f"{name}_{node}", branch=node, title=f"{node}, {name}", variant=True, run=name) for node in nodes]
        if taken := [of.name for of in beside if of.name in named]:
            raise ValueError(f"{path}: compare.answers.{name} makes an arm '{taken[0]}', and there is one of that name: rename that one")
        made += beside
    return made


def _check_answers(path: Path, arm: Arm, node: str) -> None:
    outline = Outline.of(arm.config())
    legal = [name for name, branch in outline.branches.items() if not branch.get("frozen")] + list(outline.ensembles)
    if node not in legal:
        raise KeyError(f"{path}: compare.answers.{arm.name} names '{node}', and no such network learns in its run; there are {legal}")
