"""The run behind `PretrainedOnPairs`, derived from the config that asks for it: a frozen branch teaches a learning one by features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mmengine.config import Config

from xkd.engine.config import as_names, as_plain, checked, copied, override
from xkd.engine.loaders import supervising
from xkd.engine.outline import Outline
from xkd.graph.branch import Branch
from xkd.graph.pairs import PretrainedOnPairs
from xkd.graph.reading import Reading
from xkd.graph.term import Term
from xkd.graph.weights import Random, Trained
from xkd.losses import FitNet
from xkd.projectors import Conv1x1
from xkd.taps import Tap
from xkd.tasks import Features

TEACHER: Final = "teacher"  # the frozen branch of such a run
BY_LOSS: Final = "val/loss"


def pairs_config(config: Config, branch: str) -> Config:
    """What trains a branch with `weights=PretrainedOnPairs(...)`: all of the config's pairs, none of its labels."""
    own = Outline.of(config).branches[branch]
    weights = own["weights"]
    where = f"distiller.branches.{branch}.weights"
    teacher = _teacher(weights.get("teacher", {}), branch, f"{where}.teacher")
    _check_branch(Outline.of(config), branch, teacher, where)
    learner, hints, taps = {"model": own["model"], "view": own["view"]}, {}, {}
    taught = {**teacher, "frozen": True, "judged": False}
    for number, tap in enumerate(weights.get("taps", PretrainedOnPairs.taps), 1):
        name = f"hint{number}"
        ours, theirs = (tap, tap) if isinstance(tap, str) else tap
        taps[name] = {"type": Tap, "path": ours}
        hints[name] = {"type": Tap, "path": theirs}
    start = weights.get("start", {"type": Random})
    made = copied(config)
    made.distiller.pop("ensembles", None)
    made.distiller.student = branch
    made.distiller.task = as_names({"type": Features})
    made.distiller.branches = as_names(
        {TEACHER: {**taught, "taps": hints}, branch: {"type": own["type"], **learner, "weights": start, "taps": taps}}
    )
    made.distiller.terms = as_names({name: _term(f"{branch}.{name}", f"{TEACHER}.{name}") for name in taps})
    for split in ("train", "val", "test"):
        dataset = made[f"{split}_dataloader"].dataset
        both = [own["view"], teacher["view"]]
        dataset.views = list(map(as_names, [*both, *supervising(as_plain(dataset), [view["name"] for view in both])]))
    for key in ("labelled_share", "balanced"):
        if key in (made.train_dataloader.get("sampler") or {}):
            made.train_dataloader.sampler.pop(key)
    made.pop("custom_hooks", None)  # they may ask for scores that this run does not have
    made.train_dataloader.pop("mix", None)
    for of_labels in ("labels", "without"):  # one run serves whatever share of them is kept, and every fold
        made.train_dataloader.dataset.pop(of_labels, None)
    if weights.get("epochs"):
        made.train_cfg.max_epochs = weights["epochs"]
    if weights.get("augment"):
        made.train_dataloader.dataset.augment.update(as_names(weights["augment"]))
    made.save_best = BY_LOSS
    made.compare = {}
    for key, value in (weights.get("options") or {}).items():
        override(made, key, as_names(value), f"{where}.options")
    return checked(made, where)


def _check_branch(outline: Outline, branch: str, teacher: Mapping[str, Any], where: str) -> None:
    own = outline.branches[branch]
    if own["view"]["name"] == teacher["view"]["name"]:
        raise ValueError(
            f"{where}: branch and teacher see one view, '{own['view']['name']}': the pairs are of two, name another for the teacher"
        )
    output = Reading(branch, "output")
    if own.get("frozen") and any(output in (*edge.teacher, *edge.gate) for edge in outline.edges.values()):
        raise ValueError(
            f"{where}: branch '{branch}' is frozen and a term reads '{output}', which no label has taught it: train it on top,"
            " weights=dict(type=Trained, start=dict(type=PretrainedOnPairs, ...)), or read its taps"
        )


def _teacher(section: Mapping[str, Any], branch: str, where: str) -> dict[str, Any]:
    """The parts of the branch that teaches; `ValueError` where it has learned nothing that it could teach."""
    if not section:
        raise ValueError(
            f"{where} is missing: the branch that teaches, dict(type=Branch, model=..., view=..., weights=dict(type=Pretrained))"
        )
    weights = section["weights"]
    if issubclass(weights["type"], Random | Trained | PretrainedOnPairs):
        raise ValueError(
            f"{where}.weights={weights['type'].__name__}(): branch '{branch}' is to learn from a network that knows something before there"
            " are labels: Pretrained(), with file=... for a file of weights, or Checkpoint(path)"
        )
    return {
        "type": Branch,
        **{key: value for key, value in section.items() if key in ("type", "model", "view", "weights", "channels_last")},
    }


def _term(student: str, teacher: str) -> dict[str, Any]:
    return {"type": Term, "loss": {"type": FitNet}, "student": student, "teacher": teacher, "projector": {"type": Conv1x1}}
