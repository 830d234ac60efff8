"""A small CNN learns ten handwritten digits: the generalist of digits_specialists.py.

xkd train configs/digits/digits_generalist.py
"""

import timm
from mmengine.config import read_base

from xkd import Augment, Branch, Classification, CrossEntropy, Distiller, PairedDataset, Random, Term, View, sensor

with read_base():
    from .._base_.runtime import *

data_root = "digits"
rgb = dict(type=View, name="rgb", modality=dict(type=sensor, root=data_root, column="rgb"), size=(28, 28))
task = dict(type=Classification, classes=("0", "1", "2", "3", "4", "5", "6", "7", "8", "9"))
network = dict(type=timm.create_model, model_name="resnet10t", channels=(16, 24, 32, 48), stem_width=16, num_classes=10)

distiller = dict(
    type=Distiller,
    student="generalist",
    task=task,
    branches=dict(generalist=dict(type=Branch, model=network, view=rgb, weights=dict(type=Random))),
    terms=dict(ce=dict(type=Term, loss=dict(type=CrossEntropy), student="generalist.output", teacher="batch.target")),
)

train_dataloader = dict(
    batch_size=50,
    drop_last=True,
    sampler=dict(shuffle=True),
    dataset=dict(
        type=PairedDataset,
        root=data_root,
        split="train",
        views=[rgb],
        augment=dict(type=Augment, flip=0.0, rotate=10.0, scale=(0.9, 1.1), shift=0.08, jitter=0.0),
        cache=True,
    ),
)
evaluation = dict(type=PairedDataset, root=data_root, views=[rgb], augment=dict(type=Augment), cache=True)
val_dataloader = dict(batch_size=250, dataset=dict(evaluation, split="val"))
test_dataloader = dict(batch_size=250, dataset=dict(evaluation, split="test"))
train_cfg.merge(dict(max_epochs=48, val_interval=4))
optim_wrapper.merge(dict(optimizer=dict(lr=3e-3)))
