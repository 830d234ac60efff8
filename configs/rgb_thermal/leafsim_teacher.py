"""The teacher of the demo: a small vision transformer on the thermal camera, trained on the labelled tenth."""

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
    student="thermal",
    task=task,
    branches=dict(
        thermal=dict(
            type=Branch,
            model=teacher_network,
            view=thermal,
            weights=dict(type=Random),
            taps=dict(attention=dict(type=Tap, path="stage:-1", kind="attention")),
        ),
    ),
    terms=dict(ce=dict(type=Term, loss=dict(type=CrossEntropy), student="thermal.output", teacher="batch.target")),
)
# every step sees labelled rows alone: it has no other term
train_dataloader.merge(dict(sampler=dict(labelled_share=1.0), dataset=dict(views=[thermal])))
val_dataloader.merge(dict(dataset=dict(views=[thermal])))
test_dataloader.merge(dict(dataset=dict(views=[thermal])))
