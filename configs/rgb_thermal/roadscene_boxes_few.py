"""RoadScene's whole frames with a fifth of the labels, the same for teacher and student; pairs without boxes feed the teacher's term."""

from mmengine.config import read_base

from xkd import Labels

with read_base():
    from .roadscene_boxes import *

train_dataloader.merge(dict(sampler=dict(labelled_share=0.5), dataset=dict(labels=dict(type=Labels, fraction=0.2))))
