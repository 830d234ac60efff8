"""Whether what outputs mean fits those who read them, asked in the dry run: each output belongs to the task of its branch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xkd.graph.branch import Branch
from xkd.graph.ensemble import Ensemble
from xkd.graph.explanation import TARGET
from xkd.graph.reading import Reading
from xkd.graph.term import Term
from xkd.graph.weights import Checkpoint
from xkd.graph.wiring import OUTPUT
from xkd.tasks.task import Task


@dataclass(frozen=True)
class Nodes:
    """What answers in a graph, and the run's task."""

    branches: Mapping[str, Branch]
    ensembles: Mapping[str, Ensemble]
    task: Task

    def task_of(self, reading: str) -> Task:
        """Of a branch's reading its own task, or the run's; of an ensemble's what it says, its sources' being that of the first."""
        node = Reading.parse(reading).branch
        if node in self.ensembles:
            try:
                return self.ensembles[node].meaning(self.sources_task(node))
            except ValueError as error:
                raise ValueError(f"ensemble '{node}': {error}") from error
        return self.branches[node].task_in(self.task) if node in self.branches else self.task

    def sources_task(self, ensemble: str) -> Task:
        """What an ensemble's sources answer by; that they agree is asked elsewhere."""
        return self.task_of(self.ensembles[ensemble].of[0])

    def several(self, reading: str) -> bool:
        """Whether a row has several answers."""
        node = Reading.parse(reading).branch
        if node in self.ensembles:
            return any(map(self.several, self.ensembles[node].of))
        return node in self.branches and self.branches[node].eats.several


def check_meanings(student: str, nodes: Nodes, terms: Mapping[str, Term], needed: Mapping[str, Sequence[str]]) -> None:
    """`ValueError` names the branch, ensemble or term that takes an output for what it is not."""
    _check_student(student, nodes)
    _check_taught(nodes, needed)
    for name, branch in nodes.branches.items():
        for reading, of in branch.explanations.items():
            _check_explained(f"'{name}.{reading}'", f"{name}.{OUTPUT}", of.classes, nodes, nodes.branches[student].view.size)
    _check_class_maps(nodes)
    for name, term in terms.items():
        _check_kinds(name, term, nodes)
        _check_order(name, term, nodes)
        _check_labels(name, term, nodes)
    for name, ensemble in nodes.ensembles.items():
        _check_ensemble(name, ensemble, nodes)


def _check_student(student: str, nodes: Nodes) -> None:
    branch = nodes.branches[student]
    if branch.task_in(nodes.task) != nodes.task:
        raise ValueError(
            f"the student '{student}' has a task of its own, {branch.own_task}, and what a run trains, tests and exports answers the run's,"
            f" {nodes.task}: leave its task= out, or name another student, {sorted(set(nodes.branches) - {student})}"
        )
    if branch.eats.several:
        raise ValueError(f"the student '{student}' eats {branch.eats}, and is tested and exported on its whole view: leave its eats= out")


def _check_taught(nodes: Nodes, needed: Mapping[str, Sequence[str]]) -> None:
    """A frozen network cannot answer for classes that nobody has taught it: its classifier is as the constructor left it."""
    for name, branch in nodes.branches.items():
        answers = branch.task_in(nodes.task).names and OUTPUT in needed[name]
        if branch.frozen and answers and isinstance(branch.weights, Checkpoint) and branch.weights.without_labels():
            raise ValueError(
                f"branch '{name}' is frozen, and its '{name}.output' is read: {branch.weights.path} is of a run without labels, so its"
                " classifier is random. Read its taps, or train it on top: weights=Trained(start=Checkpoint(path))"
            )


def _check_explained(explained: str, own: str, classes: str, nodes: Nodes, size: tuple[int, int]) -> None:
    if classes == TARGET and not nodes.task.one_class:
        shape = tuple(nodes.task.example_target(1, size).shape[1:])
        raise ValueError(
            f"{explained} explains the class of '{TARGET}', and this task's targets are {shape} per row, not one class: name an output,"
            f" '{own}'"
        )
    if classes == own:
        return
    ours, theirs = nodes.task_of(own), nodes.task if classes == TARGET else nodes.task_of(classes)
    if ours.names != theirs.names or nodes.several(own) or nodes.several(classes):
        raise ValueError(
            f"{explained} explains the class of '{classes}', one of {list(theirs.names)} in each row, and its own network tells"
            f" {list(ours.names)} apart{' in each box' if nodes.several(own) else ''}: name '{own}'"
        )


def _check_class_maps(nodes: Nodes) -> None:
    for name, branch in nodes.branches.items():
        task = branch.task_in(nodes.task)
        if branch.class_map is not None and task.names and not task.of_classes:
            raise ValueError(f"branch '{name}' has a class_map, {_outputs_are(task)}: leave it out")


def _check_kinds(name: str, term: Term, nodes: Nodes) -> None:
    """What makes probabilities of scores cannot read outputs that are none, such as a number, nor those of several images in a row."""
    outputs = [reading for reading in term.readings if Reading.parse(reading).name == OUTPUT]
    for part in (term.loss, term.gate):
        if not getattr(part, "of_classes", False):
            continue
        where = f"term '{name}' reads {outputs} by {type(part).__name__}, which is of scores of classes"
        for reading in outputs:
            if (task := nodes.task_of(reading)).names and not task.of_classes:
                raise ValueError(f"{where}, {_outputs_are(task)}")
            if nodes.several(reading):
                raise ValueError(f"{where}, one answer in each row, and '{reading}' has one for each box of it; DICOD is for such")


def _check_order(name: str, term: Term, nodes: Nodes) -> None:
    """Tasks that share classes have them in one order, where a loss would compare them by their places."""
    sides = [[reading for reading in side if Reading.parse(reading).name == OUTPUT] for side in (term.student, term.teacher)]
    for one in sides[0]:
        for other in sides[1]:
            ours, theirs = nodes.task_of(one).names, nodes.task_of(other).names
            shared = min(len(ours), len(theirs))
            if set(ours) & set(theirs) and ours[-shared:] != theirs[-shared:]:
                raise ValueError(
                    f"term '{name}' compares '{one}' of {list(ours)} with '{other}' of {list(theirs)} by their places: the same classes in"
                    " the same order, and what one of them has more, such as the background, before them; scores of some classes alone are"
                    f" Ensemble(of=('{one}',), by=Only(classes=...))"
                )


def _check_labels(name: str, term: Term, nodes: Nodes) -> None:
    """The targets are of the run's classes: a number among them is another class of a task of a branch's own."""
    labels = (f"the loss of term '{name}'", term.loss, term.student, "target" in term.extras or TARGET in term.teacher)
    gate = (f"the gate of term '{name}'", term.gate, term.gate_reading, "target" in term.gate_extras)
    for where, part, readings, taught in (labels, gate):
        if taught and getattr(part, "of_classes", False):
            _check_own_classes(f"{where}, {type(part).__name__}, compares", readings, nodes)


def _check_own_classes(who: str, readings: Sequence[str], nodes: Nodes) -> None:
    for reading in readings:
        task = nodes.task_of(reading)
        if Reading.parse(reading).name == OUTPUT and task.names and nodes.task.names and task.names != nodes.task.names:
            raise ValueError(
                f"{who} '{reading}' of {list(task.names)} with '{TARGET}' by their places, and the target's are {list(nodes.task.names)}:"
                " leave out the branch's task=, or the target"
            )


def _check_ensemble(name: str, ensemble: Ensemble, nodes: Nodes) -> None:
    tasks = {source: nodes.task_of(source) for source in ensemble.of if Reading.parse(source).name == OUTPUT}
    if any(task != next(iter(tasks.values())) for task in tasks.values()):
        raise ValueError(f"ensemble '{name}' combines answers to several questions: {tasks}; its sources need one task")
    if "target" in ensemble.extras and getattr(ensemble.by, "of_classes", False):
        _check_own_classes(f"ensemble '{name}', {type(ensemble.by).__name__}, compares", ensemble.of, nodes)
    several = [source for source in ensemble.of if nodes.several(source)]
    if several and getattr(ensemble.by, "of_classes", False):
        raise ValueError(
            f"ensemble '{name}' combines one answer of each row by {type(ensemble.by).__name__}, and '{several[0]}' has one for each box of"
            " it: Mean(tau=math.inf) takes the mean of the values"
        )


def _outputs_are(task: Task) -> str:
    return f"and this task's outputs are {task.noun} {list(task.names)}"
