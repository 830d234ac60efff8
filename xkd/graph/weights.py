"""Where a branch's weights come from, always named: Random, Pretrained, Checkpoint or EMA. Loading counts the tensors that matched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from torch import Tensor, nn

from xkd.batch import View
from xkd.graph.channels import adapt_channels, spread
from xkd.graph.state_dicts import load_counted, load_file

Statistics = tuple[tuple[float, ...], tuple[float, ...]]  # mean and std per channel, in the sensor's unit


@runtime_checkable
class Weights(Protocol):
    """Fills a model and says with which statistics its input was normalised when the weights were learned."""

    def load(self, model: nn.Module, view: View) -> Statistics: ...


@dataclass(frozen=True)
class Random:
    """As the constructor left them; a frozen branch must say that it means it (a benchmark, a control)."""

    frozen: bool = False

    def load(self, model: nn.Module, view: View) -> Statistics:
        return view.modality.mean, view.modality.std


@dataclass(frozen=True)
class EMA:
    """The running average of another branch's weights (a mean teacher), updated by `Distiller.after_step`."""

    of: str
    decay: float = 0.999

    def load(self, model: nn.Module, view: View) -> Statistics:
        return view.modality.mean, view.modality.std


@dataclass(frozen=True)
class Pretrained:
    """timm's pretrained weights of the model's own architecture and tag, with a fresh classifier where the classes differ.

    `channels` says what becomes of the first convolution where the sensor has another number of channels: "refuse", "average"
    (each channel gets the mean over the old ones) or "inflate" (old channels are repeated to more), both rescaled so that an
    image of one constant answers alike.
    """

    channels: Literal["refuse", "average", "inflate"] = "refuse"

    def load(self, model: nn.Module, view: View) -> Statistics:
        import timm  # only the branches that ask for it need the hub

        config: Any = getattr(model, "pretrained_cfg", None)
        if not config:
            raise ValueError(f"Pretrained() needs a timm model with pretrained weights, got {type(model).__name__}; use Checkpoint(path)")
        # a transformer for images of another size: timm resizes the positions when it loads them into one of that size
        size = getattr(getattr(model, "patch_embed", None), "img_size", None)
        options: dict[str, Any] = {} if size is None else {"img_size": tuple(size)}
        donor = timm.create_model(config["architecture"], pretrained=True, pretrained_cfg_overlay=dict(config), **options)
        state = donor.state_dict()
        may_miss: list[str] = []
        names = config.get("classifier") or ()
        for name in (names,) if isinstance(names, str) else names:
            if state[f"{name}.weight"].shape != model.get_submodule(name).weight.shape:
                may_miss.append(f"{name}.*")
        first = f"{config['first_conv']}.weight"
        if state[first].shape[1] != view.modality.channels:
            state[first] = adapt_channels(state[first], view.modality.channels, self.channels)
        load_counted(model, state, may_miss, source=f"pretrained {config['architecture']}")
        spans = [sensor.range for sensor in view.sensors for _ in range(sensor.channels)]
        mean, std = (spread(config[key], view.modality.channels) for key in ("mean", "std"))
        return (
            tuple(low + (high - low) * value for (low, high), value in zip(spans, mean, strict=True)),
            tuple((high - low) * value for (low, high), value in zip(spans, std, strict=True)),
        )


@dataclass(frozen=True)
class Checkpoint:
    """A file: a run of xkd (its student is taken, or `branch`), or a plain `state_dict` of the model saved by anyone.

    Loaded weights-only. Every tensor of the model must be there, except those whose name matches a pattern of `may_miss`.
    """

    path: str
    branch: str = ""
    may_miss: Sequence[str] = ()

    def load(self, model: nn.Module, view: View) -> Statistics:
        state, statistics = self.read(view)
        load_counted(model, state, self.may_miss, source=self.path)
        return statistics

    def classes(self) -> tuple[str, ...]:
        """What a run of xkd was trained on; nothing is known of a plain `state_dict`."""
        return tuple((load_file(self.path).get("meta", {}).get("xkd") or {}).get("classes", ()))

    def read(self, view: View) -> tuple[dict[str, Tensor], Statistics]:
        content = load_file(self.path)
        meta = content.get("meta", {}).get("xkd")
        if meta is None:
            saved = content.get("state_dict", content)
            state = {key: value for key, value in saved.items() if isinstance(value, Tensor)}
            return state, (view.modality.mean, view.modality.std)
        branch = self.branch or meta["student"]
        prefix = f"distiller.branches.{branch}."
        own = {key.removeprefix(prefix): value for key, value in content["state_dict"].items() if key.startswith(prefix)}
        if not own:
            held = sorted({key.split(".")[2] for key in content["state_dict"] if key.startswith("distiller.branches.")})
            raise KeyError(f"{self.path} holds no branch '{branch}'; it has {held}")
        statistics = (tuple(own["mean"].flatten().tolist()), tuple(own["std"].flatten().tolist()))
        state = {key.removeprefix("model."): value for key, value in own.items() if key.startswith("model.")}
        return state, statistics
