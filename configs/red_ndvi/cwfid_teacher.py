"""The teacher on CWFID: a ResNet-18 on NDVI."""

from mmengine.config import read_base

from xkd.graph.branch import Branch
from xkd.graph.distiller import Distiller
from xkd.graph.term import Term
from xkd.graph.weights import Random
from xkd.losses import CrossEntropy
from xkd.taps import Tap

with read_base():
    from .._base_.cwfid import *
    from .._base_.runtime import *

distiller = dict(
    type=Distiller,
    student="ndvi",
    task=task,
    branches=dict(
        ndvi=dict(
            type=Branch,
            model=teacher_network,
            view=ndvi,
            weights=dict(type=Random),
            taps=dict(attention=dict(type=Tap, path="stage:3", kind="attention")),
        ),
    ),
    terms=dict(ce=dict(type=Term, loss=dict(type=CrossEntropy), student="ndvi.output", teacher="batch.target")),
)
train_cfg.merge(dict(max_epochs=72, val_interval=4))
train_dataloader.merge(dict(dataset=dict(views=[ndvi])))
val_dataloader.merge(dict(dataset=dict(views=[ndvi])))
test_dataloader.merge(dict(dataset=dict(views=[ndvi])))
