"""Projectors: from the student's reading to the shape of the teacher's, sized by the dry run (`bind`), any grid to any grid.

Not part of the deployed student: they exist only while it is being trained.
"""

from xkd.projectors.conv import Conv1x1
from xkd.projectors.mlp import MLP
from xkd.projectors.pooled_linear import PooledLinear
from xkd.projectors.projector import Projector

__all__ = ["MLP", "Conv1x1", "PooledLinear", "Projector"]
