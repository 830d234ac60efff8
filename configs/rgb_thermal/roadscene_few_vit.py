"""RoadScene with a fifth of the labels: a thermal transformer teaches the RGB ResNet-10t."""

from mmengine.config import read_base

from xkd import Labels

with read_base():
    from .roadscene_vit import *

train_dataloader.merge(dict(sampler=dict(labelled_share=0.5), dataset=dict(labels=dict(type=Labels, fraction=0.2))))
