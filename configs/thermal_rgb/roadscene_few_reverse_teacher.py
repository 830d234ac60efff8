"""The teacher of the reverse direction on RoadScene with a fifth of the labels: a ResNet-18 on the camera."""

from mmengine.config import read_base

from xkd.data.annotations import Labels
from xkd.graph.branch import Branch
from xkd.graph.distiller import Distiller
from xkd.graph.term import Term
from xkd.graph.weights import Random
from xkd.losses import CrossEntropy
from xkd.taps import Tap

with read_base():
    from .._base_.roadscene import *
    from .._base_.runtime import *

distiller = dict(
    type=Distiller,
    student="rgb",
    task=task,
    branches=dict(
        rgb=dict(
            type=Branch,
            model=teacher_of_rgb,
            view=rgb,
            weights=dict(type=Random),
            taps=dict(attention=dict(type=Tap, path="stage:3", kind="attention")),
        ),
    ),
    terms=dict(ce=dict(type=Term, loss=dict(type=CrossEntropy), student="rgb.output", teacher="batch.target")),
)
train_dataloader.merge(dict(sampler=dict(labelled_share=1.0), dataset=dict(views=[rgb], labels=dict(type=Labels, fraction=0.2))))
