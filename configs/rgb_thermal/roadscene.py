"""RoadScene: a thermal ResNet-18 teaches an RGB ResNet-10t to tell persons, cars and background apart.

Aligned RGB and thermal frames of roads; objects of 64 pixels, cut out where a box is, classified.
"""

import timm
from mmengine.config import read_base

from xkd import (
    KD,
    Augment,
    Branch,
    Classification,
    CrossEntropy,
    Distiller,
    Masks,
    PairedDataset,
    Random,
    Tap,
    Term,
    Trained,
    View,
    sensor,
)

with read_base():
    from .._base_.runtime import *

data_root = "roadscene_rgbt"
rgb = dict(type=View, name="rgb", modality=dict(type=sensor, root=data_root, column="rgb"), size=(64, 64))
thermal = dict(type=View, name="thermal", modality=dict(type=sensor, root=data_root, column="thermal"), size=(64, 64))
task = dict(type=Classification, classes=("background", "person", "car"))
teacher_network = dict(type=timm.create_model, model_name="resnet18", in_chans=1, num_classes=3)

distiller = dict(
    type=Distiller,
    student="rgb",
    task=task,
    branches=dict(
        thermal=dict(
            type=Branch,
            model=teacher_network,
            view=thermal,
            weights=dict(type=Trained, epochs=16),
            taps=dict(attention=dict(type=Tap, path="stage:3", kind="attention")),
            frozen=True,
        ),
        rgb=dict(
            type=Branch,
            model=dict(type=timm.create_model, model_name="resnet10t", num_classes=3),
            view=rgb,
            weights=dict(type=Random),
            taps=dict(attention=dict(type=Tap, path="stage:3", kind="attention")),
        ),
    ),
    terms=dict(
        ce=dict(type=Term, loss=dict(type=CrossEntropy), student="rgb.output", teacher="batch.target"),
        kd=dict(type=Term, loss=dict(type=KD, tau=4.0), student="rgb.output", teacher="thermal.output"),
    ),
)

no_masks = dict(type=Masks, source="none")
train_dataloader = dict(
    batch_size=64,
    drop_last=True,
    sampler=dict(shuffle=True),
    dataset=dict(
        type=PairedDataset,
        root=data_root,
        split="train",
        views=[rgb, thermal],
        augment=dict(type=Augment, flip=0.5, rotate=5.0, scale=(0.8, 1.1), shift=0.08),
        masks=no_masks,
        cache=True,
    ),
)
evaluation = dict(type=PairedDataset, root=data_root, views=[rgb], augment=dict(type=Augment), masks=no_masks, cache=True)
val_dataloader = dict(batch_size=128, dataset=dict(evaluation, split="val"))
test_dataloader = dict(batch_size=128, dataset=dict(evaluation, split="test"))

train_cfg.merge(dict(max_epochs=24))
compare = dict(cluster="frame")
