"""Coffee leaves, steered by masks alone: no teacher beside them, and masks of other leaves as the control."""

from mmengine.config import read_base

with read_base():
    from .coffee_steered import *

distiller.branches.pop("vit")
distiller.terms.pop("kd")
compare.attention.pop("vit")
