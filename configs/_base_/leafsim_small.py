"""leafsim by the camera alone, and a ResNet-10t of a quarter of its width to learn it: what peers, exits and generations share."""

import timm
from mmengine.config import read_base

with read_base():
    from ..rgb_thermal.leafsim import *

small = dict(type=timm.create_model, channels=(16, 32, 64, 128), num_classes=4)
resnet10 = dict(type=Branch, model=dict(small, model_name="resnet10t", stem_width=16), view=rgb, weights=dict(type=Random))
train_dataloader.merge(dict(dataset=dict(views=[rgb])))
