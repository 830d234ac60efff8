"""The controls of a comparison, each a change of the distilled student's config that takes one explanation of a gain away.

How good a control's own teacher is, is a result: none is judged before it teaches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.config import Config

from xkd.builder import build
from xkd.data.annotations import Masks
from xkd.data.shuffle import Shuffle
from xkd.engine.config import as_names, as_plain
from xkd.engine.outline import Outline
from xkd.engine.pairs import pairs_config
from xkd.graph.pairs import PretrainedOnPairs
from xkd.graph.reading import BATCH, Reading
from xkd.graph.weights import Checkpoint, Random, Shared
from xkd.losses import CrossEntropy
from xkd.modalities import Clip

LABELS = ("batch.target",)
MASKS = (*LABELS, "batch.mask")
SMOOTHING = 0.1  # Szegedy et al., CVPR 2016, arXiv:1512.00567, section 7
# the names of the arms of every comparison
ARMS = (
    "all_labels",
    "alone",
    "distilled",
    "longer",
    "masks",
    "same_sensor",
    "scratch",
    "self_taught",
    "shuffled",
    "shuffled_frames",
    "shuffled_masks",
    "shuffled_within",
    "smoothed",
    "teacher",
)
SELF = "own"  # the branch of a student that is its own teacher
CHANNELS = "in_chans"  # by which timm's networks, and those made like them, are told how many channels they see
_OF_A_NETWORK = ("model", "view", "class_map", "channels_last")


def alone(config: Config, targets: Sequence[str] = LABELS) -> Config:
    """The same student, data, steps and augmentation, with its labels (and masks) as the only supervision.

    One that begins with what pairs have taught it begins as that did.
    """
    outline = Outline.of(config)
    student, wanted = outline.student, {(Reading.parse(target),) for target in targets}
    if student in outline.on_pairs:
        start = outline.branches[student]["weights"].get("start", {"type": Random})
        config.distiller.branches[student].weights = as_names(start)
    own = outline.branches[student]["weights"]
    if issubclass(own["type"], Shared):  # it begins as the branch did whose weights it has
        config.distiller.branches[student].weights = as_names(outline.branches[own["of"]]["weights"])
    for name in outline.branches:
        if name != student:
            config.distiller.branches.pop(name)
    lost = [name for name, of in outline.explanations(student).items() if of.branch not in (student, BATCH)]
    for name in lost:
        config.distiller.branches[student].explanations.pop(name)
    for name, edge in outline.edges.items():
        learns = outline.sources(*edge.student)
        others = outline.owners(*learns) - {student}
        if edge.teacher not in wanted or others or any(of.branch == student and of.name in lost for of in learns):
            config.distiller.terms.pop(name)
        elif outline.owners(*edge.gate) - {student}:
            config.distiller.terms[name].pop("gate")  # it asks a teacher
    _prune(config)
    if not any(term["teacher"] in LABELS for term in as_plain(config.distiller.terms).values()):
        raise ValueError(
            f"the student '{student}' has no term with 'batch.target', so it cannot be trained alone: add one; a run without real images is"
            " compared as a variant (compare.variants) of a config that has them"
        )
    return config


def _prune(config: Config) -> None:
    """Without the ensembles that no term reads any more."""
    outline = Outline.of(config)
    read = {of.branch for edge in outline.edges.values() for of in outline.sources(*edge.student, *edge.teacher, *edge.gate, *edge.mask)}
    for name in set(outline.ensembles) - read:
        config.distiller.ensembles.pop(name)


def scratch(config: Config) -> Config:
    """The student alone, from random weights."""
    alone(config).distiller.branches[config.distiller.student].weights = as_names({"type": Random})
    return config


def longer(config: Config) -> Config:
    """The student alone with the epochs of its pretraining on pairs added to its own."""
    outline = Outline.of(config)
    epochs = pairs_config(config, outline.student).train_cfg.max_epochs
    alone(config).train_cfg.max_epochs += epochs
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


def shuffled_masks(config: Config) -> Config:
    """The negative control of steering: every mask comes from another row that has one."""
    dataset = config.train_dataloader.dataset
    dataset.masks = as_names({"type": Masks, **as_plain(dataset.get("masks", {})), "shuffled": True})
    return config


def sees_clips(config: Config) -> bool:
    """Whether the student's view is a clip of several frames in their order."""
    modality = as_plain(config.distiller.branches)[config.distiller.student]["view"]["modality"]
    return modality.get("type") is Clip and modality.get("order", "time") == "time" and build(modality).frames > 1


def shuffled_frames(config: Config) -> Config:
    """The student's view shows its frames in random order, in training and in tests: how much of what it knows is motion?"""
    branches = as_plain(config.distiller.branches)
    shown = branches[config.distiller.student]["view"]["name"]

    def mixed(view: Mapping[str, Any]) -> Any:
        return as_names({**view, "modality": {**view["modality"], "order": "shuffled"}} if view["name"] == shown else view)

    for name, branch in branches.items():
        config.distiller.branches[name].view = mixed(branch["view"])
    for split in ("train", "val", "test"):
        dataset = config[f"{split}_dataloader"].dataset
        dataset.views = [mixed(view) for view in as_plain(dataset.views)]
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
    outline = Outline.of(config)
    student, gone = outline.student, outline.leaning_on(outline.teachers)
    for name in gone:
        config.distiller.branches.pop(name)
    alike = {name for name in outline.teachers if not outline.answers_otherwise(name)}

    def own(reading: Reading) -> Reading:
        of = outline.ensembles.get(reading.branch)
        if of and outline.owners(reading) <= alike and len(names := {one.name for one in outline.sources(*of)}) == 1:
            return Reading(SELF, names.pop())  # of many teachers the student is the one
        return Reading(SELF, reading.name) if reading.branch in alike else reading

    for name, explained in outline.explanations(student).items():
        config.distiller.branches[student].explanations[name].classes = str(own(explained))
    kept = {key: value for key, value in as_plain(config.distiller.branches[student]).items() if key != "heads"}
    weights = {"type": Checkpoint, "path": "", "branch": student}
    config.distiller.branches[SELF] = as_names({**kept, "weights": weights, "frozen": True, "judged": False})
    readings = {"output", *outline.taps(student), *outline.explanations(student)}
    for name, edge in outline.edges.items():
        taught = {key: tuple(map(own, of)) for key, of in (("teacher", edge.teacher), ("mask", edge.mask)) if of}
        gate = tuple(dict.fromkeys(map(own, edge.gate)))
        asked = (*taught.get("teacher", ()), *taught.get("mask", ()), *gate)
        mixed = any(outline.owners(of) & gone for of in (*edge.student, *asked))
        if mixed or any(of.branch == SELF and of.name not in readings for of in asked):
            config.distiller.terms.pop(name)
            continue
        for key, of in taught.items():
            config.distiller.terms[name][key] = str(of[0]) if len(of) == 1 else tuple(map(str, of))
        if gate and len(gate) == len(edge.gate) and "reading" in config.distiller.terms[name].gate:
            config.distiller.terms[name].gate.reading = str(gate[0]) if len(gate) == 1 else tuple(map(str, gate))
        elif gate:
            config.distiller.terms[name].pop("gate")  # it chooses among teachers, and there is one
    _prune(config)
    return config


def same_sensor(config: Config, others: Mapping[str, Config]) -> Config:
    """Each teacher's place is taken by what another config trains, on the student's own sensor; taps, heads and terms stay."""
    dataset = config.train_dataloader.dataset
    for branch, other in others.items():
        trained = as_plain(other.distiller.branches[other.distiller.student])
        replaced = as_plain(config.distiller.branches[branch])
        kept = {key: value for key, value in replaced.items() if key not in _OF_A_NETWORK}
        changed = {key: value for key, value in trained.items() if key in _OF_A_NETWORK}
        config.distiller.branches[branch] = as_names({**kept, **changed, "judged": False})
        if changed["view"]["name"] not in [view["name"] for view in as_plain(dataset.views)]:
            dataset.views = [*dataset.views, as_names(changed["view"])]
    return config


def on_students_view(config: Config, branch: str) -> Config | None:
    """A `Trained` teacher whose network takes the student's view instead of its own; None where the network does not say its channels."""
    outline = Outline.of(config)
    view = outline.branches[outline.student]["view"]
    model = dict(outline.branches[branch]["model"])
    own, students = (build(one).modality.channels for one in (outline.branches[branch]["view"], view))
    if own != students:
        if CHANNELS not in model:
            return None
        model[CHANNELS] = students
    config.distiller.branches[branch].model = as_names(model)
    config.distiller.branches[branch].view = as_names(view)
    weights = outline.branches[branch]["weights"]
    start = weights.get("start", {"type": Random})
    if issubclass(start["type"], PretrainedOnPairs):  # no pair is left to learn from
        config.distiller.branches[branch].weights = as_names({**weights, "start": start.get("start", {"type": Random})})
    return config
