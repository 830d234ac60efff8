"""A control on RoadScene: the teacher's network on RGB, with a fifth of the labels. What does thermal add to a bigger network?"""

from mmengine.config import read_base

from xkd.data.annotations import Labels

with read_base():
    from .roadscene_same_sensor import *

train_dataloader.merge(dict(sampler=dict(labelled_share=1.0), dataset=dict(labels=dict(type=Labels, fraction=0.2))))
