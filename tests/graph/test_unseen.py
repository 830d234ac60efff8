"""Out of fold: each row is answered by the sources that have not learned from its group, which their weights remember."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from core_models import TASK, make_batch, rgb_branch, thermal_branch

from xkd.ensembles import Mean
from xkd.graph.distiller import Distiller
from xkd.graph.ensemble import Ensemble
from xkd.graph.term import Term
from xkd.graph.weights import EMA, Checkpoint
from xkd.losses import KD, CrossEntropy
from xkd.taps import Tap

NAMES = ("first", "second", "third")
OUTPUTS = tuple(f"{name}.output" for name in NAMES)
SEEN = ({"b", "c"}, {"a", "c"}, {"a", "b"})  # each without its own fold: a, b, c


def saved(folder: Path, name: str, run: dict[str, Any]) -> Checkpoint:
    """A run of `thermal_branch` on its own view, and what it says of itself."""
    made = thermal_branch()
    state = {f"distiller.branches.{name}.{key}": value for key, value in made.state_dict().items()}
    meta = {"student": name, "classes": list(TASK.names), **run}
    torch.save({"state_dict": state, "meta": {"xkd": meta}}, folder / f"{name}.pth")
    return Checkpoint(str(folder / f"{name}.pth"))


def graph(folder: Path, seen: tuple[set[str], ...] = SEEN, of: tuple[str, ...] = OUTPUTS, taps: Any = None) -> Distiller:
    branches = {"rgb": rgb_branch()}
    for name, groups in zip(NAMES, seen, strict=True):
        branches[name] = thermal_branch(taps, weights=saved(folder, name, {"seen": sorted(groups)}), frozen=True)
    terms = {"ce": Term(CrossEntropy(), "rgb.output", "batch.target"), "kd": Term(KD(2.0), "rgb.output", "team.output")}
    by = Mean(float("inf")) if taps else Mean()
    terms = terms if not taps else {"ce": terms["ce"]}
    made = Distiller(branches, terms, "rgb", TASK, {"team": Ensemble(of, by, need="unseen")})
    made.bind()
    return made


def batch_of(*groups: str, view: str = "thermal") -> Any:
    batch = make_batch(len(groups))
    batch.groups = {view: list(groups), "rgb": ["other"] * len(groups)}
    return batch


def test_a_row_is_answered_by_the_network_that_has_not_seen_its_group(tmp_path: Path) -> None:
    made = graph(tmp_path).eval()
    batch = batch_of("a", "b", "c", "b", "val", "no label")
    readings = made.read(batch)
    answers = torch.stack([readings[name] for name in OUTPUTS])
    team = readings["team.output"].softmax(1)
    for row, member in enumerate((0, 1, 2, 1)):
        torch.testing.assert_close(team[row], answers[member, row].softmax(0))
    torch.testing.assert_close(team[4:], answers[:, 4:].softmax(2).mean(0), msg="nobody has learned from these: the mean of all")
    torch.testing.assert_close(made(batch).parts["kd"], KD(2.0)(readings["rgb.output"], readings["team.output"]).detach())


def test_a_network_that_has_seen_a_row_never_answers_it(tmp_path: Path) -> None:
    made = graph(tmp_path, ({"a", "b", "c"}, {"a", "c"}, {"a", "b"}))  # the first one has learned from its own fold too
    readings = made.read(batch_of("a", "b", "c"))
    assert readings.there("team.output").tolist() == [False, True, True]
    torch.testing.assert_close(readings["team.output"][1].softmax(0), readings["second.output"][1].softmax(0))


def test_maps_are_chosen_by_row_too(tmp_path: Path) -> None:
    made = graph(tmp_path, of=tuple(f"{name}.deep" for name in NAMES), taps={"deep": Tap("deep")})
    readings = made.joined("team", batch_of("c", "a"))
    for row, member in enumerate(("third", "first")):
        torch.testing.assert_close(readings["team.output"][row], readings[f"{member}.deep"][row])


def test_a_batch_without_groups_is_refused(tmp_path: Path) -> None:
    made = graph(tmp_path)
    with pytest.raises(ValueError, match=r"goes by the group .* none of view 'thermal', as where rows are mixed or made; it has \['rgb'\]"):
        made.read(batch_of("a", view="rgb"))


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ({}, "need='unseen', branch 'first': .*first.pth does not say which rows have taught it, and may have seen all"),
        ({"seen": []}, "what has taught branch 'average' is not known of EMA\\(\\)"),
    ],
)
def test_sources_of_which_nobody_knows_what_they_have_seen(run: dict[str, Any], message: str, tmp_path: Path) -> None:
    branches = {"rgb": rgb_branch(), "first": thermal_branch(weights=saved(tmp_path, "first", run), frozen=True)}
    branches["average"] = rgb_branch(weights=EMA("rgb"), frozen=True)
    terms = {"ce": Term(CrossEntropy(), "rgb.output", "batch.target")}
    made = Distiller(branches, terms, "rgb", TASK, {"team": Ensemble(("first.output", "average.output"), Mean(), need="unseen")})
    with pytest.raises(ValueError, match=message):
        made.bind()


def test_sources_that_learn_are_refused() -> None:
    branches = {"rgb": rgb_branch(), "thermal": thermal_branch()}
    terms = {"ce": Term(CrossEntropy(), "rgb.output", "batch.target")}
    made = Distiller(branches, terms, "rgb", TASK, {"team": Ensemble(("thermal.output",), Mean(), need="unseen")})
    with pytest.raises(ValueError, match=r"its sources are readings of frozen branches on a view of their own, \[\], got 'thermal.output'"):
        made.bind()


def test_without_labels_nothing_has_taught_it(tmp_path: Path) -> None:
    assert saved(tmp_path, "pairs", {"classes": []}).seen() == frozenset()
