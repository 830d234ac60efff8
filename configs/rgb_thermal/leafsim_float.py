"""The small RGB student of leafsim_rounded.py in full precision, by labels alone.

xkd train configs/rgb_thermal/leafsim_float.py
"""

from mmengine.config import read_base

with read_base():
    from .._base_.leafsim_small import *

labels = dict(type=Term, loss=dict(type=CrossEntropy), student="rgb.output", teacher="batch.target")
distiller = dict(type=Distiller, student="rgb", task=task, branches=dict(rgb=resnet10), terms=dict(labels=labels))
train_dataloader.merge(dict(sampler=dict(labelled_share=1.0)))
compare = dict()
