"""Even classes: a batch of generated images is to be of all classes alike.

The information-entropy loss of "Data-Free Learning of Student Networks" (DAFL), Chen et al., ICCV 2019, arXiv:1904.01186, equation 5:
the negative entropy of the mean of the batch's probabilities. Theirs is negative and least at -log K; here log K is added, which changes
no gradient, and the logarithm is the natural one (their code has base 10, so their weight of 5 is 2.2 here).
"""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor, nn

from xkd.losses.precision import in_float32


class EvenClasses(nn.Module):
    """log K minus the entropy of the mean probabilities of logits (B, K): 0 where the classes are even, log K where one is all.

    It goes by the batch: one with as many rows as classes or more. Logits are the student's side; the teacher's is not looked at: name the
    same reading.
    """

    of_classes = True

    @in_float32
    def forward(self, student: Float[Tensor, "b k"], teacher: Float[Tensor, "b *anything"]) -> Float[Tensor, ""]:
        share = student.log_softmax(1).logsumexp(0) - math.log(len(student))
        return (share.exp() * share).sum() + math.log(student.shape[1])
