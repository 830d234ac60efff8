"""CWFID: an NDVI ResNet-18 teaches a ResNet-10t on the red band to tell soil, crop and weed apart.

The red band stands for the camera; windows of 64 pixels, seen from above.
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

data_root = "cwfid_red_nir"
grey = dict(saturation=0.0, cast=0.0)  # one band in three equal channels: nothing that colours it
rgb = dict(type=View, name="rgb", modality=dict(type=sensor, root=data_root, column="rgb", changes=grey), size=(64, 64))
ndvi = dict(type=View, name="ndvi", modality=dict(type=sensor, root=data_root, column="ndvi"), size=(64, 64))
task = dict(type=Classification, classes=("soil", "crop", "weed"))

distiller = dict(
    type=Distiller,
    student="rgb",
    task=task,
    branches=dict(
        ndvi=dict(
            type=Branch,
            model=dict(type=timm.create_model, model_name="resnet18", in_chans=1, num_classes=3),
            view=ndvi,
            weights=dict(type=Trained),
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
        kd=dict(type=Term, loss=dict(type=KD, tau=4.0), student="rgb.output", teacher="ndvi.output"),
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
        views=[rgb, ndvi],
        augment=dict(type=Augment, flip=0.5, vertical_flip=0.5, rotate=45.0, scale=(0.85, 1.1), shift=0.06),
        masks=no_masks,
        cache=True,
    ),
)
evaluation = dict(type=PairedDataset, root=data_root, views=[rgb], augment=dict(type=Augment), masks=no_masks, cache=True)
val_dataloader = dict(batch_size=128, dataset=dict(evaluation, split="val"))
test_dataloader = dict(batch_size=128, dataset=dict(evaluation, split="test"))

train_cfg.merge(dict(max_epochs=72, val_interval=4))
compare = dict(cluster="frame")
