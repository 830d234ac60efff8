"""One way to train, and what came of it: an arm of a comparison, a candidate of a search, a stage of a plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.config import Config

from xkd.statistics import TestRun


@dataclass(frozen=True)
class Arm:
    """One way to train; `teachers` are the arms that teach it, by branch, `starts` those that what learns begins with.

    A `variant` is the distilled one, changed. A `control` is run where it is asked for. A teacher of other classes is tested `through`
    another config and one of its branches: that of the student, whose class map says what its classes mean. `run` is the arm whose run
    this one is too, with another network to answer. `aside` is trained for others, and not compared: it answers another question.

    A stage of a plan names others in its config (`xkd.engine.links`): `linked` are those, `after` come before it without being loaded.
    `tests` are further configs by which it is tested, by name; `silent` is one that knows nothing to be tested on.
    """

    name: str
    title: str
    config: Callable[[], Config]
    branch: str
    teachers: Mapping[str, str] = field(default_factory=dict)
    variant: bool = False
    control: bool = False
    through: tuple[Callable[[], Config], str] | None = None
    run: str = ""
    aside: bool = False
    starts: Mapping[str, str] = field(default_factory=dict)
    linked: Sequence[str] = ()
    after: Sequence[str] = ()
    tests: Mapping[str, Callable[[], Config]] = field(default_factory=dict)
    silent: bool = False

    @property
    def loads(self) -> dict[str, str]:
        """The arms whose checkpoints it loads, by branch."""
        return {**self.teachers, **self.starts}

    @property
    def loaded(self) -> list[str]:
        """The arms whose files it loads."""
        return [*self.loads.values(), *self.linked]

    @property
    def needs(self) -> list[str]:
        """The arms that must be done before."""
        return [*self.loaded, *([self.run] if self.run else []), *self.after]

    @property
    def asked(self) -> list[str]:
        """The tests of its network; "" is the one by its own config."""
        return [] if self.silent else ["", *self.tests]

    def tested(self, test: str = "") -> tuple[Config, str]:
        """The config and the branch by which a trained network is tested and shown."""
        if test:
            return self.tests[test](), self.branch
        return (self.config(), self.branch) if self.through is None else (self.through[0](), self.through[1])


@dataclass(frozen=True)
class ArmRun:
    """A finished run: its folder, its checkpoint, its answers on the test split, its best score on val; what its training took."""

    folder: Path
    checkpoint: Path
    test: TestRun
    validation: float
    seconds: float
    peak_memory: int = 0  # bytes; 0 where an earlier version, which did not count it, has trained
