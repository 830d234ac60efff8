"""Has the camera's network anything to teach? Before a run is spent, both networks are probed by the labels that there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mmengine.config import Config
from mmengine.device import get_device

from xkd.builder import build
from xkd.engine.config import as_plain
from xkd.engine.outline import Outline
from xkd.engine.student import Student
from xkd.evidence.probe import probe, score
from xkd.graph.pairs import PretrainedOnPairs
from xkd.graph.weights import Random


@dataclass(frozen=True)
class Worth:
    """Metrics on val of a linear classifier on each frozen network: the teacher's, and the learner's as it begins. Empty without labels."""

    teacher: Mapping[str, float]
    before: Mapping[str, float]

    @property
    def against(self) -> str:
        """Why the pairs can hardly help, "" where they may, or where nobody can tell."""
        if not self.teacher or not self.before or score(self.teacher) > score(self.before):
            return ""
        return (
            f"as it begins this network says more of the labels than the one that would teach it: a linear classifier on val reaches"
            f" {score(self.before):.3f}, on the teacher {score(self.teacher):.3f}, whose features it would take over"
        )


def worth(config: Config, teacher: Student, learner: Student) -> Worth:
    return Worth(probe(config, teacher), probe(config, learner))


def worth_of(config: Config) -> dict[str, Worth]:
    """Of each branch of a config that is to begin with pairs, be it a teacher that is trained first."""
    outline, task, found = Outline.of(config), build(as_plain(config.distiller.task), "distiller.task"), {}
    for name, section in outline.branches.items():
        weights = section["weights"]
        weights = weights.get("start", {}) if name in outline.trained else weights
        if not issubclass(weights.get("type", Random), PretrainedOnPairs):
            continue
        kept = {key: value for key, value in section.items() if key in ("type", "model", "view", "channels_last")}
        where = f"distiller.branches.{name}"
        learner = build({**kept, "weights": weights.get("start", {"type": Random})}, where).to(get_device())
        teacher = build(weights["teacher"], f"{where}.weights.teacher").to(get_device())
        found[name] = worth(config, Student(teacher, task, "camera"), Student(learner, task, name))
    return found
