"""A tap: where a network is read, and as what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

Kind = Literal["features", "attention", "energy", "rollout", "norms"]
Layout = Literal["found", "NCHW", "NHWC", "tokens"]
Side = Literal["output", "input"]
Time = Literal["mean", "all"]

FOUND: Final = -1  # prefix tokens: as the model says


@dataclass(frozen=True)
class Tap:
    """Where to read: "stage:k" of a timm model (k may be negative), or a module path ("blocks.11", "layer4").

    kind "features" gives maps (B, C, H, W), or (B, C) where a module's output is a vector. kind "energy" gives the activation energy of
    such a map, the mean of squares over channels (B, 1, H, W). kind "attention" gives the attention of the one attention module that lies
    at `path`: of the class token to every position (B, heads, H, W), or the mean over the positions' queries where there is no class
    token; of windows put together; on the keys' own grid where keys are fewer than queries. Where there is no attention module at all,
    as in a CNN, it is the activation energy. kind "rollout" follows attention through all blocks inside `path` ("blocks", or "" for
    the whole network), (B, 1, H, W). kind "norms" gives what the batch norm layers inside `path` ("" for all) are given and what they were
    given in training, (B, layers, 4, C), for `NormStatistics`.

    `layout` and `prefix` (class, register and distillation tokens before the positions; the first is the class token) are found from the
    model where they are not stated. `side="input"` reads what the module is given, its first argument, in place of what it gives:
    "features" or "energy" of a map that no module puts out, such as attention before the gate of CBAM.

    A network on clips (`Frames`, `Volume`) has a map for each frame, or for each step of the time that it has pooled. `time="mean"` gives
    their mean, `time="all"` all of them as channels, (B, steps x C, H, W), the first step's before the second's; energy and attention are
    those of each step.
    """

    path: str
    kind: Kind = "features"
    layout: Layout = "found"
    prefix: int = FOUND
    side: Side = "output"
    time: Time = "mean"

    def __post_init__(self) -> None:
        legals = {"kind": get_args(Kind), "layout": get_args(Layout), "side": get_args(Side), "time": get_args(Time)}
        for name, legal in legals.items():
            if (value := getattr(self, name)) not in legal:
                raise ValueError(f"tap '{self.path}': {name} must be one of {list(legal)}, got '{value}'")
        if self.prefix < FOUND:
            raise ValueError(f"tap '{self.path}': prefix must be the number of prefix tokens, got {self.prefix}")
        if self.side == "input" and self.kind not in ("features", "energy"):
            raise ValueError(f"tap '{self.path}': side='input' is for kind 'features' or 'energy', got kind '{self.kind}'")
