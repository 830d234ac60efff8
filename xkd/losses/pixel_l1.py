"""Absolute errors of pixels, of those that somebody knows: a scanner measures few of them.

The default loss of Ma and Karaman, "Sparse-to-Dense: Depth Prediction from Sparse Depth Samples and a Single Image", ICRA 2018,
arXiv:1709.07492, section III-C; as in the authors' code the mean is over all valid pixels of the batch.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from xkd.losses.known_pixels import errors_of, mean_of_known
from xkd.losses.precision import in_float32


class PixelL1(nn.Module):
    """Mean absolute error of maps (B, C, H, W), in units of `scale`, over the values that the teacher's side knows. Zero if equal.

    NaN on the teacher's side is what nobody knows, and has no part; where nothing is known the loss is 0. The mean over the processes of
    a training is weighted by rows, not by known pixels.
    """

    takes_unknown = True

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        if not scale > 0:
            raise ValueError(f"scale must be above 0, got {scale}")
        self.scale = scale

    @in_float32
    def forward(self, student: Float[Tensor, "b c h w"], teacher: Float[Tensor, "b c h w"]) -> Float[Tensor, ""]:
        errors, known = errors_of("PixelL1", student, teacher)
        return mean_of_known(errors.abs() / self.scale, known)
