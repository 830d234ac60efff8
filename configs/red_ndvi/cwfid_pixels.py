"""CWFID, pixel by pixel: an NDVI ResNet-18 teaches a ResNet-10t on the red band where crop and weed are, on whole frames."""

import timm
from mmengine.config import read_base

from xkd import (
    CWD,
    KD,
    Augment,
    Branch,
    CrossEntropy,
    Distiller,
    PairedDataset,
    PixelHead,
    Random,
    Segmentation,
    Term,
    Trained,
    View,
    sensor,
)

with read_base():
    from .._base_.runtime import *

data_root = "cwfid_red_nir_frames"
grey = dict(saturation=0.0, cast=0.0)  # one band in three equal channels: nothing that colours it
rgb = dict(type=View, name="rgb", modality=dict(type=sensor, root=data_root, column="rgb", changes=grey), size=(176, 240))
ndvi = dict(type=View, name="ndvi", modality=dict(type=sensor, root=data_root, column="ndvi"), size=(176, 240))
task = dict(type=Segmentation, classes=("soil", "crop", "weed"))
# a map of one eighth of the frame's size, and a 1x1 convolution on it
student_network = dict(
    type=PixelHead,
    backbone=dict(type=timm.create_model, model_name="resnet10t", features_only=True, out_indices=(2,)),
    num_classes=3,
)
teacher_network = dict(
    type=PixelHead,
    backbone=dict(type=timm.create_model, model_name="resnet18", features_only=True, out_indices=(2,), in_chans=1),
    num_classes=3,
)

distiller = dict(
    type=Distiller,
    student="rgb",
    task=task,
    branches=dict(
        ndvi=dict(type=Branch, model=teacher_network, view=ndvi, weights=dict(type=Trained), frozen=True),
        rgb=dict(type=Branch, model=student_network, view=rgb, weights=dict(type=Random)),
    ),
    terms=dict(
        # most pixels are soil
        ce=dict(type=Term, loss=dict(type=CrossEntropy, weight=(1.0, 4.0, 4.0)), student="rgb.output", teacher="batch.target"),
        kd=dict(type=Term, loss=dict(type=KD, tau=4.0), student="rgb.output", teacher="ndvi.output"),
    ),
)

train_dataloader = dict(
    batch_size=8,
    drop_last=True,
    sampler=dict(shuffle=True),
    dataset=dict(
        type=PairedDataset,
        root=data_root,
        split="train",
        views=[rgb, ndvi],
        augment=dict(type=Augment, flip=0.5, vertical_flip=0.5, rotate=10.0, scale=(0.5, 0.9), shift=0.1),
        target="mask",
        cache=True,
    ),
)
evaluation = dict(type=PairedDataset, root=data_root, views=[rgb], augment=dict(type=Augment), target="mask", cache=True)
val_dataloader = dict(batch_size=8, dataset=dict(evaluation, split="val"))
test_dataloader = dict(batch_size=8, dataset=dict(evaluation, split="test"))

train_cfg.merge(dict(max_epochs=100, val_interval=10))
save_best = "val/mean_iou"
compare = dict(
    attention=dict(ndvi="grad_cam:backbone.layer2", rgb="grad_cam:backbone.layer2"),
    # each class map by itself, so the soil that most pixels are weighs no more than the plants; weight and tau are the authors' for logits
    variants=dict(
        channel_wise={
            "distiller.terms.kd": dict(type=Term, loss=dict(type=CWD, tau=4.0), student="rgb.output", teacher="ndvi.output", weight=3.0)
        }
    ),
)
