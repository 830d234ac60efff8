"""How a graph hangs together, asked when it is made: every reading that is named exists, nothing goes in a circle, nothing is shared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

from xkd.graph.branch import Branch
from xkd.graph.ensemble import Ensemble
from xkd.graph.inputs import Eaten
from xkd.graph.reading import BATCH, Reading, Readings
from xkd.graph.term import BATCH_READINGS, Term
from xkd.graph.weights import EMA
from xkd.losses.learned import LearnedLoss
from xkd.tasks.task import Task

OUTPUT = "output"  # the one reading of an ensemble


def check_terms(terms: Mapping[str, Term]) -> None:
    """A projector and a loss that learns have the shapes of one edge, and so belong to one term."""
    if not terms:
        raise ValueError("a distiller needs at least one term, such as Term(CrossEntropy(), 'rgb.output', 'batch.target')")
    owners: dict[int, str] = {}
    for name, term in terms.items():
        for module in (term.projector, term.loss if isinstance(term.loss, LearnedLoss) else None):
            if module is not None and owners.setdefault(id(module), name) != name:
                raise ValueError(f"terms '{owners[id(module)]}' and '{name}' share one {type(module).__name__}: each needs its own")


def check_names(student: str, branches: Mapping[str, Branch], ensembles: Mapping[str, Ensemble]) -> None:
    if twice := sorted((set(branches) | {BATCH}) & set(ensembles)):
        raise ValueError(f"ensemble '{twice[0]}' has the name of another node; taken are {[*branches, BATCH]}")
    if student in ensembles:
        raise ValueError(
            f"the student '{student}' is an ensemble, and a run trains, evaluates and keeps a branch: name one of {sorted(branches)}; an"
            f" ensemble learns by terms with '{student}.{OUTPUT}' on the student's side"
        )
    if student not in branches:
        raise KeyError(f"no branch '{student}' to be the student; there are {sorted(branches)}")
    if branches[student].frozen:
        raise ValueError(f"the student '{student}' is frozen, so there is nothing to train")


def check_readings(branches: Mapping[str, Branch], ensembles: Mapping[str, Ensemble], terms: Mapping[str, Term]) -> None:
    """Whoever reads, reads what is there; a gate that learns with a branch needs one that learns."""
    for name, term in terms.items():
        for reading in term.readings:
            _check_reading(f"term '{name}'", reading, branches, ensembles, [BATCH])
        _check_trained(f"the gate of term '{name}'", getattr(term.gate, "trained", ()), branches)
    for name, branch in branches.items():
        if not branch.eats.of_view:
            _check_reading(f"branch '{name}'", branch.eats.reading, branches, {}, [])
    for name, ensemble in ensembles.items():
        for reading in ensemble.readings:
            _check_reading(f"ensemble '{name}'", reading, branches, ensembles, [])
        _check_trained(f"ensemble '{name}'", getattr(ensemble.by, "trained", ()), branches)


def _check_reading(reader: str, reading: str, branches: Mapping[str, Branch], ensembles: Mapping[str, Ensemble], more: list[str]) -> None:
    node, name = Reading.parse(reading)
    if node in branches:
        legal: list[str] = branches[node].readings
    elif node in ensembles:
        legal = [OUTPUT]
    elif node in more:
        legal = list(BATCH_READINGS)
    else:
        raise KeyError(f"{reader} reads '{reading}': no branch '{node}'; there are {[*branches, *ensembles, *more]}")
    if name not in legal:
        raise KeyError(f"{reader} reads '{reading}': no tap '{name}'; {node} has {legal}")


def _check_trained(reader: str, readings: Iterable[str], branches: Mapping[str, Branch]) -> None:
    for reading in readings:
        node = Reading.parse(reading).branch
        if node not in branches or branches[node].frozen:
            legal = [f"{name}.{tap}" for name, branch in branches.items() if not branch.frozen for tap in branch.readings]
            raise ValueError(
                f"{reader} goes by '{reading}', which must be of a branch that learns, and '{node}' does not; there are {legal}"
            )


def check_averages(branches: Mapping[str, Branch]) -> None:
    for name, branch in branches.items():
        others = sorted(set(branches) - {name})
        if isinstance(branch.weights, EMA) and branch.weights.of not in others:
            raise KeyError(f"branch '{name}' averages '{branch.weights.of}'; it can average {others}")


def check_learned(ensembles: Mapping[str, Ensemble], terms: Mapping[str, Term]) -> None:
    """What an ensemble learns, it learns by a term that has it on the student's side. Once layers are made."""
    taught = all_read(ensembles, [reading for term in terms.values() for reading in term.student])
    for name, ensemble in ensembles.items():
        if f"{name}.{OUTPUT}" not in taught and any(True for _ in ensemble.parameters()):
            raise ValueError(
                f"ensemble '{name}' has layers ({type(ensemble.by).__name__}), and no term that they learn by has '{name}.{OUTPUT}' on its"
                f" student's side: add one, such as Term(CrossEntropy(), '{name}.{OUTPUT}', 'batch.target')"
            )


def all_read(ensembles: Mapping[str, Ensemble], readings: Iterable[str]) -> set[str]:
    """These readings and, of ensembles among them, what those are made of."""
    read = set(readings)
    for name in reversed(ordered_ensembles(ensembles)):
        if f"{name}.{OUTPUT}" in read:
            read |= set(ensembles[name].readings)
    return read


def ordered_ensembles(ensembles: Mapping[str, Ensemble]) -> list[str]:
    """Each after those it is made of."""
    after = {name: {Reading.parse(of).branch for of in ensemble.readings} & set(ensembles) for name, ensemble in ensembles.items()}
    try:
        return list(TopologicalSorter(after).static_order())
    except CycleError as error:
        raise ValueError(f"ensembles are made of each other in a circle: {' -> '.join(error.args[1])}") from error


def ordered_branches(branches: Mapping[str, Branch]) -> list[str]:
    """Branches as they stand, but each after those whose classes it explains and those that make its images."""
    after: dict[str, set[str]] = {}
    for name, branch in branches.items():
        after[name] = {Reading.parse(of.classes).branch for of in branch.explanations.values()} - {name, BATCH}
        if missing := after[name] - set(branches):
            raise KeyError(f"branch '{name}' explains the class of no branch '{missing.pop()}'; there are {list(branches)}")
        after[name] |= set() if branch.eats.of_view else {Reading.parse(branch.eats.reading).branch}
    try:
        return list(TopologicalSorter(after).static_order())
    except CycleError as error:
        raise ValueError(
            f"branches wait for each other in a circle, whose classes they explain or whose readings they eat: {' -> '.join(error.args[1])}"
        ) from error


def check_eaten(branches: Mapping[str, Branch], readings: Readings, task: Task) -> None:
    """`ValueError` where what a branch eats, by the readings of the dry run, is not what its view is like."""
    _check_one_sensor(branches)
    for name, branch in branches.items():
        if not branch.eats.of_view:
            of = branch.eats.reading
            try:
                branch.eats.food(branch.view, readings.batch, task, Eaten(readings[of], readings.there(of)))
            except ValueError as error:
                raise ValueError(f"branch '{name}': {error}") from error


def _check_one_sensor(branches: Mapping[str, Branch]) -> None:
    """Whoever eats one reading takes it for images of one sensor."""
    first: dict[str, str] = {}
    for name, branch in branches.items():
        if not branch.eats.of_view:
            other = first.setdefault(branch.eats.reading, name)
            ours, theirs = branch.view.modality, branches[other].view.modality
            if ours != theirs:
                raise ValueError(
                    f"'{branch.eats.reading}' is eaten as images of {theirs.name} by '{other}' and of {ours.name} by '{name}': what is made"
                    " for one sensor says nothing to a network on another; give both branches a view of the same sensor"
                )
