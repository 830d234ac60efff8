"""CWFID: NDVI of every pixel from the red band alone; near infrared is the label, and is not needed afterwards.

    python datasets/cwfid_red_nir/prepare.py --source DIR --task frames
    xkd train configs/red_ndvi/cwfid_ndvi.py

A network that saw both bands would only compute the index, so there is no teacher.
"""

import timm
from mmengine.config import read_base

from xkd import (
    Augment,
    Branch,
    Dense,
    Distiller,
    EdgeSmoothL1,
    PairedDataset,
    PixelDecoder,
    Random,
    Term,
    View,
    quantities,
    sensor,
)

with read_base():
    from .._base_.runtime import *

data_root = "cwfid_red_nir_frames"
grey = dict(saturation=0.0, cast=0.0)  # one band in three equal channels: nothing that colours it
size = (176, 240)
rgb = dict(type=View, name="rgb", modality=dict(type=sensor, root=data_root, column="rgb", changes=grey), size=size)
ndvi = dict(type=View, name="ndvi", modality=dict(type=sensor, root=data_root, column="ndvi"), size=size)
task = dict(type=Dense, quantities=dict(type=quantities, view=ndvi))
network = dict(
    type=PixelDecoder,
    backbone=dict(type=timm.create_model, model_name="resnet10t", features_only=True, out_indices=(1, 2, 3)),
    num_outputs=1,
    channels=32,
)
# NDVI of soil varies by about a tenth, and leaves begin with an edge
loss = dict(type=EdgeSmoothL1, scale=0.1, edges=0.25)

distiller = dict(
    type=Distiller,
    student="rgb",
    task=task,
    branches=dict(rgb=dict(type=Branch, model=network, view=rgb, weights=dict(type=Random))),
    terms=dict(near_infrared=dict(type=Term, loss=loss, student="rgb.output", teacher="batch.target")),
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
        target="view:ndvi",
        augment=dict(type=Augment, flip=0.5, vertical_flip=0.5, rotate=10.0, scale=(0.5, 0.9), shift=0.1),
        cache=True,
    ),
)
evaluation = dict(type=PairedDataset, root=data_root, views=[rgb, ndvi], target="view:ndvi", augment=dict(type=Augment), cache=True)
val_dataloader = dict(batch_size=8, dataset=dict(evaluation, split="val"))
test_dataloader = dict(batch_size=8, dataset=dict(evaluation, split="test"))

train_cfg.merge(dict(max_epochs=60, val_interval=6))
save_best = "val/mae"
