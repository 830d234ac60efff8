"""The transformer teacher on RoadScene: a small ViT on the thermal camera."""

from mmengine.config import read_base
from mmengine.optim import OptimWrapper

with read_base():
    from .roadscene_teacher import *

distiller.branches.thermal.merge(dict(model=teacher_transformer))
# from scratch it needs more epochs than the CNN, and so small it is slower in bfloat16
optim_wrapper.merge(dict(type=OptimWrapper))
train_cfg.merge(dict(max_epochs=60, val_interval=4))
