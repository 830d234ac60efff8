"""Where a branch's weights come from, always named: a constructor, a file, a run or another branch; what is found or assumed is logged."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol, runtime_checkable

from torch import Tensor, nn

from xkd.batch import View
from xkd.graph.channels import Policy, Statistics, each_frame, frame_channels, of_range, spread, with_channels
from xkd.graph.folders import find_weights, is_backbone, statistics_of
from xkd.graph.growth import class_rows, grow
from xkd.graph.state_dicts import FOUND, fit, load_counted, load_file, unlike
from xkd.graph.timm_weights import classifiers, donor_of, inside, resized, timm_part
from xkd.taps import layers_of

_WIDE: Final = 20.0  # a sensor's range, in its unit, in which no mean and std of all its values lie between 0 and 1


@runtime_checkable
class Weights(Protocol):
    """Fills a model and says with which statistics its input was normalised when the weights were learned."""

    def load(self, model: nn.Module, view: View) -> Statistics: ...


@runtime_checkable
class ByClass(Protocol):
    """Weights of which some go by the names of classes, which a branch knows in its dry run."""

    def take(self, model: nn.Module, classes: Sequence[str]) -> None:
        """Fill what is of classes, the model's outputs being `classes`; `ValueError` where they do not fit."""


@runtime_checkable
class Remembers(Protocol):
    """Weights that know which rows have taught them."""

    def seen(self) -> frozenset[str]:
        """The groups of rows whose labels they have learned from; `ValueError` where that was not kept."""


@dataclass(frozen=True)
class Random:
    """As the constructor left them; a frozen branch must state it, `frozen=True` (a benchmark, a control)."""

    frozen: bool = False

    def load(self, model: nn.Module, view: View) -> Statistics:
        return view.modality.mean, view.modality.std

    def seen(self) -> frozenset[str]:
        return frozenset()


@dataclass(frozen=True)
class EMA:
    """The running average of another branch's weights (a mean teacher), updated by `Distiller.after_step`."""

    of: str
    decay: float = 0.999

    def load(self, model: nn.Module, view: View) -> Statistics:
        return view.modality.mean, view.modality.std


@dataclass(frozen=True)
class Shared:
    """Another branch's weights: one network at two places of the graph, which learns from both, or is frozen in both.

    The branch has a `model` of the same architecture, whose tensors the `Distiller` replaces by the other's; taps and heads are its own.
    Where both have one sensor, images are normalised as the other's are. Batch norm sees what both branches see; `norms="own"` gives this
    branch norm layers of its own, which begin with the other's values and learn for themselves.
    """

    of: str
    norms: Literal["shared", "own"] = "shared"

    def __post_init__(self) -> None:
        if self.norms not in ("shared", "own"):
            raise ValueError(f"Shared: norms is 'shared' or 'own', got {self.norms!r}")

    def load(self, model: nn.Module, view: View) -> Statistics:
        return view.modality.mean, view.modality.std


@dataclass(frozen=True)
class Trained:
    """A run of its own that is done first: the branch learns the task from labels, on its own view, with the config's data and schedule.

    `xkd train`, `xkd compare` and `xkd distill` train it where it is not there yet, and put its `Checkpoint` in this place. It begins with
    `start`; `epochs` (0: the config's), `augment` (changes of the config's) and `options` (dotted keys of the config, as `--cfg-options`
    takes them: `{"optim_wrapper.optimizer.lr": 1e-3}`) are for that run alone.
    """

    start: Weights = field(default_factory=Random)
    epochs: int = 0
    augment: Mapping[str, Any] = field(default_factory=dict, hash=False)
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def load(self, model: nn.Module, view: View) -> Statistics:
        raise ValueError(
            f"the branch on view '{view.name}' has weights=Trained(): xkd train, compare and distill train it first; in a loop of your own"
            " name the result, weights=Checkpoint(path)"
        )


@dataclass(frozen=True)
class Pretrained:
    """timm's pretrained weights of the model's own architecture and tag, with a fresh classifier where the classes differ.

    From timm's hub, or from `file`: a .safetensors, .pth or .bin, or the folder of a model as timm or Hugging Face keep it. Images are
    normalised by timm's mean and std of the tag, or by those that the folder states. The model may have the timm network inside, as
    `PixelHead` has.

    `channels` says what becomes of the first convolution where the sensor has another number of channels: "refuse", "average"
    (each channel gets the mean over the old ones) or "inflate" (old channels are repeated to more), both rescaled so that an
    image of one constant answers alike.
    """

    channels: Policy = "refuse"
    file: str = ""

    def load(self, model: nn.Module, view: View) -> Statistics:
        channels, part = frame_channels(model, view), timm_part(model)
        donor: Any = donor_of(part, self.file)
        config = donor.pretrained_cfg
        source = self.file or f"pretrained {config['architecture']}"
        own = part.state_dict()
        state = with_channels(donor.state_dict(), own, channels, self.channels)
        fresh = [name for name in classifiers(config) if unlike(state, own, f"{name}.weight")]
        load_counted(part, state, [f"{name}.*" for name in fresh], source)
        if self.file:
            normalisation = f"images are normalised by mean {tuple(config['mean'])} and std {tuple(config['std'])} of 0..1"
            logging.getLogger("xkd").info(f"{source}: {normalisation}, as {config['architecture']} is published")
        return of_range(config["mean"], config["std"], view, channels)


@dataclass(frozen=True)
class Checkpoint:
    """A file: a run of xkd (its student is taken, or `branch`), or a state dict of the model saved by anyone, in whatever it is wrapped.

    Loaded weights-only. Every tensor of the model must be there, except those whose name matches a pattern of `may_miss`, and the
    classifier where the file is of a run without labels, or of a folder without classes. Names may begin
    with a prefix ("module.", "state_dict_ema."), the keys of dicts around them counted in; it is found, or stated where several fit.
    `channels` is as in `Pretrained`; a timm network's positions are resized to the model's image size.

    `grows=True` is for a network that goes on to learn further classes: the classifier's rows of a run's classes are taken by their names,
    whatever their places, and new classes keep what the constructor gave them. Each of the file's classes is one of the task's, or is
    among `forgets`.

    A run of xkd knows with which statistics its images were normalised, a Hugging Face folder too; for a plain state dict state it:
    `mean` and `std` have a value per channel, or one for all, in the sensor's `unit` or as shares of its range ("0..1", what 8-bit images
    are after division by 255). Without them the data set's own are taken, which is logged.
    """

    path: str
    branch: str = ""
    may_miss: Sequence[str] = ()
    prefix: str = FOUND
    mean: Sequence[float] = ()
    std: Sequence[float] = ()
    unit: Literal["sensor", "0..1"] = "sensor"
    channels: Policy = "refuse"
    grows: bool = False
    forgets: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.forgets and not self.grows:
            raise ValueError(f"{self.path}: forgets={tuple(self.forgets)} is for a classifier that grows=True")
        if len(self.mean) != len(self.std) or any(value <= 0 for value in self.std):
            raise ValueError(f"{self.path}: mean and std have as many values, std above 0; got {self.mean} and {self.std}")
        if self.unit not in ("sensor", "0..1") or (self.unit == "0..1" and not self.mean):
            raise ValueError(f"{self.path}: unit is 'sensor' or '0..1', and that of mean and std; got '{self.unit}', mean {self.mean}")

    def load(self, model: nn.Module, view: View) -> Statistics:
        content = load_file(find_weights(self.path))
        run = content.get("meta", {}).get("xkd")
        may_miss, backbone, channels = list(self.may_miss), self._is_backbone(run), frame_channels(model, view)
        if backbone and run is None:
            model = inside(model)
        if run is None:
            state, recorded = self._plain(model, content), statistics_of(self.path)
            known = None if recorded is None else of_range(*recorded, view, channels)
        else:
            state, known = self._branch(content, self.branch or run["student"], run.get("shared", {}))
            known = (each_frame(known[0], channels, view.modality.channels), each_frame(known[1], channels, view.modality.channels))
            if not any(name in state for name in model.state_dict()):  # a run on single images knows no wrapper
                model = layers_of(model)
        if backbone:
            # learned without labels: what tells classes is new, and whatever is around a network that was alone
            own = model.state_dict()
            model = model if 2 * sum(name in state for name in own) > len(own) else inside(model)
            may_miss += [f"{name}.*" for name in classifiers(getattr(model, "pretrained_cfg", {}))]
        if self.grows:
            rows = class_rows(model, state, len(self._known_classes()), self.path)
            state, may_miss = {name: of for name, of in state.items() if name not in rows}, may_miss + rows
        load_counted(model, with_channels(state, model.state_dict(), channels, self.channels), may_miss, self.path)
        return self._statistics(view, known, channels)

    def take(self, model: nn.Module, classes: Sequence[str]) -> None:
        """The classifier's rows of the file's classes, where it `grows`, to their places among `classes`; new ones stay as they are."""
        if self.grows:
            known, content = self._known_classes(), load_file(find_weights(self.path))
            run = content["meta"]["xkd"]
            state, _ = self._branch(content, self.branch or run["student"], run.get("shared", {}))
            if not any(name in state for name in model.state_dict()):
                model = layers_of(model)
            names = class_rows(model, state, len(known), self.path)
            grow(model, {name: state[name] for name in names}, known, list(classes), self.forgets, self.path)

    def _known_classes(self) -> list[str]:
        if not (known := list(self.classes())):
            raise ValueError(
                f"{self.path} names no classes, and grows=True takes what it knows by their names: use a run that has learned some"
            )
        return known

    def _is_backbone(self, run: Mapping[str, Any] | None) -> bool:
        return is_backbone(self.path) if run is None else run.get("classes") == []

    def without_labels(self) -> bool:
        """Whether nobody has taught these weights any classes: a run without labels, or a folder without a classifier."""
        return self._is_backbone(load_file(find_weights(self.path)).get("meta", {}).get("xkd"))

    def classes(self) -> tuple[str, ...]:
        """What a run of xkd was trained on, or its branch by a task of its own; nothing is known of a plain state dict."""
        run = load_file(find_weights(self.path)).get("meta", {}).get("xkd") or {}
        return tuple(run.get("own_classes", {}).get(self.branch) or run.get("classes", ()))

    def seen(self) -> frozenset[str]:
        """The groups whose labels have taught a run of xkd: none without labels, and where a fold was left out those that were not."""
        run = load_file(find_weights(self.path)).get("meta", {}).get("xkd") or {}
        if not run or ("seen" not in run and run["classes"]):
            raise ValueError(
                f"{self.path} does not say which rows have taught it, and may have seen all: use a run without a fold,"
                " train_dataloader.dataset.without=Fold(number, of)"
            )
        return frozenset(run.get("seen", ()))

    def changes(self) -> tuple[str, ...]:
        """What was done to the network of a run's branch before it was trained; nothing is known of a plain state dict."""
        run = load_file(find_weights(self.path)).get("meta", {}).get("xkd") or {}
        return tuple(run.get("changes", {}).get(self.branch or run.get("student", ""), ()))

    def _branch(self, content: Mapping[str, Any], branch: str, shared: Mapping[str, str]) -> tuple[dict[str, Tensor], Statistics]:
        if self.prefix != FOUND:
            raise ValueError(f"{self.path} is a run of xkd: use branch='{branch}', not prefix='{self.prefix}'")

        def held_by(branch: str) -> dict[str, Tensor]:
            prefix = f"distiller.branches.{branch}."
            return {key.removeprefix(prefix): value for key, value in content["state_dict"].items() if key.startswith(prefix)}

        own = {**held_by(shared[branch]), **held_by(branch)} if branch in shared else held_by(branch)
        if not own:
            held = sorted({key.split(".")[2] for key in content["state_dict"] if key.startswith("distiller.branches.")})
            why = f", which has the weights of '{shared[branch]}': neither learned in this run" if branch in shared else ""
            raise KeyError(f"{self.path} holds no branch '{branch}'{why}; it has {held}")
        statistics = (tuple(own["mean"].flatten().tolist()), tuple(own["std"].flatten().tolist()))
        return {key.removeprefix("model."): value for key, value in own.items() if key.startswith("model.")}, statistics

    def _plain(self, model: nn.Module, content: Mapping[str, Any]) -> dict[str, Tensor]:
        if self.branch:
            raise ValueError(f"{self.path} is no run of xkd, so it has no branch '{self.branch}': use prefix=... of the names in it")
        return resized(model, fit(model, content, self.prefix, self.path), self.path)

    def _statistics(self, view: View, known: Statistics | None, channels: int) -> Statistics:
        """As said here, else as the file knows them, else the data set's, which is told. `channels` are an image's, of a clip too."""
        if self.mean:
            several = len(self.mean) == 1 or self.channels != "refuse"
            mean, std = (spread(values, channels) if several else tuple(values) for values in (self.mean, self.std))
            if self.unit == "sensor":
                self._check_unit(view)
                return each_frame(mean, channels, view.modality.channels), each_frame(std, channels, view.modality.channels)
            return of_range(mean, std, view, channels)
        if known is not None:
            return known
        assumed = f"those of view '{view.name}' are by the data set's mean {view.modality.mean} and std {view.modality.std}"
        logging.getLogger("xkd").warning(
            f"{self.path} does not say how its images were normalised: {assumed} ({view.modality.unit}); if it was trained otherwise use"
            " Checkpoint(path, mean=..., std=...), with unit='0..1' if those are of images between 0 and 1"
        )
        return view.modality.mean, view.modality.std

    def _check_unit(self, view: View) -> None:
        low, high = view.modality.range
        if high - low >= _WIDE and all(0 < value < 1 for value in (*self.mean, *self.std)):
            raise ValueError(
                f"{self.path}: mean {tuple(self.mean)} and std {tuple(self.std)} look like those of images between 0 and 1, and view"
                f" '{view.name}' is in {view.modality.unit}, {low:g} to {high:g}: use unit='0..1', or give them in {view.modality.unit}"
            )
