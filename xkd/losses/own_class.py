"""Own class: an image is to be of one class for sure, the one that its judge sees in it or the one that was asked for.

The one-hot loss of "Data-Free Learning of Student Networks" (DAFL), Chen et al., ICCV 2019, arXiv:1904.01186, equation 3: the cross-entropy
of the teacher's answer to a generated image with its own likeliest class. With the class that a conditional generator drew on the teacher's
side it is the class loss of Odena et al., "Conditional Image Synthesis with Auxiliary Classifier GANs", ICML 2017, arXiv:1610.09585.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from xkd.losses.logits import check_logits
from xkd.losses.precision import in_float32


class OwnClass(nn.Module):
    """Cross-entropy of the student's logits (B, K) with the likeliest class of the teacher's side (B, K): logits, or a one-hot class.

    Both sides may be one reading, `student="judge.output", teacher="judge.output"`: the gradient then goes through the judge to whoever
    made its images.
    """

    of_classes = True

    @in_float32
    def forward(self, student: Float[Tensor, "b k"], teacher: Float[Tensor, "b k"]) -> Float[Tensor, ""]:
        check_logits(self, student, teacher)
        return F.cross_entropy(student, teacher.argmax(1))
