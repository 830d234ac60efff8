"""The teacher on FIR indoor: a ResNet-18 on the far-infrared array."""

from mmengine.config import read_base

from xkd.graph.branch import Branch
from xkd.graph.distiller import Distiller
from xkd.graph.term import Term
from xkd.graph.weights import Random
from xkd.losses import CrossEntropy
from xkd.taps import Tap

with read_base():
    from .._base_.fir_indoor import *
    from .._base_.runtime import *

distiller = dict(
    type=Distiller,
    student="thermal",
    task=task,
    branches=dict(
        thermal=dict(
            type=Branch,
            model=thermal_teacher,
            view=thermal,
            weights=dict(type=Random),
            taps=dict(attention=dict(type=Tap, path="stage:3", kind="attention")),
        ),
    ),
    terms=dict(ce=dict(type=Term, loss=dict(type=CrossEntropy), student="thermal.output", teacher="batch.target")),
)
train_cfg.merge(dict(max_epochs=48, val_interval=4))
train_dataloader.merge(dict(dataset=dict(views=[thermal])))
val_dataloader.merge(dict(dataset=dict(views=[thermal])))
test_dataloader.merge(dict(dataset=dict(views=[thermal])))
