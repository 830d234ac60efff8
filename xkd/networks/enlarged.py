"""A network of full size on the images of a smaller sensor: they are enlarged inside, so that the exported file takes them as they are."""

from __future__ import annotations

from typing import Final

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class Enlarged(nn.Module):
    """`network` on images that are first enlarged to `size` (height, width), bilinear.

    A student of low resolution then has its teacher's architecture, grid by grid, and learns from its maps one by one (`ASKD`).
    Names of weights may begin with "network." in a file or not; paths of taps do, "network.layer4", or name a stage, "stage:-1".
    """

    wraps: Final = "network"

    def __init__(self, network: nn.Module, size: tuple[int, int]) -> None:
        super().__init__()
        if min(size) < 1:
            raise ValueError(f"size is (height, width) of what the network sees, 1 pixel or more a side, got {tuple(size)}")
        self.network, self.size = network, (size[0], size[1])

    @property
    def inner_size(self) -> tuple[int, int]:
        """(height, width) of the images that the layers see, by which taps know how a layer's output lies."""
        return self.size

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b ..."]:
        """`ValueError` where an image is larger than `size`: it would lose pixels."""
        height, width = images.shape[2:]
        if height > self.size[0] or width > self.size[1]:
            raise ValueError(
                f"images of {height} x {width} pixels cannot be enlarged to {self.size[0]} x {self.size[1]}: name a larger size"
            )
        if (height, width) != self.size:
            images = F.interpolate(images, self.size, mode="bilinear", align_corners=False)
        output: Tensor = self.network(images)
        return output
