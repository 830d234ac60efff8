"""Coffee leaves: how much of the leaf is lesion, a number; a transformer teaches a CNN on the same camera.

One sensor and a number in the place of classes: it shows that regression is compared, in its unit.
"""

import timm
from mmengine.config import read_base

from xkd import (
    L1,
    Augment,
    Branch,
    Distiller,
    PairedDataset,
    Random,
    Regression,
    SmoothL1,
    Term,
    Trained,
    View,
    numbers,
    sensor,
)

with read_base():
    from .._base_.runtime import *

data_root = "coffee_leaf_share"
rgb = dict(type=View, name="rgb", modality=dict(type=sensor, root=data_root, column="rgb"), size=(96, 192))
error = 0.02  # of the leaf: about the median share of lesions on a diseased one
teacher_network = dict(
    type=timm.create_model,
    model_name="vit_tiny_r_s16_p8_224",
    img_size=(96, 192),
    patch_size=4,
    depth=6,
    qk_norm=True,
    num_classes=1,
)

distiller = dict(
    type=Distiller,
    student="cnn",
    task=dict(type=Regression, numbers=dict(type=numbers, root=data_root)),
    branches=dict(
        vit=dict(type=Branch, model=teacher_network, view=rgb, weights=dict(type=Trained), frozen=True),
        cnn=dict(
            type=Branch,
            model=dict(type=timm.create_model, model_name="resnet10t", num_classes=1),
            view=rgb,
            weights=dict(type=Random),
        ),
    ),
    terms=dict(
        labels=dict(type=Term, loss=dict(type=SmoothL1, scale=error), student="cnn.output", teacher="batch.target"),
        kd=dict(type=Term, loss=dict(type=L1, scale=error), student="cnn.output", teacher="vit.output", weight=0.5),
    ),
)

train_dataloader = dict(
    batch_size=32,
    drop_last=True,
    sampler=dict(shuffle=True),
    dataset=dict(
        type=PairedDataset,
        root=data_root,
        split="train",
        views=[rgb],
        augment=dict(type=Augment, flip=0.5, vertical_flip=0.5, rotate=15.0, scale=(0.9, 1.0), shift=0.05),
        cache=True,
    ),
)
evaluation = dict(type=PairedDataset, root=data_root, views=[rgb], augment=dict(type=Augment), cache=True)
val_dataloader = dict(batch_size=64, dataset=dict(evaluation, split="val"))
test_dataloader = dict(batch_size=64, dataset=dict(evaluation, split="test"))

train_cfg.merge(dict(max_epochs=60, val_interval=4))
save_best = "val/mae"
compare = dict(attention=dict(cnn="grad_cam:stage:3", vit="grad_cam:blocks.5.norm1"))
