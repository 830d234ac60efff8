"""Small networks of every kind, and one reading of them."""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import Tensor, nn

from xkd.taps import Tap, Taps

SIZE = (64, 96)
SWIN = {"depths": (1, 1, 1, 1), "embed_dim": 12, "num_heads": (1, 1, 2, 2)}
HIERA: dict[str, Any] = {"img_size": SIZE, "embed_dim": 8, "num_heads": 1, "stages": (1, 1, 1, 1)}
CONVNEXT = {"depths": (1, 1, 1, 1), "dims": (8, 8, 16, 16)}


def network(name: str, **options: Any) -> nn.Module:
    model: nn.Module = timm.create_model(name, num_classes=3, **options)
    return model.eval()


def resnet() -> nn.Module:
    return network("resnet18", channels=(8, 8, 16, 16))


def vit(name: str = "vit_tiny_patch16_224", size: tuple[int, int] = SIZE, **options: Any) -> nn.Module:
    defaults = {"img_size": size, "depth": 2, "patch_size": 16, "embed_dim": 48, "num_heads": 3}
    return network(name, **{**defaults, **options})


def read(model: nn.Module, tap: Tap, size: tuple[int, int] = SIZE, rows: int = 2) -> Tensor:
    taps = Taps(model, {"it": tap})
    with torch.no_grad():
        taps(torch.randn(rows, 3, *size))
    reading = taps.read((rows, 3, *size))["it"]
    taps.close()
    return reading


class Users(nn.Module):
    """Somebody's own network: no attribute says how its maps lie."""

    def __init__(self, last: bool = False, channels: int = 5) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, channels, 3, 4, 1)
        self.maps = nn.Identity()
        self.last = last

    def forward(self, images: Tensor) -> Tensor:
        maps = self.body(images)
        maps = self.maps(maps.permute(0, 2, 3, 1) if self.last else maps)
        return maps.mean((1, 2) if self.last else (2, 3))
