"""A branch: a network, the view that it takes, the taps it is read at, its extra heads and its explanations; it is frozen or it learns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, cast

import torch
from jaxtyping import Int, Shaped
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from xkd.batch import Batch, View
from xkd.graph.bfloat16 import bfloat16_pays
from xkd.graph.changes import Change, check_seen, load_changed
from xkd.graph.channels import frame_channels
from xkd.graph.class_map import ClassMap
from xkd.graph.example import example_batch
from xkd.graph.explanation import GradCAM, map_of_scores, the_one, watched
from xkd.graph.inputs import WHOLE, Eaten, Food, Input, placed, those
from xkd.graph.weights import EMA, ByClass, Checkpoint, Random, Weights
from xkd.projectors import Projector
from xkd.taps import Tap, Taps, find_module
from xkd.tasks.task import Task, checked

Capture = dict[str, Tensor]  # readings of one forward pass: "output", each tap, each head, each explanation
Classes = Mapping[str, Int[Tensor, " b"] | None]  # of each explanation the class that it explains; None: the likeliest of the branch's own


@dataclass(frozen=True)
class Head:
    """An extra output on a tap, of the network's own output shape: a shallow exit, an auxiliary classifier.

    What its module gives is the reading: a task of numbers does not turn it into units, as it does the branch's output.
    """

    tap: str
    module: Projector


class Branch(nn.Module):
    """`forward(batch, task)` gives the readings. Inputs are normalised here, on the device, by the weights' own statistics.

    `channels_last` is the order of memory in which convolutions are fastest (values are the same but for rounding); "auto" takes it for a
    network that convolves more than once, a transformer's patches being one convolution. `compiled` runs the network, with its taps, by
    `torch.compile` in training steps, after a dry run without it; evaluation, and copies, are as they would be without. `bfloat16` is for
    a frozen branch. One at chance level on val stops the run before it teaches; `judged=False` lets it pass.

    `task` says what the output means where it is another question than the run's, such as a classifier inside a graph of detectors; all
    that depends on it is asked of that task. `eats` says what of the view the network sees, or which other branch makes its images:
    `Whole()`, `Crops(size)` or `Eats(reading)`. `changes` are done to the network after its weights are loaded, in their order:
    `[Folded(), Rounded(weights=4)]`.
    """

    mean: Tensor
    std: Tensor

    def __init__(  # noqa: PLR0913  # each is a key of a config, most are left to their defaults
        self,
        model: nn.Module,
        view: View,
        weights: Weights,
        taps: Mapping[str, Tap] | None = None,
        *,
        heads: Mapping[str, Head] | None = None,
        frozen: bool = False,
        channels_last: bool | Literal["auto"] = "auto",
        class_map: ClassMap | None = None,
        explanations: Mapping[str, GradCAM] | None = None,
        bfloat16: bool = False,
        compiled: bool = False,
        judged: bool = True,
        task: Task | None = None,
        eats: Input = WHOLE,
        changes: Sequence[Change] = (),
    ) -> None:
        super().__init__()
        self.view, self.weights, self.frozen = view, weights, frozen or isinstance(weights, EMA)
        self.judged, self.own_task, self.eats = judged, None if task is None else checked(task), eats
        self.changes = tuple(changes)
        self._check_given(bfloat16)
        self.in_bfloat16 = bfloat16 and bfloat16_pays()  # a teacher's scores need no more digits
        if channels_last == "auto":
            channels_last = sum(isinstance(module, nn.Conv2d) for module in model.modules()) > 1
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.model = model.to(memory_format=self.memory_format)
        statistics = load_changed(model, view, weights, self.changes, self.eats.size_of(view))
        for name, values in zip(("mean", "std"), statistics, strict=True):
            if len(values) != view.modality.channels:  # would broadcast
                raise ValueError(f"the weights normalise {len(values)} channels, view '{view.name}' has {view.modality.channels}")
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32).reshape(1, -1, 1, 1))
        self.class_map = class_map  # of a network that knows other classes than the task
        self.taps = Taps(model, taps or {})
        self.head_taps = {name: head.tap for name, head in (heads or {}).items()}
        modules = nn.ModuleDict({name: _as_module(head.module, name) for name, head in (heads or {}).items()})
        self.heads = cast("Mapping[str, Projector]", modules)  # registered as modules, typed as what they hold
        self.explanations = dict(explanations or {})
        self.compiled = compiled
        self._check_readings()
        self._compiled: Callable[..., Any] | None = None
        self._steps = False  # whether this pass is part of a training step
        self.shapes: dict[str, torch.Size] = {}  # of each reading, without the batch; filled by the dry run
        if self.frozen:
            check_seen(model, weights, view)
            self.requires_grad_(False)
        self.train()

    def _check_given(self, bfloat16: bool) -> None:
        if not isinstance(self.eats, Input):
            raise ValueError(f"branch on view '{self.view.name}': eats is Whole(), Crops(size) or Eats(reading), got {self.eats!r}")
        if not isinstance(self.weights, Weights):
            legal = "Trained(), Checkpoint(path), Pretrained(), Shared(name), EMA(name) or Random()"
            raise ValueError(f"weights of the branch on view '{self.view.name}' must be {legal}, got {self.weights!r}")
        if self.frozen and self.weights == Random():
            raise ValueError(
                f"a frozen branch on view '{self.view.name}' has random weights: give it weights=Trained(),"
                " Checkpoint(path) or Pretrained(), or Random(frozen=True) if you mean it"
            )
        if not self.judged and not self.frozen:
            raise ValueError(f"judged=False is for a frozen branch, which is measured before it teaches; view '{self.view.name}' learns")
        if bfloat16 and not self.frozen:
            raise ValueError(f"bfloat16 is for a frozen branch; view '{self.view.name}' learns, and how is the optimiser's matter (--amp)")

    def _check_readings(self) -> None:
        frame_channels(self.model, self.view)  # refuses a clip of other frames, whatever the weights
        where = f"branch on view '{self.view.name}'"
        for name, tap in self.head_taps.items():
            if tap not in self.taps.taps:
                raise KeyError(f"head '{name}' sits on no tap '{tap}'; this branch has {sorted(self.taps.taps)}")
        if self.compiled and self.explanations:
            raise ValueError(f"{where}: an explanation is a derivative that is learned by, so it cannot be compiled")
        for explanation in self.explanations.values():
            find_module(self.model, explanation.path)
        if twice := sorted({name for name in self.readings if self.readings.count(name) > 1}):
            raise ValueError(f"{where}: two readings named '{twice[0]}'; 'output', taps, heads and explanations share one space")

    @property
    def readings(self) -> list[str]:
        return ["output", *self.taps.taps, *self.heads, *self.explanations]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_compiled": None}  # a copy's would run the original's network

    def train(self, mode: bool = True) -> Branch:
        # a teacher in train mode would make its targets random: dropout, drop path and batch statistics alike
        super().train(mode and not self.frozen)
        return self

    def task_in(self, run: Task) -> Task:
        """What says what the output means: the branch's own task, or the run's."""
        return run if self.own_task is None else self.own_task

    def forward(self, batch: Batch, task: Task, classes: Classes | None = None, eaten: Eaten | None = None) -> Capture:
        """The readings; explanations only where `classes` says of which class each is, since nothing but training needs them.

        `task` is the run's, `eaten` what the branch eats of another one; without it the images are the view's.
        """
        food = self.eats.food(self.view, batch, task, eaten)
        images = food.images
        if self.frozen and any(module.training for module in self.modules()):
            self.eval()  # somebody called train() on a module inside
        self._steps = torch.is_grad_enabled()
        half = torch.autocast(images.device.type, torch.bfloat16) if self.in_bfloat16 else nullcontext()
        with torch.set_grad_enabled(torch.is_grad_enabled() and self._passes(images)), half:
            if not len(images):
                return self._absent(food)
            # absent rows would enter the batch statistics, so the network sees only the rows that are there
            chosen = {name: None if of is None else those(of, food.places) for name, of in (classes or {}).items()}
            capture = self.run(images, batch, task, chosen)
            whole = food.places.ndim == 1 and len(images) == len(batch)
            return capture if whole else {name: placed(reading, food.places) for name, reading in capture.items()}

    def _passes(self, images: Tensor) -> bool:
        """Whether gradients go through: to parameters that learn, or to a branch that made the images."""
        return not self.frozen or images.requires_grad

    def run(self, images: Shaped[Tensor, "b c h w"], batch: Batch, task: Task, classes: Classes = MappingProxyType({})) -> Capture:
        capture = self._explained(images, batch, task, classes) if classes else self._read(images, batch, task)
        if self.shapes and tuple(images.shape[2:]) == self.eats.size_of(self.view):
            self._check_shapes(capture)
        return capture

    def _read(self, images: Shaped[Tensor, "b c h w"], batch: Batch, task: Task) -> Capture:
        network = self._compiled if self._compiled is not None and self._steps else self.taps
        return self._with_heads(self.call(network, images, batch, task), self.taps.read(images.shape))

    def _with_heads(self, output: Tensor, taps: Mapping[str, Tensor]) -> Capture:
        return {"output": output, **taps, **{name: head(taps[self.head_taps[name]]) for name, head in self.heads.items()}}

    def _explained(self, images: Shaped[Tensor, "b c h w"], batch: Batch, task: Task, classes: Classes, check: bool = False) -> Capture:
        """The readings with the explanations of `classes`; they can be learned from where the branch learns."""
        learns = torch.is_grad_enabled() and self._passes(images)
        paths = {name: self.explanations[name].path for name in classes}
        # the fused kernels of attention know no second derivative
        attention = sdpa_kernel(SDPBackend.MATH) if learns else nullcontext()
        with torch.enable_grad(), watched(self.model, paths) as seen, attention:
            if not learns:  # the images carry the graph, so that parameters need no gradient
                images = images.detach().to(self.mean.dtype, copy=True).requires_grad_()
            capture = self._read(images, batch, task)
            for name, path in paths.items():
                score = self.task_in(task).score(capture["output"], classes[name])
                explanation = map_of_scores(self.model, the_one(seen[name], path), score, images.shape, path, learns, check)
                capture[name] = explanation if self.explanations[name].signed else explanation.clamp(min=0)
        return capture if learns else {name: reading.detach() for name, reading in capture.items()}

    def _check_shapes(self, capture: Capture) -> None:
        for name, reading in capture.items():
            known = 1 if name == "output" else None  # of pixels it is on the grid of the batch's masks
            if reading.shape[1:][:known] != self.shapes[name][:known]:
                raise ValueError(
                    f"view '{self.view.name}': '{name}' is {tuple(reading.shape[1:])}, in the dry run it was {tuple(self.shapes[name])};"
                    " a network that drops tokens while it trains (patch_drop_rate) cannot be tapped"
                )

    def call(self, network: Callable[[Tensor], Any], images: Shaped[Tensor, "b c h w"], batch: Batch, task: Task) -> Tensor:
        """The output for images in the sensor's unit, by the model itself or by what stands in for it, such as its taps."""
        own = self.task_in(task)

        def answer(inputs: Tensor) -> Any:
            output = network(inputs)
            # what is no tensor is the task's to refuse
            return self.class_map(output, own.names) if self.class_map and isinstance(output, Tensor) else output

        return own.call(answer, self.normalise(images), batch)

    def normalise(self, images: Shaped[Tensor, "b c h w"]) -> Tensor:
        normalised: Tensor = (images.to(self.mean.dtype) - self.mean) / self.std
        return normalised.contiguous(memory_format=self.memory_format)

    def bind(self, task: Task, rows: int = 2, mask_size: tuple[int, int] | None = None) -> Capture:
        """The dry run of this branch on its own view: sizes the heads, learns the shapes of the readings.

        `mask_size` is that of the masks, where it is not the view's: outputs of pixels are on their grid.
        """
        self._bind_classes(self.task_in(task))
        batch = example_batch([self.view], task, rows, self.mean.device, mask_size)
        training = self.training
        self.eval()
        with torch.no_grad():
            images, places = self.eats.food(self.view, batch, task, None)
            try:
                output = self.call(self.taps, images, batch, task)
            except (AssertionError, RuntimeError, TypeError) as error:  # the network's own words
                raise ValueError(
                    f"view '{self.view.name}' gives {tuple(images.shape[1:])}, which {type(self.model).__name__} cannot take: {error}"
                    f"{getattr(self.model, 'advice', '')}"
                ) from error
            taps = self.taps.read(images.shape)
            for name, head in self.heads.items():
                head.bind(tuple(taps[self.head_taps[name]].shape[1:]), tuple(output.shape[1:]))
                self._check_trained(name, head)
            self.to(self.mean.device)
            own = dict.fromkeys(self.explanations)
            # without explanations, the pass that has sized the heads says all
            capture = self._explained(images, batch, task, own, check=True) if own else self._with_heads(output, taps)
        if self.frozen:
            self.requires_grad_(False)
        self.train(training)
        self._compiled = torch.compile(self.taps.__call__) if self.compiled else None
        self.shapes = {name: reading.shape[1:] for name, reading in capture.items()}
        return {name: placed(reading, places) for name, reading in capture.items()}

    def _check_trained(self, name: str, head: Projector) -> None:
        """Weights are of the network alone: nobody would ever have trained the layers of a frozen branch's head."""
        if self.frozen and not isinstance(self.weights, EMA | Random) and any(True for _ in cast("nn.Module", head).parameters()):
            raise ValueError(
                f"branch on view '{self.view.name}': head '{name}' has layers, which are not in {self.weights} and which a frozen branch"
                " does not learn: read the tap itself, or put the head's layers into the network"
            )

    def _bind_classes(self, task: Task) -> None:
        """Outputs in another order would teach nonsense; a learning branch may get a new classifier, and features have no order."""
        expected = task.names if self.class_map is None else self.class_map.own
        if isinstance(self.weights, ByClass):
            self.weights.take(self.model, expected)
        if not self.frozen or not task.names or not isinstance(self.weights, Checkpoint):
            return
        if (trained := self.weights.classes()) and trained != expected:
            raise ValueError(
                f"{self.weights.path} was trained on {task.noun} {list(trained)}, "
                f"{'the task' if self.class_map is None else 'its class_map'} has {list(expected)}: state which means which with"
                " Branch(class_map=ClassMap(own=..., to=...))"
            )

    def _absent(self, food: Food) -> Capture:
        if not self.shapes:
            raise ValueError(f"no row of the batch has view '{self.view.name}' and the branch was not bound; call Distiller.bind() first")
        # zero, but attached to every parameter, so that distributed training sees all of them in every step
        zero = food.images.new_zeros((), dtype=self.mean.dtype) + food.images.sum() * 0
        anchor = sum((p.sum() * 0 for p in self.parameters() if p.requires_grad), zero)
        return {name: anchor.expand(*food.places.shape, *shape) for name, shape in self.shapes.items()}


def _as_module(head: Projector, name: str) -> nn.Module:
    if not isinstance(head, nn.Module):
        raise ValueError(f"head '{name}' must be a module, got {type(head).__name__}")
    return head
