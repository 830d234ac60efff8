"""The teacher beside it: a small vision transformer on the laser scanner, trained on the labelled tenth.

xkd train configs/rgb_lidar/leafsim_lidar_teacher.py
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

teacher_network.merge(dict(in_chans=3))  # what `channels` names
distiller = dict(
    type=Distiller,
    student="lidar",
    task=task,
    branches=dict(
        lidar=dict(
            type=Branch,
            model=teacher_network,
            view=lidar,
            weights=dict(type=Random),
            taps=dict(attention=dict(type=Tap, path="stage:-1", kind="attention")),
        ),
    ),
    terms=dict(ce=dict(type=Term, loss=dict(type=CrossEntropy), student="lidar.output", teacher="batch.target")),
)
# every step sees labelled rows alone: it has no other term
train_dataloader.merge(dict(sampler=dict(labelled_share=1.0), dataset=dict(views=[lidar])))
val_dataloader.merge(dict(dataset=dict(views=[lidar])))
test_dataloader.merge(dict(dataset=dict(views=[lidar])))
