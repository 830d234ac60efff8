"""The teacher on coffee leaves: a small vision transformer on the same camera."""

from mmengine.config import read_base

from xkd.branch import Branch
from xkd.distiller import Distiller
from xkd.losses import CrossEntropy
from xkd.taps import Tap
from xkd.term import Term
from xkd.weights import Random

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
