"""A head that turns a stage of any network into logits, where unlike architectures speak one language: an exit for OFA's loss.

Hao et al., "One-for-All: Bridge the Gap Between Heterogeneous Architectures in Knowledge Distillation", NeurIPS 2023, arXiv:2310.19444.
The variant is the CNN branch of the authors' code for every network, since a tap gives a map whatever the architecture (their branch
for ViT and MLP merges patches and adds transformer blocks): separable convolutions, each halving the grid, then the mean over
positions and a linear layer. Theirs count stages and end as wide as the wider last stage of student and teacher; here the grid says how
often to halve, and each halving doubles the channels.
"""

from __future__ import annotations

from torch import Tensor, nn

FINAL_GRID = 7  # of the last stage at 224x224


class OFAHead(nn.Module):
    """(B, C, H, W) or (B, C) -> (B, K), for `Head(tap, OFAHead())` on a branch.

    The grid is halved while its longer side is at least twice `grid`, positions; a map that is small enough, and a vector, gets a 1x1
    convolution. Small images want a small one: at 64x64 the last stage of most CNNs is 2x2. `ValueError` for a grid below 1.
    """

    def __init__(self, grid: int = FINAL_GRID) -> None:
        super().__init__()
        if grid < 1:
            raise ValueError(f"OFAHead: grid is the positions along a side at which halving ends, 1 or more, got {grid}")
        self.grid = grid
        self.layers = nn.Sequential()

    def bind(self, source: tuple[int, ...], target: tuple[int, ...]) -> None:
        if len(source) not in (1, 3) or len(target) != 1:
            raise ValueError(f"OFAHead turns maps or vectors into logits (K,), got {source} -> {target}")
        channels, *grid = source
        longer = max(grid, default=1)
        if longer < 2 * self.grid:
            self.layers.append(nn.Conv2d(channels, channels, 1))
        while longer >= 2 * self.grid:
            self.layers.append(separable_halving(channels, 2 * channels))
            channels, longer = 2 * channels, -(-longer // 2)
        self.layers.extend([nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, target[0])])

    def forward(self, reading: Tensor) -> Tensor:
        logits: Tensor = self.layers(reading if reading.ndim == 4 else reading[:, :, None, None])
        return logits


def separable_halving(channels: int, out_channels: int) -> nn.Sequential:
    """Two separable 3x3 convolutions, the first of stride 2."""

    def separable(width: int, stride: int) -> list[nn.Module]:
        depthwise = nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False)
        return [depthwise, nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]

    return nn.Sequential(*separable(channels, 2), *separable(out_channels, 1))
