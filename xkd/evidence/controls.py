"""The controls of a comparison, each a change of the distilled student's config that takes one explanation of a gain away.

How good a control's own teacher is, is a result: none is judged before it teaches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.config import Config

from xkd.data.shuffle import Shuffle
from xkd.engine.config import as_names, as_plain
from xkd.graph.weights import Checkpoint
from xkd.losses import CrossEntropy

LABELS = ("batch.target",)
MASKS = (*LABELS, "batch.mask")
SMOOTHING = 0.1  # Szegedy et al., CVPR 2016, arXiv:1512.00567, section 7
SELF = "own"  # the branch of a student that is its own teacher


def teachers_of(config: Config) -> list[str]:
    """The frozen branches that come from a checkpoint."""
    branches = as_plain(config.distiller.branches)
    return [name for name, branch in branches.items() if branch.get("frozen") and "path" in branch["weights"]]


def has_pairs(config: Config) -> bool:
    """Whether there is anything to shuffle: branches on several views."""
    return len({branch["view"]["name"] for branch in as_plain(config.distiller.branches).values()}) > 1


def alone(config: Config, targets: Sequence[str] = LABELS) -> Config:
    """The same student, data, steps and augmentation, with its labels (and masks) as the only supervision."""
    student = config.distiller.student
    for name in list(config.distiller.branches):
        if name != student:
            config.distiller.branches.pop(name)
    explanations = as_plain(config.distiller.branches[student]).get("explanations") or {}
    kept = {name: of for name, of in explanations.items() if of["classes"].split(".")[0] in (student, "batch")}
    for name in set(explanations) - set(kept):
        config.distiller.branches[student].explanations.pop(name)
    for name, term in as_plain(config.distiller.terms).items():
        readings = _names(term["student"])
        lost = [reading for reading in readings if reading.removeprefix(f"{student}.") in set(explanations) - set(kept)]
        foreign = any(reading.split(".")[0] != student for reading in readings)
        if term["teacher"] not in targets or foreign or lost:
            config.distiller.terms.pop(name)
        elif term.get("gate") and term["gate"]["reading"].split(".")[0] != student:
            config.distiller.terms[name].pop("gate")  # it asks a teacher
    if not any(term["teacher"] in LABELS for term in as_plain(config.distiller.terms).values()):
        raise ValueError(f"the student '{student}' has no term with 'batch.target', so it cannot be trained alone")
    return config


def shuffled(config: Config) -> Config:
    """The negative control: every view but the student's comes from another row."""
    student = as_plain(config.distiller.branches)[config.distiller.student]
    config.train_dataloader.dataset.shuffle = as_names({"type": Shuffle, "anchor": student["view"]["name"]})
    return config


def shuffled_within(config: Config) -> Config:
    """The same within each class: what is lost is the very pair, and nothing of its class."""
    shuffled(config).train_dataloader.dataset.shuffle.within = "class"
    return config


def smoothed(config: Config) -> Config:
    """The student alone with smoothed labels: is the teacher more than a regulariser? The same config where they are smooth already."""
    for name, term in as_plain(alone(config).distiller.terms).items():
        if issubclass(term["loss"]["type"], CrossEntropy) and not term["loss"].get("label_smoothing"):
            config.distiller.terms[name].loss.label_smoothing = SMOOTHING
    return config


def all_labels(config: Config) -> Config:
    """The student alone with every label there is: the ceiling of its own sensor. The same config where it has them all."""
    labels = alone(config).train_dataloader.dataset.get("labels", {})
    if labels.get("fraction", 1) < 1:
        labels.pop("fraction")
    return config


def self_taught(config: Config) -> Config:
    """The student alone, once trained, as its own teacher, by the same terms as far as it has their readings."""
    student, teachers = config.distiller.student, teachers_of(config)
    for name in teachers:
        config.distiller.branches.pop(name)

    def own(reading: str) -> str:
        return f"{SELF}.{reading.split('.', 1)[1]}" if reading.split(".")[0] in teachers else reading

    explanations = config.distiller.branches[student].get("explanations") or {}
    for explanation in explanations.values():
        explanation.classes = own(explanation.classes)
    kept = {key: value for key, value in as_plain(config.distiller.branches[student]).items() if key != "heads"}
    weights = {"type": Checkpoint, "path": "", "branch": student}
    config.distiller.branches[SELF] = as_names({**kept, "weights": weights, "frozen": True, "judged": False})
    readings = {f"{SELF}.{name}" for name in ("output", *(kept.get("taps") or {}), *explanations)}
    for name, term in as_plain(config.distiller.terms).items():
        asked = {key: tuple(map(own, _names(term[key]))) for key in ("teacher", "mask") if key in term}
        gate = own(term["gate"]["reading"]) if term.get("gate") else ""
        foreign = [reading for of in (*asked.values(), (gate,)) for reading in of if reading.split(".")[0] == SELF]
        if not set(foreign) <= readings:
            config.distiller.terms.pop(name)
            continue
        for key, of in asked.items():
            config.distiller.terms[name][key] = of[0] if len(of) == 1 else of
        if gate:
            config.distiller.terms[name].gate.reading = gate
    return config


def same_sensor(config: Config, others: Mapping[str, Config]) -> Config:
    """Each teacher's place is taken by what another config trains, on the student's own sensor; taps, heads and terms stay."""
    dataset = config.train_dataloader.dataset
    for branch, other in others.items():
        trained = as_plain(other.distiller.branches[other.distiller.student])
        replaced = as_plain(config.distiller.branches[branch])
        kept = {key: value for key, value in replaced.items() if key not in ("model", "view", "class_map", "channels_last")}
        changed = {key: value for key, value in trained.items() if key in ("model", "view", "class_map", "channels_last")}
        config.distiller.branches[branch] = as_names({**kept, **changed, "judged": False})
        if changed["view"]["name"] not in [view["name"] for view in as_plain(dataset.views)]:
            dataset.views = [*dataset.views, as_names(changed["view"])]
    return config


def teaches(config: Config) -> bool:
    """Whether anything but labels and masks reaches the student."""
    student = config.distiller.student
    terms: Mapping[str, Any] = as_plain(config.distiller.terms)
    return any(name.split(".")[0] not in (student, "batch") for term in terms.values() for name in _names(term["teacher"]))


def _names(reading: Any) -> tuple[str, ...]:
    return tuple(reading) if isinstance(reading, list | tuple) else (reading,)
