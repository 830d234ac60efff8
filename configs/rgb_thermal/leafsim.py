"""The demo: a thermal transformer teaches an RGB CNN on simulated leaves.

A tenth of the training rows is labelled, alike for teacher and student; half of each of the student's steps is labelled.
"""

import timm
from mmengine.config import read_base

from xkd import (
    KD,
    AttentionCosine,
    Augment,
    Branch,
    Classification,
    CrossEntropy,
    Distiller,
    Labels,
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

data_root = "leafsim"
# the evidence is a matter of colour: strong jitter would hide it
mild = dict(brightness=0.1, contrast=0.1, saturation=0.05, gamma=0.05, cast=0.02)
rgb = dict(type=View, name="rgb", modality=dict(type=sensor, root=data_root, column="rgb", changes=mild), size=(64, 64))
thermal = dict(type=View, name="thermal", modality=dict(type=sensor, root=data_root, column="thermal"), size=(64, 64))
task = dict(type=Classification, classes=("healthy", "rust", "blight", "mildew"))

distiller = dict(
    type=Distiller,
    student="rgb",
    task=task,
    branches=dict(
        thermal=dict(
            type=Branch,
            model=dict(
                type=timm.create_model,
                model_name="vit_tiny_patch16_224",
                img_size=64,
                patch_size=8,
                depth=4,
                embed_dim=96,
                qk_norm=True,  # without it some seeds hardly learn from so few labels
                in_chans=1,
                num_classes=4,
            ),
            view=thermal,
            weights=dict(type=Trained, options={"optim_wrapper.optimizer.lr": 1e-3}),
            taps=dict(attention=dict(type=Tap, path="stage:-1", kind="attention")),
            frozen=True,
        ),
        rgb=dict(
            type=Branch,
            model=dict(type=timm.create_model, model_name="resnet10t", num_classes=4),
            view=rgb,
            weights=dict(type=Random),
            taps=dict(attention=dict(type=Tap, path="stage:2", kind="attention")),
        ),
    ),
    terms=dict(
        ce=dict(type=Term, loss=dict(type=CrossEntropy), student="rgb.output", teacher="batch.target"),
        kd=dict(type=Term, loss=dict(type=KD, tau=4.0), student="rgb.output", teacher="thermal.output"),
        attention=dict(type=Term, loss=dict(type=AttentionCosine), student="rgb.attention", teacher="thermal.attention"),
        # the labelled rows have masks; the others are steered by the teacher alone
        mask=dict(type=Term, loss=dict(type=MaskEnergy), student="rgb.attention", teacher="batch.mask"),
    ),
)

train_dataloader = dict(
    batch_size=64,
    drop_last=True,
    sampler=dict(shuffle=True, labelled_share=0.5),
    dataset=dict(
        type=PairedDataset,
        root=data_root,
        split="train",
        views=[rgb, thermal],
        augment=dict(type=Augment, flip=0.5, vertical_flip=0.5, rotate=45.0, scale=(0.85, 1.1), shift=0.06),
        labels=dict(type=Labels, fraction=0.1),
        cache=True,
    ),
)
evaluation = dict(type=PairedDataset, root=data_root, views=[rgb], augment=dict(type=Augment))
val_dataloader = dict(batch_size=128, dataset=dict(evaluation, split="val", cache=True))
test_dataloader = dict(batch_size=128, dataset=dict(evaluation, split="test"))

optim_wrapper.merge(dict(optimizer=dict(lr=2e-3)))
compare = dict(attention=dict(rgb="tap:attention", thermal="tap:attention"), object=("leaf", "lesion"))
