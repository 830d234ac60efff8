"""A control on CWFID with a fifth of the labels: the teacher's network on the red band. What does NDVI add to a bigger network?"""

from mmengine.config import read_base

from xkd.data.annotations import Labels

with read_base():
    from .cwfid_same_sensor import *

train_dataloader.merge(dict(sampler=dict(labelled_share=1.0), dataset=dict(labels=dict(type=Labels, fraction=0.2))))
