"""RoadScene: a thermal transformer, not a CNN, teaches the RGB ResNet-10t."""

import timm
from mmengine.config import read_base
from mmengine.optim import OptimWrapper

with read_base():
    from .roadscene import *

transformer = dict(
    type=timm.create_model,
    model_name="vit_tiny_patch16_224",
    img_size=64,
    patch_size=8,
    depth=4,
    embed_dim=96,
    qk_norm=True,  # without it some seeds hardly learn from so few labels
    in_chans=1,
    num_classes=3,
)
# from scratch it needs more epochs than the CNN, and so small it is slower in bfloat16
own_run = dict(epochs=60, options={"train_cfg.val_interval": 4, "optim_wrapper.type": OptimWrapper})
distiller.branches.thermal.merge(dict(model=dict(transformer, _delete_=True), weights=own_run))
