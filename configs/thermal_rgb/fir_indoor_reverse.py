"""FIR indoor the other way round: an RGB ResNet-18 teaches a ResNet-10t that sees 24x32 far-infrared pixels and nobody's face."""

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
    student="thermal",
    task=task,
    branches=dict(
        rgb=dict(
            type=Branch,
            model=rgb_teacher,
            view=rgb,
            weights=dict(type=Checkpoint, path="work_dirs/fir_indoor_reverse_teacher/best.pth"),
            taps=dict(attention=dict(type=Tap, path="stage:3", kind="attention")),
            frozen=True,
        ),
        thermal=dict(
            type=Branch,
            model=dict(type=timm.create_model, model_name="resnet10t", in_chans=1, num_classes=4),
            view=thermal,
            weights=dict(type=Random),
            taps=dict(attention=dict(type=Tap, path="stage:3", kind="attention")),
        ),
    ),
    terms=dict(
        ce=dict(type=Term, loss=dict(type=CrossEntropy), student="thermal.output", teacher="batch.target"),
        kd=dict(type=Term, loss=dict(type=KD, tau=4.0), student="thermal.output", teacher="rgb.output"),
    ),
)
train_cfg.merge(dict(max_epochs=48, val_interval=4))
val_dataloader.merge(dict(dataset=dict(views=[thermal])))
test_dataloader.merge(dict(dataset=dict(views=[thermal])))
compare = dict(teachers=dict(rgb="fir_indoor_reverse_teacher.py"), cluster="bout")
