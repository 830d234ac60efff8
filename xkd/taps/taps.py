"""The taps of one model: read in the forward pass that it makes anyway, always as NCHW."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from xkd.taps.attention import AttentionProbe, attention_map, attention_modules, rows_sum_to_one, unreadable
from xkd.taps.layout import fold_time, to_nchw
from xkd.taps.modules import find_module, is_stage, stage_names, stage_number
from xkd.taps.norms import NormProbe
from xkd.taps.rollout import rollout_map
from xkd.taps.tap import FOUND, Tap
from xkd.taps.wrappers import num_frames

_CHECKED = 2  # rows that the first look at a model's stages takes


class Taps:
    """Called in place of the model, whose output it gives; `read` then gives the readings.

    Stages of a timm model come from its own `forward_intermediates`, everything else from hooks, which are installed once, here, and
    removed by `close`. The first call in eval mode (the dry run) also checks that the model says the same without taps, that no stage is
    overwritten after it was read, and that attention weights are probabilities.
    """

    def __init__(self, model: nn.Module, taps: Mapping[str, Tap]) -> None:
        self.model = model
        self.taps = dict(taps)
        self._stages: dict[str, int] = {}
        self._maps: dict[int, Tensor] = {}
        self._seen: dict[str, list[tuple[Any, int | None]]] = {}
        self._probes: dict[str, list[AttentionProbe]] = {}  # several for a rollout
        self._norms: dict[str, NormProbe] = {}
        self._handles: list[Any] = []
        self._checked = False
        for name, tap in self.taps.items():
            attention = self._attention_modules(name, tap)
            if tap.kind == "norms":
                self._norms[name] = NormProbe(model, tap.path, name)
            elif attention or tap.kind == "rollout":
                self._probes[name] = [AttentionProbe(of, model.get_submodule(path.rpartition(".")[0])) for path, of in attention.items()]
            elif self._is_intermediate(tap):
                self._stages[name] = stage_number(model, tap.path)
            else:
                self._hook(name, tap)

    def __call__(self, *inputs: Any) -> Any:
        """The model's output; readings of an earlier pass are forgotten."""
        self.forget()
        if not self._stages:
            return self.model(*inputs)
        if self._is_due():
            self._check_stages(tuple(part[:_CHECKED] if isinstance(part, Tensor) else part for part in inputs))
        output, self._maps = self._run(inputs)
        return output

    def read(self, images: torch.Size | tuple[int, ...]) -> dict[str, Tensor]:
        """The readings of the forward pass over images of this shape (B, C, H, W), always NCHW (or (B, C)); they are forgotten here.

        A clip is one image, of frames x channels; what there is of each step of its time becomes one reading, as the tap says.
        """
        shape = torch.Size(images)
        if len(shape) != 4:
            raise ValueError(f"read needs the shape of the images, (B, C, H, W), got {tuple(shape)}")
        seen, maps = self._seen, self._maps
        readings = {name: fold_time(self._reading(name, maps, seen, shape), shape[0], tap.time) for name, tap in self.taps.items()}
        self._checked = self._checked or self._is_due()
        self.forget()
        return readings

    def forget(self) -> None:
        """Drop what an unread forward pass left behind: one that broke, or one that was not the branch's own."""
        self._seen = {name: [] for name in self.taps}
        self._maps = {}
        for probe in self._all_probes():
            probe.forget()

    def close(self) -> None:
        for probe in self._all_probes():
            probe.close()
        for handle in self._handles:
            handle.remove()
        self._handles, self._probes = [], {}

    def _all_probes(self) -> list[AttentionProbe | NormProbe]:
        return [*(probe for probes in self._probes.values() for probe in probes), *self._norms.values()]

    def _is_intermediate(self, tap: Tap) -> bool:
        """Whether a stage's own map is read, for itself or for its energy."""
        stated = tap.layout != "found" or tap.prefix != FOUND or tap.side != "output"
        return is_stage(tap.path) and not stated and hasattr(self.model, "forward_intermediates")

    def _attention_modules(self, name: str, tap: Tap) -> dict[str, nn.Module]:
        """Those that the tap reads, by their paths in the model; none where it reads maps."""
        if tap.kind not in ("attention", "rollout"):
            return {}
        module = self.model if tap.kind == "rollout" and not tap.path else find_module(self.model, tap.path)
        inside = list(attention_modules(module).values())
        attentions = {
            path: candidate for path, candidate in self.model.named_modules() if any(candidate is attention for attention in inside)
        }
        if tap.kind == "attention" and len(attentions) > 1:
            raise ValueError(f"tap '{name}' ({tap.path}) holds {len(attentions)} attention modules, tap one of them: {list(attentions)}")
        if tap.kind == "attention" and not attentions and (seeming := unreadable(module)):
            raise ValueError(f"tap '{name}' ({tap.path}): the attention of {seeming} cannot be read; use kind='energy'")
        return attentions

    def _hook(self, name: str, tap: Tap) -> None:
        module = find_module(self.model, tap.path)
        # a partial of a method, unlike a closure, is of the copy in a copy
        if tap.side == "input":  # kept before the module runs, so that one which overwrites its input is found out
            self._handles.append(module.register_forward_pre_hook(partial(self._keep_input, name), with_kwargs=True))
        else:
            self._handles.append(module.register_forward_hook(partial(self._keep, name)))

    def _keep(self, name: str, _module: nn.Module, _inputs: Any, output: Any) -> None:
        self._seen.setdefault(name, []).append((output, _version(output)))

    def _keep_input(self, name: str, module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        self._keep(name, module, inputs, next(iter((*inputs, *named.values())), None))

    def _reading(self, name: str, maps: Mapping[int, Tensor], seen: Mapping[str, Any], images: torch.Size) -> Tensor:
        """That of every row, or of every step of each row's time, (B T, ...)."""
        tap, frames = self.taps[name], num_frames(self.model)
        if name in self._norms:
            return self._norms[name].read()
        if name in self._probes:
            return self._attention(name, torch.Size((images[0] * frames, images[1] // frames, *images[2:])))
        if name in self._stages:
            if self._stages[name] not in maps:
                raise ValueError(f"tap '{name}' ({tap.path}) is read by calling the taps, or their branch, in place of the model")
            reading = maps[self._stages[name]]
        else:
            reading = self._hooked(name, seen.get(name, []))
            # len() would fix the batch size of a traced graph
            if not reading.ndim or reading.shape[0] not in (images[0], images[0] * frames):
                verb = "is given" if tap.side == "input" else "gives"
                raise ValueError(
                    f"tap '{name}' ({tap.path}) {verb} {tuple(reading.shape)} for {images[0]} images: it works on parts of them, such as"
                    " windows, or has the positions first: tap another module"
                )
            if reading.ndim != 2:
                reading = to_nchw(self.model, reading, (images[2], images[3]), name, tap.path, tap.layout, tap.prefix)
            elif tap.kind != "features":
                raise ValueError(f"tap '{name}' ({tap.path}) is a vector, which has no {tap.kind}: tap a layer before the pooling")
        return reading if tap.kind == "features" else reading.pow(2).mean(1, keepdim=True)

    def _attention(self, name: str, images: torch.Size) -> Tensor:
        if self.taps[name].kind == "rollout":
            return rollout_map(self._probes[name], self.model, self.taps[name], name, images, check=self._is_due())
        (probe,) = self._probes[name]
        if self._is_due() and probe.seen and not rows_sum_to_one(probe.seen[0].detach()):
            raise ValueError(
                f"tap '{name}' ({self.taps[name].path}): the weights of {type(probe.attention).__name__} do not sum to one over the keys,"
                " so they are no attention of a softmax; use kind='energy'"
            )
        return attention_map(probe, self.model, self.taps[name], name, images)

    def _hooked(self, name: str, seen: list[tuple[Any, int | None]]) -> Tensor:
        tap = self.taps[name]
        if len(seen) != 1:
            raise ValueError(f"tap '{name}' ({tap.path}) fired {len(seen)} times in one forward pass: tap a module that runs exactly once")
        output, version = seen[0]
        if not isinstance(output, Tensor):
            verb, other = ("is given", "its output, or another module") if tap.side == "input" else ("gives", "a module inside it")
            raise ValueError(f"tap '{name}' ({tap.path}) {verb} {type(output).__name__}, not a tensor: tap {other}")
        if version is not None and output._version != version:
            of, other = ("'s input", "its output") if tap.side == "input" else ("", "the module that overwrites it")
            raise ValueError(f"tap '{name}' ({tap.path}){of} was overwritten in place after it was read: tap {other}")
        return output

    def _is_due(self) -> bool:
        """Whether checks wait for this pass: the first in eval mode, since dropout would make two passes differ."""
        return not self._checked and not self.model.training and not torch.compiler.is_compiling()

    def _run(self, inputs: tuple[Any, ...]) -> tuple[Any, dict[int, Tensor]]:
        """The output by timm's other way through the model, and the maps of the stages that are read."""
        model: Any = self.model
        indices = sorted(set(self._stages.values()))
        # Hiera would stop at the last stage that is read
        final, maps = model.forward_intermediates(*inputs, indices=indices, output_fmt="NCHW", stop_early=False)
        return model.forward_head(final), dict(zip(indices, maps, strict=True))

    def _check_stages(self, inputs: tuple[Any, ...]) -> None:
        """`ValueError` where timm's two ways through the model differ, or where a stage's map is changed after it was read."""
        model: Any = self.model
        with torch.no_grad():
            output, maps = self._run(inputs)
            plain = self.model(*inputs)
            if isinstance(plain, Tensor) and not plain.isfinite().all():
                return  # whoever reads it says so; nothing can be compared
            if not _alike(plain, output):
                raise ValueError(
                    f"{type(self.model).__name__} does not give its own output by forward_intermediates and forward_head, so its stages"
                    f" cannot be read; tap modules by path: {stage_names(self.model)}"
                )
            for name, number in self._stages.items():
                options = {"indices": [number], "output_fmt": "NCHW", "intermediates_only": True, "stop_early": True}
                if not _alike(model.forward_intermediates(*inputs, **options)[0], maps[number]):
                    raise ValueError(
                        f"tap '{name}' ({self.taps[name].path}) was overwritten in place after it was read: tap a module inside stage"
                        f" '{stage_names(self.model)[number]}'"
                    )
        self.forget()


def _alike(one: Any, other: Any) -> bool:
    if not isinstance(one, Tensor) or not isinstance(other, Tensor) or one.shape != other.shape:
        return False
    half = one.dtype in (torch.float16, torch.bfloat16)
    difference, scale = (one - other).abs().max(), other.abs().max()
    return bool(difference <= (5e-2 if half else 1e-3) * scale)


def _version(output: Any) -> int | None:
    """torch's count of writes in place; None where it keeps none (compiled code, which had its dry run; `inference_mode`)."""
    counted = isinstance(output, Tensor) and not torch.compiler.is_compiling() and not output.is_inference()
    return output._version if counted else None
