"""Classes that come in stages: the stages of a plan, in chains that differ in what keeps a network from forgetting.

- `finetuned`: nothing does. `exemplars`: a few rows of earlier classes, the control of the two below them.
- `lwf`: learning without forgetting, the earlier network's soft targets on its own classes. `lwf_exemplars`: beside exemplars.
- `pod_exemplars`: PODNet's losses on maps and features beside exemplars, as heavy as the root of all classes over the new ones.
- `joint`: all rows of all classes so far, from random weights: what can be reached.

No stage has validation rows to choose a checkpoint by but those of its plan's last epoch.
"""

from xkd import KD, POD, Checkpoint, Classification, CrossEntropy, Ensemble, Exemplars, Only, PODFlat, Random, Term

maps = ("low", "mid", "deep")
labels = dict(type=Term, loss=dict(type=CrossEntropy), student="net.output", teacher="batch.target")
tau = 2.0
soft = dict(type=Term, loss=dict(type=KD, tau=tau), student="known.output", teacher="old.output", weight=tau**-2)  # the authors' loss
chains = dict(finetuned=(), exemplars=("exemplars",), lwf=("lwf",), lwf_exemplars=("lwf", "exemplars"), pod_exemplars=("pod", "exemplars"))


def known_after(tasks, number):
    """All classes up to a stage, in the order in which they came."""
    return sum(tasks[: number + 1], ())


def graph(net, old_classes, classes, before, means):
    """The sections of the distiller in a stage that begins with the checkpoint `before` and learns by these means."""
    grown = dict(type=Checkpoint, path=before, grows=True)
    branches = dict(net=dict(net, model=dict(net["model"], num_classes=len(classes)), weights=grown))
    terms, ensembles = dict(ce=labels), dict()
    if "lwf" in means or "pod" in means:
        was = dict(net["model"], num_classes=len(old_classes))
        task = dict(type=Classification, classes=old_classes)
        branches["old"] = dict(net, model=was, weights=dict(type=Checkpoint, path=before), task=task, frozen=True)
    if "lwf" in means:
        ensembles["known"] = dict(type=Ensemble, of=("net.output",), by=dict(type=Only, classes=old_classes))
        terms["lwf"] = soft
    if "pod" in means:
        more = (len(classes) / (len(classes) - len(old_classes))) ** 0.5
        sides = dict(student=tuple(f"net.{name}" for name in maps), teacher=tuple(f"old.{name}" for name in maps))
        terms["pod"] = dict(type=Term, loss=dict(type=POD), weight=3.0 * more, **sides)
        terms["flat"] = dict(type=Term, loss=dict(type=PODFlat), student="net.pooled", teacher="old.pooled", weight=more)
    return dict(branches=branches, ensembles=ensembles, terms=terms)


def keeps(old_classes, per_class):
    return dict(type=Exemplars, classes=old_classes, per_class=per_class)


def options(distiller, tasks, number, rows=(), exemplars=None):
    """What a stage's config is told: its graph, the classes so far, the rows (those of all of these classes without `rows`)."""
    classes = known_after(tasks, number)
    return {
        "distiller.task.classes": classes,
        **{f"distiller.{name}": of for name, of in distiller.items()},
        **{f"{split}_dataloader.dataset.known": classes for split in ("train", "val", "test")},
        "train_dataloader.dataset.classes": rows,
        "train_dataloader.dataset.exemplars": exemplars,
    }


def named(task):
    return "_".join(task)


def tests_of(tasks):
    """A test for each stage's classes, among all that a network knows by then."""
    return {named(task): dict(options={"test_dataloader.dataset.classes": task}) for task in tasks}


def stages_of(config, tasks, net, per_class):
    """The stages of all chains, which share the first. `net` is the student's branch without weights, its taps are `maps` and "pooled"."""

    def alone(number):
        classes = known_after(tasks, number)
        branch = dict(net, model=dict(net["model"], num_classes=len(classes)), weights=dict(type=Random))
        return dict(branches=dict(net=branch), ensembles=dict(), terms=dict(ce=labels))

    stages = {"first": dict(config=config, options=options(alone(0), tasks, 0), chain=(*chains, "joint"), learns=named(tasks[0]))}
    for chain, means in chains.items():
        before = "first"
        for number in range(1, len(tasks)):
            old, name = known_after(tasks, number - 1), f"{chain}_{number + 1}"
            exemplars = keeps(old, per_class) if "exemplars" in means else None
            distiller = graph(net, old, known_after(tasks, number), f"@{before}", means)
            told = options(distiller, tasks, number, tasks[number], exemplars)
            stages[name] = dict(config=config, options=told, chain=chain, learns=named(tasks[number]))
            before = name
    for number in range(1, len(tasks)):
        learns = tuple(named(task) for task in tasks[: number + 1])
        stages[f"joint_{number + 1}"] = dict(config=config, options=options(alone(number), tasks, number), chain="joint", learns=learns)
    return stages
