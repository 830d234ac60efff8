"""The teacher on coffee leaves: a small vision transformer on the same camera."""

from mmengine.config import read_base

from xkd.graph.branch import Branch
from xkd.graph.distiller import Distiller
from xkd.graph.term import Term
from xkd.graph.weights import Random
from xkd.losses import CrossEntropy
from xkd.taps import Tap

with read_base():
    from .._base_.coffee import *
    from .._base_.runtime import *

distiller = dict(
    type=Distiller,
    student="vit",
    task=task,
    branches=dict(
        vit=dict(
            type=Branch,
            model=teacher_network,
            view=rgb,
            weights=dict(type=Random),
            taps=dict(attention=dict(type=Tap, path="stage:-1", kind="attention")),
        ),
    ),
    terms=dict(ce=dict(type=Term, loss=dict(type=CrossEntropy, label_smoothing=0.1), student="vit.output", teacher="batch.target")),
)
train_cfg.merge(dict(max_epochs=60, val_interval=4))
