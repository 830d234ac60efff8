"""Where a branch's weights come from, always named: Random, Pretrained, Checkpoint or EMA. Loading counts the tensors that matched."""

from __future__ import annotations

import fnmatch
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from xkd.batch import View

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
        mean, std = (_spread(config[key], view.modality.channels) for key in ("mean", "std"))
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


def load_file(path: str) -> dict[str, Any]:
    """A checkpoint as plain data; `FileNotFoundError` or `ValueError` names the file, also one of which a bit has flipped."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"no checkpoint {path}")
    try:
        check_sums(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a dozen unrelated types for a damaged or pickled file
        held = re.search(r"Unsupported (?:global|class)\S* (?:GLOBAL )?(\S+)", str(error))
        reason = f"it pickles {held[1]}, which could run code" if held else (str(error).splitlines() or ["it is empty"])[0]
        raise ValueError(f"{path} is not a readable weights-only checkpoint: {reason}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds {type(content).__name__}, not a checkpoint (a dict)")
    return content


def check_sums(path: str) -> None:
    """`BadZipFile` where a file of torch, a zip archive, is not what was written: torch writes its checksums and does not look at them."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
        if broken:
            raise zipfile.BadZipFile(f"the checksum of {broken} does not fit, it has changed since it was written")


def load_counted(model: nn.Module, state: Mapping[str, Tensor], may_miss: Sequence[str], source: str) -> None:
    """Load what fits in name and shape; `ValueError` with the count unless all tensors but the `may_miss` patterns matched."""
    own = model.state_dict()
    fitting = {key: value for key, value in state.items() if key in own and value.shape == own[key].shape}
    missing = [key for key in own if key not in fitting and not any(fnmatch.fnmatch(key, pattern) for pattern in may_miss)]
    if missing:
        key = missing[0]
        found = f"has shape {tuple(state[key].shape)}, the model {tuple(own[key].shape)}" if key in state else "is not in it"
        raise ValueError(
            f"{source}: {len(fitting)} of {len(own)} tensors match {type(model).__name__}; '{key}' {found}"
            f" ({len(missing)} such). Give the model that these weights were trained with, or list what may miss in may_miss"
        )
    model.load_state_dict(fitting, strict=False)


def adapt_channels(weight: Tensor, channels: int, policy: str) -> Tensor:
    """A first convolution (O, I, H, W) for another number of input channels."""
    given = weight.shape[1]
    if policy == "average":
        return weight.mean(1, keepdim=True).expand(-1, channels, -1, -1) * (given / channels)
    if policy == "inflate" and channels > given:
        repeated = torch.arange(channels) % given
        return weight[:, repeated] / repeated.bincount()[repeated].reshape(1, -1, 1, 1)
    if policy == "inflate":
        raise ValueError(f"'inflate' repeats {given} channels, the sensor has {channels}; say Pretrained(channels='average')")
    raise ValueError(f"the weights expect {given} channels, the sensor has {channels}; say Pretrained(channels='average') or 'inflate'")


def _spread(values: Sequence[float], channels: int) -> tuple[float, ...]:
    return tuple(values) if len(values) == channels else (sum(values) / len(values),) * channels
