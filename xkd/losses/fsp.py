"""Flow of the solution procedure: how the channels of a shallow map go with those of a deep one.

Yim et al., "A Gift from Knowledge Distillation", CVPR 2017. The variant is RepDistiller's: the larger grid of a pair is average-pooled to
the smaller, and the *mean* of the squared differences is taken (weight 50 there).
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from xkd.grid import common_grid
from xkd.losses.precision import in_float32
from xkd.losses.rows import require_equal_rows


class FSP(nn.Module):
    """Student and teacher are pairs of maps, shallow (B, C, H, W) and deep (B, D, I, J); grids may differ, C and D are the same for both.

    Mean squared difference of their Gram matrices (B, C, D), which are means over positions. Zero if equal.
    """

    @in_float32
    def forward(
        self,
        student: tuple[Float[Tensor, "b c h w"], Float[Tensor, "b d i j"]],
        teacher: tuple[Float[Tensor, "b c y x"], Float[Tensor, "b d v u"]],
    ) -> Float[Tensor, ""]:
        for pair in (student, teacher):
            if not isinstance(pair, tuple) or len(pair) != 2:  # a tensor of two rows would unpack too
                raise ValueError("FSP compares pairs of maps, shallow and deep: give the term two readings on each side")
            if any(maps.ndim != 4 for maps in pair):
                raise ValueError(f"FSP compares maps (B, C, H, W), got {[tuple(maps.shape) for maps in pair]}")
            require_equal_rows("FSP", *pair)
        of_student, of_teacher = _flow(*student), _flow(*teacher)
        require_equal_rows("FSP", of_student, of_teacher)
        if of_student.shape != of_teacher.shape:
            channels = f"{tuple(of_student.shape[1:])} and {tuple(of_teacher.shape[1:])}"
            raise ValueError(f"FSP compares pairs of maps with equal channels, got (shallow, deep) {channels}")
        return (of_student - of_teacher).pow(2).mean()


def _flow(shallow: Float[Tensor, "b c h w"], deep: Float[Tensor, "b d i j"]) -> Float[Tensor, "b c d"]:
    shallow, deep = (maps.flatten(2) for maps in common_grid(shallow, deep))
    return shallow @ deep.mT / shallow.shape[2]
