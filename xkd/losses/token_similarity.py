"""Token similarity: how alike the places of one image are, each place a distribution over the others.

The pixel-to-pixel relation of Yang et al., "Cross-Image Relational Knowledge Distillation for Semantic Segmentation", CVPR 2022,
arXiv:2204.06986, with one image on both sides; the variant is the local loss of LightlyTrain's third distillation
method, from where the default tau comes: features L2-normalised over channels, softmax of the cosines / tau over all places (a place's
own included), mean over places, no factor tau^2. Theirs projects the student's tokens first; a relation needs no projector.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from xkd.grid import comparable
from xkd.losses.precision import in_float32


class TokenSimilarity(nn.Module):
    """KL(teacher || student) of relations inside each image, of maps (B, C, H, W) and (B, D, I, J). Zero if equal.

    The larger map is average-pooled to the smaller grid; memory grows as B (H W)^2.
    """

    def __init__(self, tau: float = 0.07) -> None:
        super().__init__()
        if tau <= 0:
            raise ValueError(f"tau must be positive, got {tau}")
        self.tau = tau

    @in_float32
    def forward(self, student: Float[Tensor, "b c h w"], teacher: Float[Tensor, "b d i j"]) -> Float[Tensor, ""]:
        student, teacher = comparable("TokenSimilarity", student, teacher, cells=2)
        log_student, log_teacher = self._relation(student), self._relation(teacher)
        return F.kl_div(log_student, log_teacher, reduction="none", log_target=True).sum(2).mean()

    def _relation(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b hw hw"]:
        tokens = F.normalize(maps.flatten(2), dim=1)
        return F.log_softmax(tokens.transpose(1, 2) @ tokens / self.tau, dim=2)
