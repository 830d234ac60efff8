"""A network that answers with an object, a dict or a tuple, as one that answers with one tensor of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn


class Logits(nn.Module):
    """`network`, of whose output the tensor at `key` is taken: `.logits` of Hugging Face, `["out"]` of torchvision, `[0]` of a tuple.

    Names of weights may begin with "network." in a file or not; paths of taps do: "network.encoder".
    """

    def __init__(self, network: nn.Module, key: str | int = "logits") -> None:
        super().__init__()
        self.network, self.key = network, key

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b ..."]:
        """`ValueError` names what the output holds where that is no tensor at `key`."""
        output = self.network(images)
        logits = parts(output).get(self.key)
        if not isinstance(logits, Tensor):
            raise ValueError(
                f"{type(self.network).__name__} gives {type(output).__name__} without a tensor at key={self.key!r}; it has tensors at"
                f" {tensors(output)}"
            )
        return logits


def parts(output: Any) -> dict[str | int, Any]:
    """What an output holds, by key, attribute or position."""
    if isinstance(output, Mapping):
        return dict(output)
    if isinstance(output, list | tuple):
        named = output._asdict() if hasattr(output, "_asdict") else {}
        return {**named, **dict(enumerate(output))}
    return dict(getattr(output, "__dict__", {}))


def tensors(output: Any) -> list[str | int]:
    return [key for key, value in parts(output).items() if isinstance(value, Tensor)]


def no_tensor(output: Any) -> str:
    """What a person is told whose network gives no tensor, where one is needed."""
    names = tensors(output)
    remedy = f"take one of them with xkd.Logits(network, key={names[0]!r})" if names else "make it give its logits, a tensor"
    return f"the network gives {type(output).__name__} with the tensors {names}: {remedy}"
