"""Coffee leaves: a transformer teaches a CNN on the same camera, and the lesion masks steer where the CNN looks.

One sensor, five classes, few images.
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
    MaskEnergy,
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

data_root = "coffee_leaf_lesions"
rgb = dict(type=View, name="rgb", modality=dict(type=sensor, root=data_root, column="rgb"), size=(96, 192))
task = dict(type=Classification, classes=("healthy", "miner", "rust", "phoma", "cercospora"))
teacher_network = dict(
    type=timm.create_model,
    model_name="vit_tiny_patch16_224",
    img_size=(96, 192),
    patch_size=12,
    depth=6,
    qk_norm=True,
    num_classes=5,
)

distiller = dict(
    type=Distiller,
    student="cnn",
    task=task,
    branches=dict(
        vit=dict(
            type=Branch,
            model=teacher_network,
            view=rgb,
            weights=dict(type=Trained, epochs=60),
            taps=dict(attention=dict(type=Tap, path="stage:-1", kind="attention")),
            frozen=True,
        ),
        cnn=dict(
            type=Branch,
            model=dict(type=timm.create_model, model_name="resnet10t", num_classes=5),
            view=rgb,
            weights=dict(type=Random),
            taps=dict(attention=dict(type=Tap, path="stage:3", kind="attention")),
        ),
    ),
    terms=dict(
        ce=dict(type=Term, loss=dict(type=CrossEntropy, label_smoothing=0.1), student="cnn.output", teacher="batch.target"),
        kd=dict(type=Term, loss=dict(type=KD, tau=4.0), student="cnn.output", teacher="vit.output", weight=0.5),
        mask=dict(type=Term, loss=dict(type=MaskEnergy), student="cnn.attention", teacher="batch.mask"),
    ),
)

train_dataloader = dict(
    batch_size=32,
    drop_last=True,
    sampler=dict(shuffle=True, balanced=True),
    dataset=dict(
        type=PairedDataset,
        root=data_root,
        split="train",
        views=[rgb],
        augment=dict(type=Augment, flip=0.5, vertical_flip=0.5, rotate=15.0, scale=(0.8, 1.0), shift=0.05),
        cache=True,
    ),
)
evaluation = dict(type=PairedDataset, root=data_root, views=[rgb], augment=dict(type=Augment), cache=True)
val_dataloader = dict(batch_size=64, dataset=dict(evaluation, split="val"))
test_dataloader = dict(batch_size=64, dataset=dict(evaluation, split="test"))

train_cfg.merge(dict(max_epochs=60, val_interval=4))
compare = dict(attention=dict(cnn="grad_cam:stage:3"))
