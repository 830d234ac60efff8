"""KITTI drive 52: a laser scanner teaches a camera how far away things are, with no label; one crossing shows the way, no more.

    python datasets/kitti_drive52/prepare.py --source DIR --task frames
    xkd compare configs/rgb_lidar/kitti_drive52_depth.py --arms alone distilled shuffled

The student sees the image and learns from the scanner's returns, on about a third of the pixels. The teacher is the same network with image
and scan as its input. It learns from the same returns, of which its own input has lost a part, so that it fills gaps; its dense answer
teaches the student everywhere. Asked on test rows it sees all that it is measured by: its error is that of copying, and no mark to reach.
"""

import timm
from mmengine.config import read_base

from xkd import (
    Augment,
    Branch,
    Dense,
    Distiller,
    PairedDataset,
    PixelDecoder,
    Random,
    ScaleInvariantLog,
    Stack,
    Term,
    Trained,
    View,
    quantities,
    sensor,
)

with read_base():
    from .._base_.runtime import *

data_root = "kitti_drive52_frames"
size = (96, 320)
camera = dict(type=sensor, root=data_root, column="rgb")
rgb = dict(type=View, name="rgb", modality=camera, size=size)
# what is learned: metres, where there is a return; the range begins above 0, since it has a logarithm
metres = dict(outputs=("range",), range=(2.0, 80.0), densify=0, mean=(), std=())
depth = dict(type=View, name="depth", modality=dict(type=sensor, root=data_root, column="lidar", changes=metres), size=size)
# what the teacher sees in training: up to all returns are lost
scan = dict(type=sensor, root=data_root, column="lidar", changes=dict(outputs=("range", "valid"), mean=(), std=(), dropout=1.0))
both = dict(type=View, name="both", modality=dict(type=Stack, sensors=(camera, scan)), size=size)
task = dict(type=Dense, quantities=dict(type=quantities, view=depth), ratios=True)
backbone = dict(type=timm.create_model, model_name="resnet10t", features_only=True, out_indices=(1, 2, 3, 4))
student = dict(type=PixelDecoder, backbone=backbone, num_outputs=1, channels=32)
teacher = dict(student, backbone=dict(backbone, in_chans=5))

distiller = dict(
    type=Distiller,
    student="rgb",
    task=task,
    branches=dict(
        both=dict(type=Branch, model=teacher, view=both, weights=dict(type=Trained), frozen=True),
        rgb=dict(type=Branch, model=student, view=rgb, weights=dict(type=Random)),
    ),
    terms=dict(
        returns=dict(type=Term, loss=dict(type=ScaleInvariantLog, share=0.5), student="rgb.output", teacher="batch.target"),
        dense=dict(type=Term, loss=dict(type=ScaleInvariantLog, share=0.5), student="rgb.output", teacher="both.output"),
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
        views=[rgb, both, depth],
        target="view:depth",
        augment=dict(type=Augment, flip=0.5),  # what is zoomed looks nearer than the scanner says
        cache=True,
    ),
)
evaluation = dict(type=PairedDataset, root=data_root, views=[rgb, depth], target="view:depth", augment=dict(type=Augment), cache=True)
val_dataloader = dict(batch_size=8, dataset=dict(evaluation, split="val"))
test_dataloader = dict(batch_size=8, dataset=dict(evaluation, split="test"))

train_cfg.merge(dict(max_epochs=60, val_interval=6))
save_best = "val/abs_rel"
compare = dict(cluster="frame")
