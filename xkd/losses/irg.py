"""Instance relationship graphs: what each row is, how far rows lie apart, and how far each moves from layer to layer.

Liu et al., "Knowledge Distillation via Instance Relationship Graph", CVPR 2019. The authors' code is Caffe; weights and
what the paper leaves open are those of Knowledge-Distillation-Zoo (PyTorch) where no more is said:

- vertices: mean squared difference of the last readings, rows L2-normalised (there the logits themselves); of unlike widths, the student's
  goes through a linear layer that is learned;
- edges: of each reading, squared Euclidean distances between the flattened rows, divided by their maximum; the mean squared difference,
  averaged over the readings;
- flow (the paper's IRG transformation): between neighbouring readings, each row's squared change, divided by the batch's maximum; the mean
  squared difference, averaged over the neighbours. To be subtracted, both readings are average-pooled to the smaller grid (a vector is a
  grid of 1 x 1) and to the smaller number of channels, neighbouring channels together, without any layer that could be learned to please
  the loss; then L2-normalised as one vector, so that a layer's scale is no change.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from xkd.grid import common_grid
from xkd.losses.learned import Shapes, each_shape
from xkd.losses.pairs import pairs_of
from xkd.losses.precision import in_float32
from xkd.losses.rows import of_length_one, require_equal_rows


class IRG(nn.Module):
    """Of two readings or more a side, shallow to deep, maps (B, C, H, W) or vectors (B, D), the last ones vectors. Zero if equal.

    Grids and widths may differ between student and teacher; a projector of the last readings is made by `bind` where it is needed. A
    single row has no edges and no flow, its vertex alone counts.
    """

    reads_several = True
    contract_shapes = ((3, 4, 4), (5, 2, 4), (6,))

    def __init__(self, vertex: float = 0.1, edge: float = 5.0, flow: float = 5.0) -> None:
        super().__init__()
        if min(vertex, edge, flow) < 0 or max(vertex, edge, flow) == 0:
            raise ValueError(f"vertex, edge and flow are weights of 0 or more, not all 0, got {vertex}, {edge} and {flow}")
        self.vertex, self.edge, self.flow = vertex, edge, flow
        self.projector = nn.Sequential()

    def bind(self, student: Shapes, teacher: Shapes) -> None:
        """Make the projector if the last readings, (D,) and (E,), have unlike widths."""
        width, wanted = _last_width(student), _last_width(teacher)
        if width != wanted:
            self.projector.append(nn.Linear(width, wanted))

    @in_float32
    def forward(self, student: tuple[Float[Tensor, "b ..."], ...], teacher: tuple[Float[Tensor, "b ..."], ...]) -> Float[Tensor, ""]:
        for side in (student, teacher):
            _last_width(side)
        pairs = pairs_of("IRG", student, teacher)
        for pair in pairs:
            require_equal_rows("IRG", *pair)
        edges = [F.mse_loss(_edges(one), _edges(other)) for one, other in pairs]
        flows = [F.mse_loss(_flow(*one), _flow(*other)) for one, other in zip(pairwise(student), pairwise(teacher), strict=True)]
        vertex = F.mse_loss(of_length_one(self._projected(*pairs[-1])), of_length_one(teacher[-1]))
        return self.vertex * vertex + self.edge * torch.stack(edges).mean() + self.flow * torch.stack(flows).mean()

    def _projected(self, student: Float[Tensor, "b d"], teacher: Float[Tensor, "b e"]) -> Float[Tensor, "b e"]:
        projected: Tensor = self.projector(student)
        if projected.shape != teacher.shape:
            raise ValueError(
                f"IRG has no projector for last readings {tuple(student.shape)} and {tuple(teacher.shape)}: call bind(student_shapes,"
                " teacher_shapes), or Distiller.bind() before training"
            )
        return projected


def _last_width(side: Any) -> int:
    """Of the vector that is a side's last reading; `ValueError` where a side is none that can be served."""
    shapes = each_shape(side)
    if len(shapes) < 2 or any(len(shape) not in (1, 3) for shape in shapes) or len(shapes[-1]) != 1:
        raise ValueError(
            f"IRG reads maps (C, H, W) or vectors (D,), at least two on each side and a vector as the last, got {list(shapes)}; give the"
            " term such as ('rgb.mid', 'rgb.deep', 'rgb.output')"
        )
    return shapes[-1][0]


def _edges(reading: Float[Tensor, "b ..."]) -> Float[Tensor, "b b"]:
    """Not by products of rows, which leave noise where two rows are equal."""
    rows = reading.flatten(1)
    return _in_units_of_maximum(torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist").pow(2))


def _flow(shallow: Float[Tensor, "b ..."], deep: Float[Tensor, "b ..."]) -> Float[Tensor, " b"]:
    shallow, deep = common_grid(*(reading if reading.ndim == 4 else reading[:, :, None, None] for reading in (shallow, deep)))
    width = min(shallow.shape[1], deep.shape[1])
    before, after = (of_length_one(_narrowed(maps, width).flatten(1)) for maps in (shallow, deep))
    return _in_units_of_maximum((after - before).pow(2).sum(1))


def _narrowed(maps: Float[Tensor, "b c h w"], width: int) -> Float[Tensor, "b d h w"]:
    """Neighbouring channels averaged until there are `width`."""
    narrowed = F.adaptive_avg_pool1d(maps.flatten(2).transpose(1, 2), width).transpose(1, 2)
    return narrowed.reshape(len(maps), width, *maps.shape[2:])


def _in_units_of_maximum(values: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    most = values.max()
    return values / most.where(most > 0, 1.0)
