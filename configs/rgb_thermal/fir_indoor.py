"""FIR indoor: a ResNet-18 on 24x32 far-infrared pixels teaches an RGB ResNet-10t. One test sequence: bouts of activity are resampled.

Camera and array hang on one ceiling, not pixel aligned; they see what a person is doing.
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

data_root = "fir_indoor_action"
rgb = dict(type=View, name="rgb", modality=dict(type=sensor, root=data_root, column="rgb"), size=(96, 128))
thermal = dict(type=View, name="thermal", modality=dict(type=sensor, root=data_root, column="thermal"), size=(48, 64))
task = dict(type=Classification, classes=("upright", "sit", "lie", "transition"))

distiller = dict(
    type=Distiller,
    student="rgb",
    task=task,
    branches=dict(
        thermal=dict(
            type=Branch,
            model=dict(type=timm.create_model, model_name="resnet18", in_chans=1, num_classes=4),
            view=thermal,
            weights=dict(type=Trained),
            taps=dict(attention=dict(type=Tap, path="stage:3", kind="attention")),
            frozen=True,
        ),
        rgb=dict(
            type=Branch,
            model=dict(type=timm.create_model, model_name="resnet10t", num_classes=4),
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
        augment=dict(type=Augment, flip=0.5, vertical_flip=0.5, rotate=10.0, scale=(0.85, 1.1), shift=0.05),
        masks=no_masks,
        cache=True,
    ),
)
evaluation = dict(type=PairedDataset, root=data_root, views=[rgb], augment=dict(type=Augment), masks=no_masks, cache=True)
val_dataloader = dict(batch_size=128, dataset=dict(evaluation, split="val"))
test_dataloader = dict(batch_size=128, dataset=dict(evaluation, split="test"))

train_cfg.merge(dict(max_epochs=48, val_interval=4))
compare = dict(cluster="bout")
