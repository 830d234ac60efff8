"""Class attention transfer: where the evidence for each class lies, to the student as to the teacher.

Guo et al., "Class Attention Transfer Based Knowledge Distillation", CVPR 2023, arXiv:2304.12777: class activation maps, average-pooled to
`size` x `size` and L2-normalised class by class; the mean of squared differences over rows, classes and cells, as in the authors' code.
Their config of a ResNet pair on CIFAR-100 does not normalise (`normalize=False`) and has weight 15; they keep the weighted term between 1
and 50 after the first epoch.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from xkd.losses.logits import check_logits
from xkd.losses.precision import in_float32
from xkd.losses.rows import of_length_one


class CATKD(nn.Module):
    """Of class activation maps (B, K, H, W) and (B, K, I, J), a map for each class; zero if equal.

    A network whose classifier is a 1x1 convolution before the pooling has them as that layer's output; one with a linear layer after the
    pooling gives the same logits when the two change places.
    """

    def __init__(self, size: int = 2, normalize: bool = True) -> None:
        super().__init__()
        if size < 1 + normalize:
            raise ValueError(f"size must be at least 1, and 2 where maps are normalised, got {size}")
        self.size, self.normalize = size, normalize

    @in_float32
    def forward(self, student: Float[Tensor, "b c h w"], teacher: Float[Tensor, "b c i j"]) -> Float[Tensor, ""]:
        shapes = f"{tuple(student.shape)} and {tuple(teacher.shape)}"
        if student.ndim != 4 or teacher.ndim != 4:
            raise ValueError(f"CATKD compares class activation maps (B, K, H, W), got {shapes}; tap the classifier before the pooling")
        if min(*student.shape[2:], *teacher.shape[2:]) < self.size:
            raise ValueError(f"CATKD pools maps to {self.size} x {self.size} cells, got smaller ones, {shapes}; give it another size")
        student, teacher = self._pooled(student), self._pooled(teacher)
        check_logits(self, student, teacher)
        return F.mse_loss(student, teacher)

    def _pooled(self, maps: Float[Tensor, "b k h w"]) -> Float[Tensor, "b k y x"]:
        pooled = F.adaptive_avg_pool2d(maps, self.size)
        return of_length_one(pooled.flatten(0, 1).flatten(1)).reshape(pooled.shape) if self.normalize else pooled
