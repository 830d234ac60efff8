"""What every task offers: all that depends on what an output means is asked here, and nowhere else."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol, runtime_checkable

from jaxtyping import Float, Int, Shaped
from torch import Tensor

from xkd.batch import Annotation, Batch
from xkd.statistics.measures import Measures

Verdict = Literal["", "right", "wrong"]
TOLERANCE: Final = 1e-4  # of a probability
LABELLED: Final = {  # what a row has, by the kind of its annotation
    "label": "one label per row",
    "labels": 'labels = "multi"',
    "numbers": 'labels = "number"',
    "boxes": "target='boxes'",
    "pixels": "target='mask'",
    "quantities": "target='view:NAME'",
}


@dataclass(frozen=True)
class Reply:
    """What a network said of one image, or what is true of it, in words and as plain data.

    `said` is for a list, `caption` for a panel, `pixels` (H, W) for a picture of class numbers, below 0 where there is none. `levels`
    are pictures of numbers by what each shows and its ends, in words: (H, W), 0 at the lower end and 1 at the higher, NaN where there is
    none. `values` are by name, `chosen` the names that the network decided for, `cells` those of a table whose columns are the task's.
    """

    said: str = ""
    caption: str = ""
    verdict: Verdict = ""
    chosen: tuple[str, ...] = ()
    values: Mapping[str, float] = field(default_factory=dict)
    cells: tuple[str, ...] = ()
    pixels: Int[Tensor, "y x"] | None = None
    levels: Mapping[str, Float[Tensor, "y x"]] = field(default_factory=dict)
    boxes: Float[Tensor, "m 6"] | None = None  # x1 y1 x2 y2 in 0..1, score, number of the class


@runtime_checkable
class Task(Protocol):
    """Outputs are raw (logits, numbers); predictions are what a person reads (probabilities, numbers). A task inherits from this class.

    `names` are those of an output's channels in their order, () where nobody knows any; `noun` is what such names are: "classes".
    """

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]: ...

    @property
    @abstractmethod
    def noun(self) -> str: ...

    @property
    @abstractmethod
    def annotation(self) -> Annotation | None:
        """What rows have to be labelled with; None where nothing is learned from labels, or measured."""

    @property
    def alike(self) -> str:
        """What rows have in common whose labels are alike: pairs are shuffled within it by the control that keeps what labels say."""
        return self.noun

    @property
    def grid(self) -> bool:
        """Whether an answer has a place for each pixel."""
        return False

    @property
    def pictured(self) -> bool:
        """Whether an answer is a picture: the pixels' classes or numbers, boxes."""
        return self.grid

    @property
    def of_classes(self) -> bool:
        """Whether an output has a score for each class: what makes probabilities of scores can read it."""
        return False

    @property
    def exclusive(self) -> bool:
        """Whether exactly one of the names is right, of each row or pixel."""
        return False

    @property
    def one_class(self) -> bool:
        """Whether each row has exactly one of the names: targets are (B,) indices."""
        return self.exclusive and not self.grid

    @classmethod
    def of_labels(cls, annotation: Annotation) -> Task | None:
        """The task of whole images that are labelled so; None where this is not the one."""
        return None

    def among(self, names: Sequence[str]) -> Task:
        """The same question of some of the names alone, which are an output's channels then; `ValueError` for a task that has no such."""
        raise ValueError(f"{type(self).__name__} cannot be asked of some of its {self.noun} alone: that is for scores of classes")

    def misfit(self, annotation: Annotation, where: str) -> str:
        """Why rows that are annotated so, in the manifest `where`, cannot be learned from by this task, "" where they can."""
        own = self.annotation
        if own is None or own == annotation or annotation.kind == "nothing":
            return ""
        if own.kind != annotation.kind:
            return f"{where} has {LABELLED[annotation.kind]}; {type(self).__name__} learns from {LABELLED[own.kind]}"
        order = ", in that order" if set(own.names) == set(annotation.names) else ""
        return f"the task's {self.noun} {list(own.names)} are not those of {where}: {list(annotation.names)}{order}"

    @abstractmethod
    def call(self, model: Callable[[Tensor], Any], images: Float[Tensor, "b c h w"], batch: Batch) -> Tensor:
        """The model's output for normalised images (B, C, H, W); `ValueError` for one that this task cannot read."""

    def in_units(self, raw: Tensor) -> Tensor:
        """The output that numbers of a last layer stand for, which are of size one whatever the unit. They are the output itself here."""
        return raw

    @abstractmethod
    def predict(self, output: Tensor) -> Tensor:
        """What a person reads, float32."""

    @abstractmethod
    def score(self, output: Tensor, chosen: Int[Tensor, " b"] | None = None) -> Float[Tensor, ""]:
        """What an explanation is of, added up over the rows: the score of each row's `chosen` name, by default of what it answers."""

    @abstractmethod
    def choose(self, output: Tensor) -> Int[Tensor, " b"]:
        """Which of the names each row's explanation is of."""

    @abstractmethod
    def loss(self, output: Tensor, target: Tensor) -> Float[Tensor, ""]:
        """The plain loss of labelled rows, by which a probe learns."""

    @abstractmethod
    def example_target(self, rows: int, size: tuple[int, int]) -> Shaped[Tensor, "b ..."]:
        """A legal target for a dry run; `size` is the grid of the masks."""

    def boxes(self, target: Tensor) -> Float[Tensor, "b m 5"]:
        """Of a target x1 y1 x2 y2 in 0..1 of the view and the number of the class, below 0 where there is no object.

        `ValueError` for a task whose targets are no boxes.
        """
        raise ValueError(f"targets of {type(self).__name__} have no boxes to cut out: that needs the run's task to be a Detection")

    @abstractmethod
    def measures(self) -> Measures:
        """What it is judged by, on labelled rows."""

    @abstractmethod
    def answer(self, prediction: Tensor, target: Tensor | None = None) -> Reply:
        """One row's prediction, beside its target where it has one."""

    @abstractmethod
    def truth(self, target: Tensor) -> Reply:
        """One labelled row's target."""

    @property
    def suffix(self) -> str:
        """Of a file that holds one image's answer pixel by pixel, "" where there is none."""
        return ""

    def pixel_file(self, prediction: Tensor) -> bytes:
        """What is in such a file, of one row's prediction."""
        raise ValueError(f"{type(self).__name__} has no answer for each pixel")

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """Of a table of answers."""

    @property
    @abstractmethod
    def outputs(self) -> Mapping[str, str]:
        """What an exported file gives, by name: its shape and meaning. The last is the prediction, one before it the output itself."""

    def deployed(self, output: Tensor) -> Tensor:
        """The last of `outputs`, as an exported file can compute it."""
        return self.predict(output)

    @property
    def recipe(self) -> Mapping[str, Any]:
        """For plan.json: how an exported folder's `run.py` makes lines of a table of the last of `outputs`, by a `kind` that it knows.

        Empty for a task that no such folder can be of.
        """
        return {}

    @property
    def beside(self) -> Mapping[str, bytes]:
        """Files that an exported one needs beside it, by name."""
        return {}

    @property
    def usage(self) -> tuple[str, ...]:
        """Lines of Python that follow the run of an exported file."""
        return ()

    @property
    def described(self) -> tuple[str, ...]:
        """The names as a model card lists them."""
        return self.names

    @property
    def tolerance(self) -> float:
        """How far an exported file's prediction may be from PyTorch's."""
        return TOLERANCE


def checked(task: object) -> Task:
    """`TypeError` for what is no task: it names what is missing."""
    if not isinstance(task, Task):
        missing = sorted(name for name in vars(Task) if not name.startswith("_") and not hasattr(task, name))
        raise TypeError(f"{task!r} is no task: it lacks {missing}. Inherit from xkd.tasks.Task, which says what a task has to offer")
    return task
