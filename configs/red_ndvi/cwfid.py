"""CWFID: an NDVI ResNet-18 teaches a ResNet-10t on the red band to tell soil, crop and weed apart."""

import timm
from mmengine.config import read_base

from xkd.graph.branch import Branch
from xkd.graph.distiller import Distiller
from xkd.graph.term import Term
from xkd.graph.weights import Checkpoint, Random
from xkd.losses import KD, CrossEntropy
from xkd.taps import Tap

with read_base():
    from .._base_.cwfid import *
    from .._base_.runtime import *

distiller = dict(
    type=Distiller,
    student="rgb",
    task=task,
    branches=dict(
        ndvi=dict(
            type=Branch,
            model=teacher_network,
            view=ndvi,
            weights=dict(type=Checkpoint, path="work_dirs/cwfid_teacher/best.pth"),
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
train_cfg.merge(dict(max_epochs=72, val_interval=4))
compare = dict(teachers=dict(ndvi="cwfid_teacher.py"), same_sensor=dict(ndvi="cwfid_same_sensor.py"), cluster="frame")
