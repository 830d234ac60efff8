"""RoadScene: a thermal transformer, not a CNN, teaches the RGB ResNet-10t."""

from mmengine.config import read_base

with read_base():
    from .roadscene import *

distiller.branches.thermal.merge(dict(model=teacher_transformer))
compare.merge(dict(teachers=dict(thermal="roadscene_vit_teacher.py")))
compare.pop("same_sensor")  # that one is a ResNet
