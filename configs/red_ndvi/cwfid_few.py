"""CWFID with a fifth of the labels, the same for teacher and student; the unlabelled pairs feed the distillation term."""

from mmengine.config import read_base

from xkd import Labels

with read_base():
    from .cwfid import *

train_dataloader.merge(dict(sampler=dict(labelled_share=0.5), dataset=dict(labels=dict(type=Labels, fraction=0.2))))
