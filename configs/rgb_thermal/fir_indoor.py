"""FIR indoor: a ResNet-18 on 24x32 far-infrared pixels teaches an RGB ResNet-10t. One test sequence: bouts of activity are resampled."""

import timm
from mmengine.config import read_base

from xkd.graph.branch import Branch
from xkd.graph.distiller import Distiller
from xkd.graph.term import Term
from xkd.graph.weights import Checkpoint, Random
from xkd.losses import KD, CrossEntropy
from xkd.taps import Tap

with read_base():
    from .._base_.fir_indoor import *
    from .._base_.runtime import *

distiller = dict(
    type=Distiller,
    student="rgb",
    task=task,
    branches=dict(
        thermal=dict(
            type=Branch,
            model=thermal_teacher,
            view=thermal,
            weights=dict(type=Checkpoint, path="work_dirs/fir_indoor_teacher/best.pth"),
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
train_cfg.merge(dict(max_epochs=48, val_interval=4))
compare = dict(teachers=dict(thermal="fir_indoor_teacher.py"), same_sensor=dict(thermal="fir_indoor_same_sensor.py"), cluster="bout")
