"""The teacher on KITTI drive 52: a ResNet-18 on the LiDAR as the camera would see it."""

from mmengine.config import read_base

from xkd.graph.branch import Branch
from xkd.graph.distiller import Distiller
from xkd.graph.term import Term
from xkd.graph.weights import Random
from xkd.losses import CrossEntropy
from xkd.taps import Tap

with read_base():
    from .._base_.kitti_drive52 import *
    from .._base_.runtime import *

distiller = dict(
    type=Distiller,
    student="lidar",
    task=task,
    branches=dict(
        lidar=dict(
            type=Branch,
            model=teacher_network,
            view=lidar,
            weights=dict(type=Random),
            taps=dict(attention=dict(type=Tap, path="stage:3", kind="attention")),
        ),
    ),
    terms=dict(ce=dict(type=Term, loss=dict(type=CrossEntropy), student="lidar.output", teacher="batch.target")),
)
train_cfg.merge(dict(max_epochs=60, val_interval=4))
train_dataloader.merge(dict(dataset=dict(views=[lidar])))
val_dataloader.merge(dict(dataset=dict(views=[lidar])))
test_dataloader.merge(dict(dataset=dict(views=[lidar])))
