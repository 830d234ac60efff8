"""The demo: a thermal transformer teaches an RGB CNN on pairs of which a tenth is labelled."""

import timm
from mmengine.config import read_base

from xkd.graph.branch import Branch
from xkd.graph.distiller import Distiller
from xkd.graph.term import Term
from xkd.graph.weights import Checkpoint, Random
from xkd.losses import KD, AttentionCosine, CrossEntropy, MaskEnergy
from xkd.taps import Tap

with read_base():
    from .._base_.leafsim import *
    from .._base_.runtime import *

distiller = dict(
    type=Distiller,
    student="rgb",
    task=task,
    branches=dict(
        thermal=dict(
            type=Branch,
            model=teacher_network,
            view=thermal,
            weights=dict(type=Checkpoint, path="work_dirs/leafsim_teacher/best.pth"),
            taps=dict(attention=dict(type=Tap, path="stage:-1", kind="attention")),
            frozen=True,
        ),
        rgb=dict(
            type=Branch,
            model=dict(type=timm.create_model, model_name="resnet10t", num_classes=4),
            view=rgb,
            weights=dict(type=Random),
            taps=dict(attention=dict(type=Tap, path="stage:2", kind="attention")),
        ),
    ),
    terms=dict(
        ce=dict(type=Term, loss=dict(type=CrossEntropy), student="rgb.output", teacher="batch.target"),
        kd=dict(type=Term, loss=dict(type=KD, tau=4.0), student="rgb.output", teacher="thermal.output"),
        attention=dict(type=Term, loss=dict(type=AttentionCosine), student="rgb.attention", teacher="thermal.attention"),
        # the labelled rows have masks; the others are steered by the teacher alone
        mask=dict(type=Term, loss=dict(type=MaskEnergy), student="rgb.attention", teacher="batch.mask"),
    ),
)
optim_wrapper.merge(dict(optimizer=dict(lr=2e-3)))
compare = dict(
    teachers=dict(thermal="leafsim_teacher.py"),
    same_sensor=dict(thermal="leafsim_same_sensor.py"),
    attention=dict(rgb="tap:attention", thermal="tap:attention"),
    object=("leaf", "lesion"),
)
