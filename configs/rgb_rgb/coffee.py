"""Coffee leaves: a transformer teaches a CNN on the same camera, and the lesion masks steer where the CNN looks."""

import timm
from mmengine.config import read_base

from xkd.graph.branch import Branch
from xkd.graph.distiller import Distiller
from xkd.graph.term import Term
from xkd.graph.weights import Checkpoint, Random
from xkd.losses import KD, CrossEntropy, MaskEnergy
from xkd.taps import Tap

with read_base():
    from .._base_.coffee import *
    from .._base_.runtime import *

distiller = dict(
    type=Distiller,
    student="cnn",
    task=task,
    branches=dict(
        vit=dict(
            type=Branch,
            model=teacher_network,
            view=rgb,
            weights=dict(type=Checkpoint, path="work_dirs/coffee_teacher/best.pth"),
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
train_cfg.merge(dict(max_epochs=60, val_interval=4))
compare = dict(
    teachers=dict(vit="coffee_teacher.py"),
    attention=dict(cnn="grad_cam:stage:3"),
)
