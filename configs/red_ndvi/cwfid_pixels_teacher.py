"""The teacher on CWFID's pixels: a ResNet-18 on NDVI."""

from mmengine.config import read_base

from xkd.graph.branch import Branch
from xkd.graph.distiller import Distiller
from xkd.graph.term import Term
from xkd.graph.weights import Random
from xkd.losses import CrossEntropy

with read_base():
    from .._base_.cwfid_pixels import *
    from .._base_.runtime import *

distiller = dict(
    type=Distiller,
    student="ndvi",
    task=task,
    branches=dict(
        ndvi=dict(type=Branch, model=teacher_network, view=ndvi, weights=dict(type=Random)),
    ),
    terms=dict(
        ce=dict(type=Term, loss=dict(type=CrossEntropy, weight=(1.0, 4.0, 4.0)), student="ndvi.output", teacher="batch.target"),
    ),
)
train_cfg.merge(dict(max_epochs=100, val_interval=10))
save_best = "val/mean_iou"
train_dataloader.merge(dict(dataset=dict(views=[ndvi])))
val_dataloader.merge(dict(dataset=dict(views=[ndvi])))
test_dataloader.merge(dict(dataset=dict(views=[ndvi])))
