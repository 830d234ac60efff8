"""The teacher beside it: a small vision transformer on NDVI, trained on the labelled tenth.

xkd train configs/rgb_ndvi/leafsim_ndvi_teacher.py
"""

from mmengine.config import read_base

from xkd.graph.branch import Branch
from xkd.graph.distiller import Distiller
from xkd.graph.term import Term
from xkd.graph.weights import Random
from xkd.losses import CrossEntropy
from xkd.taps import Tap

with read_base():
    from .._base_.leafsim import *
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
            taps=dict(attention=dict(type=Tap, path="stage:-1", kind="attention")),
        ),
    ),
    terms=dict(ce=dict(type=Term, loss=dict(type=CrossEntropy), student="ndvi.output", teacher="batch.target")),
)
# every step sees labelled rows alone: it has no other term
train_dataloader.merge(dict(sampler=dict(labelled_share=1.0), dataset=dict(views=[ndvi])))
val_dataloader.merge(dict(dataset=dict(views=[ndvi])))
test_dataloader.merge(dict(dataset=dict(views=[ndvi])))
