"""RoadScene the other way round, with a fifth of the labels: an RGB ResNet-18 teaches a ResNet-10t on the thermal camera."""

import timm
from mmengine.config import read_base

from xkd.data.annotations import Labels
from xkd.graph.branch import Branch
from xkd.graph.distiller import Distiller
from xkd.graph.term import Term
from xkd.graph.weights import Checkpoint, Random
from xkd.losses import KD, CrossEntropy
from xkd.taps import Tap

with read_base():
    from .._base_.roadscene import *
    from .._base_.runtime import *

distiller = dict(
    type=Distiller,
    student="thermal",
    task=task,
    branches=dict(
        rgb=dict(
            type=Branch,
            model=teacher_of_rgb,
            view=rgb,
            weights=dict(type=Checkpoint, path="work_dirs/roadscene_few_reverse_teacher/best.pth"),
            taps=dict(attention=dict(type=Tap, path="stage:3", kind="attention")),
            frozen=True,
        ),
        thermal=dict(
            type=Branch,
            model=dict(type=timm.create_model, model_name="resnet10t", in_chans=1, num_classes=3),
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
train_cfg.merge(dict(max_epochs=24))
train_dataloader.merge(dict(sampler=dict(labelled_share=0.5), dataset=dict(labels=dict(type=Labels, fraction=0.2))))
val_dataloader.merge(dict(dataset=dict(views=[thermal])))
test_dataloader.merge(dict(dataset=dict(views=[thermal])))
compare = dict(teachers=dict(rgb="roadscene_few_reverse_teacher.py"), cluster="frame")
