"""The teacher of `coffee_steered.py`: a transformer with a convolutional stem."""

from mmengine.config import read_base

with read_base():
    from .coffee_teacher import *

distiller.branches.vit.merge(dict(model=dict(hybrid_network, _delete_=True)))
