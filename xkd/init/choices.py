"""What a first config says, each choice with its reason; everything is a function of the facts and of what the user asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, sqrt
from typing import Final, Generic, TypeVar

import timm
import torch

from xkd.init.facts import Facts
from xkd.init.ways import identifier

T = TypeVar("T")
STEP: Final = 16  # pixels: fine enough to keep proportions, coarse enough for the strides of common networks
_SIDE: Final = {"quick": 64, "cpu": 128, "gpu": 224}  # of a square with as many pixels as a view
_STEPS: Final = {"quick": 300, "full": 800}  # of training, at least: below some hundreds even a small network has not settled
_EPOCHS: Final = (6, 200)  # least and most
_CHECKS: Final = 10  # validations of a run
BATCH: Final = 64
_BATCH_OF_PICTURES: Final = 8  # whose answers are pictures
_BATCH_OF_CLIPS: Final = 16  # of which each is several images
_FEW_ROWS: Final = 5_000  # labelled ones, below which the smaller networks learn as much
_FEW_LABELS: Final = 0.5  # share of the rows, below which each step is half of labelled rows
NETWORKS: Final = {"few": ("resnet18", "resnet10t"), "many": ("resnet34", "resnet18")}  # teacher, student


@dataclass(frozen=True)
class Choice(Generic[T]):
    """A value and why it is that."""

    value: T
    why: str


@dataclass(frozen=True)
class Wishes:
    """What the user asked for; an empty text or 0 leaves the choice to the data."""

    student: str
    teachers: Sequence[str]
    networks: Mapping[str, str] = field(default_factory=dict)  # "teacher", "student" or a sensor -> a timm model
    pretrained: bool = False
    epochs: int = 0
    quick: bool = False
    weights: str = ""  # a file of pretrained weights, or its folder, in place of timm's hub
    target: str = ""  # the sensor that is learned in the place of labels


@dataclass(frozen=True)
class Node:
    """A branch of the config: its name there, the sensor's column, its view's name and size, its network, its channels."""

    name: str
    column: str
    view: str
    size: tuple[int, int]
    network: str
    channels: int
    own_view: bool  # the view is not another branch's


@dataclass(frozen=True)
class Choices:
    """All that the template fills in."""

    student: Node
    teachers: Sequence[Node]
    size: Choice[tuple[int, int]]
    networks: Choice[tuple[str, ...]]
    weights: Choice[bool]
    batch_size: Choice[int]
    labelled_share: Choice[float] | None
    epochs: Choice[int]
    val_interval: int
    mask_term: Choice[bool]
    cluster: Choice[str]


def choose(facts: Facts, wishes: Wishes) -> Choices:
    check_networks(wishes)
    size = _sizes(facts, wishes)
    batch_size = _batch_size(facts)
    epochs = _epochs(facts, wishes, batch_size.value)
    few = facts.labelled["train"] < _FEW_ROWS
    teacher, student = NETWORKS["few" if few else "many"]
    names = [_network(wishes, name, "teacher", teacher) for name in wishes.teachers]
    learner = _network(wishes, wishes.student, "student", student)
    nodes = _nodes(facts, wishes, size, (*names, learner))
    count = f"{facts.labelled['train']:,} labelled training rows"
    why = f"for {count}: {'few' if few else 'many'}" + (", so small ones" if few else "")
    return Choices(
        student=nodes[-1],
        teachers=nodes[:-1],
        size=Choice(size[wishes.student], _why_size(facts, wishes, size[wishes.student])),
        networks=Choice((*names, learner), why if not wishes.networks else "as asked for"),
        weights=_weights(wishes, (*names, learner)),
        batch_size=batch_size,
        labelled_share=_labelled_share(facts),
        epochs=epochs,
        val_interval=max(1, epochs.value // _CHECKS),
        mask_term=_mask_term(facts),
        cluster=_cluster(facts),
    )


def check_networks(wishes: Wishes) -> None:
    legal = ["teacher", "student", *wishes.teachers, wishes.student]
    check_models(wishes.networks, legal)


def check_models(networks: Mapping[str, str], legal: Sequence[str]) -> None:
    """`KeyError` for a name that is no branch, `ValueError` for a network that timm does not have."""
    for key, name in networks.items():
        if key not in legal:
            raise KeyError(f"--networks {key}={name}: no such branch; there are {list(dict.fromkeys(legal))}")
        if name not in timm.list_models():
            near = timm.list_models(f"*{name[:6]}*")[:5]
            raise ValueError(f"--networks {key}={name}: timm has no model of that name; near it: {near}")


def _network(wishes: Wishes, column: str, role: str, default: str) -> str:
    return wishes.networks.get(column) or wishes.networks.get(role) or default


def _sizes(facts: Facts, wishes: Wishes) -> dict[str, tuple[int, int]]:
    """Each view keeps its files' proportions; all have the student's size where answers are pictures, since these are compared by place."""
    own = {name: fitted(*facts.sizes[name], facts.way.magnified * side(wishes.quick)) for name in facts.sizes}
    return dict.fromkeys(own, own[wishes.student]) if facts.way.task.pictured else own


def side(quick: bool) -> int:
    """Of a square with as many pixels as a view, on this machine."""
    return _SIDE["quick" if quick else "gpu" if torch.cuda.is_available() else "cpu"]


def fitted(height: int, width: int, side: int) -> tuple[int, int]:
    """About as many pixels as a square of `side`, or as the file where it is smaller, in multiples of `STEP`."""
    scale = min(1.0, side / sqrt(height * width))
    return max(STEP, STEP * round(height * scale / STEP)), max(STEP, STEP * round(width * scale / STEP))


def _why_size(facts: Facts, wishes: Wishes, size: tuple[int, int]) -> str:
    height, width = facts.sizes[wishes.student]
    machine = "small, for a quick look" if wishes.quick else "for a GPU" if torch.cuda.is_available() else "small, since there is no GPU"
    if facts.way.magnified > 1:
        machine += f"; {facts.way.magnified} times the side that other tasks get, where the files have it, since objects are small parts"
    return f"(height, width); rows show about {height} x {width}, and proportions are kept, in multiples of {STEP}; {machine}"


def _nodes(facts: Facts, wishes: Wishes, sizes: Mapping[str, tuple[int, int]], networks: Sequence[str]) -> list[Node]:
    """Names in a config are Python's: what is not a letter or digit becomes an underscore; branches on one sensor differ in theirs."""
    made: list[Node] = []
    for column, network in zip((*wishes.teachers, wishes.student), networks, strict=True):
        view = identifier(column)
        shared = column == wishes.student and len(made) < len(wishes.teachers)
        name = f"{view}_teacher" if shared else view
        made.append(Node(name, column, view, sizes[column], network, facts.channels[column], not shared))
    return made


def _weights(wishes: Wishes, networks: Sequence[str]) -> Choice[bool]:
    if wishes.weights and len(set(networks)) > 1:
        raise ValueError(
            f"--weights {wishes.weights} is of one network, and these are {list(dict.fromkeys(networks))}: name one for all branches,"
            " --networks teacher=NAME student=NAME, or write the files into the config"
        )
    if wishes.weights:
        return Choice(True, "as asked for")
    if wishes.pretrained:
        return Choice(True, "as asked for: timm's weights are fetched from its hub, or found where it keeps them")
    known = [name for name in networks if name in timm.list_pretrained() or timm.list_pretrained(f"{name}.*")]
    hint = "use `xkd init --pretrained` where there is a network" if known else "timm has no pretrained weights of these networks"
    return Choice(False, f"from scratch; {hint}")


def _batch_size(facts: Facts) -> Choice[int]:
    """A power of two, at most a quarter of the rows, so that an epoch is some steps."""
    rows, most = facts.rows["train"], _BATCH_OF_PICTURES if facts.way.task.pictured else _BATCH_OF_CLIPS if facts.clips else BATCH
    size = min(most, 2 ** max(0, (rows // 4).bit_length() - 1))
    return Choice(size, f"{rows:,} training rows" + ("" if size == most else ": a quarter of them or less"))


def _labelled_share(facts: Facts) -> Choice[float] | None:
    if facts.way.task.grid or facts.labelled_share >= _FEW_LABELS:
        return None
    return Choice(0.5, f"{facts.labelled['train']:,} of {facts.rows['train']:,} training rows are labelled: half of each step is of them")


def _epochs(facts: Facts, wishes: Wishes, batch_size: int) -> Choice[int]:
    per_epoch = max(1, facts.rows["train"] // batch_size)
    if wishes.epochs < 0 or wishes.epochs == 1:
        raise ValueError(f"--epochs must be 2 or more, one of them to warm up; got {wishes.epochs}")
    if wishes.epochs:
        return Choice(wishes.epochs, f"as asked for: {wishes.epochs * per_epoch:,} steps")
    least, most = _EPOCHS
    wanted = _STEPS["quick" if wishes.quick else "full"]
    epochs = min(max(least, ceil(wanted / per_epoch)), most)
    return Choice(epochs, f"{per_epoch:,} steps each, {epochs * per_epoch:,} in all; a small network wants some hundreds")


def _mask_term(facts: Facts) -> Choice[bool]:
    if not facts.way.task.of_classes or facts.way.task.grid or not facts.masked:
        return Choice(False, "")
    return Choice(True, f"{facts.masked:,} training rows have a mask: the student's attention is steered to it")


def _cluster(facts: Facts) -> Choice[str]:
    if facts.clustered:
        return Choice("group", "rows of one group are alike, so intervals draw whole groups")
    return Choice("id", "each row is a group of its own")
