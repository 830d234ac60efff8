"""A transformer on laser scans teaches an RGB CNN on pairs of leafsim of which a tenth is labelled.

    xkd compare configs/rgb_lidar/leafsim_lidar.py

It needs a set with that sensor: `python datasets/leafsim/prepare.py --out data/leafsim` makes all.
"""

import timm
from mmengine.config import read_base

from xkd.graph.branch import Branch
from xkd.graph.distiller import Distiller
from xkd.graph.term import Term
from xkd.graph.weights import Checkpoint, Random
from xkd.losses import KD, AttentionCosine, CrossEntropy, MaskEnergy
from xkd.taps import Tap

with read_base():
    from .._base_.leafsim import *
    from .._base_.runtime import *

teacher_network.merge(dict(in_chans=3))  # what `channels` names
train_dataloader.merge(dict(dataset=dict(views=[rgb, lidar])))
distiller = dict(
    type=Distiller,
    student="rgb",
    task=task,
    branches=dict(
        lidar=dict(
            type=Branch,
            model=teacher_network,
            view=lidar,
            weights=dict(type=Checkpoint, path="work_dirs/leafsim_lidar_teacher/best.pth"),
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
        kd=dict(type=Term, loss=dict(type=KD, tau=4.0), student="rgb.output", teacher="lidar.output"),
        attention=dict(type=Term, loss=dict(type=AttentionCosine), student="rgb.attention", teacher="lidar.attention"),
        # the labelled rows have masks; the others are steered by the teacher alone
        mask=dict(type=Term, loss=dict(type=MaskEnergy), student="rgb.attention", teacher="batch.mask"),
    ),
)
optim_wrapper.merge(dict(optimizer=dict(lr=2e-3)))
compare = dict(
    teachers=dict(lidar="leafsim_lidar_teacher.py"),
    attention=dict(rgb="tap:attention", lidar="tap:attention"),
)
