"""A network that was trained first teaches its own successor, with a tenth of the labels: the first generation of born-again networks.

xkd compare configs/rgb_rgb/leafsim_born_again.py --seeds 3
"""

import timm
from mmengine.config import read_base

with read_base():
    from ..rgb_thermal.leafsim import *

born = dict(
    type=Branch,
    model=dict(type=timm.create_model, model_name="resnet10t", channels=(32, 64, 128, 256), num_classes=4),  # half its width
    view=rgb,
    weights=dict(type=Random),
)
distiller = dict(
    type=Distiller,
    student="rgb",
    task=task,
    branches=dict(parent=dict(born, weights=dict(type=Trained), frozen=True), rgb=born),
    terms=dict(
        ce=dict(type=Term, loss=dict(type=CrossEntropy), student="rgb.output", teacher="batch.target"),
        kd=dict(type=Term, loss=dict(type=KD, tau=1.0), student="rgb.output", teacher="parent.output"),
    ),
)
train_dataloader.merge(dict(dataset=dict(views=[rgb])))
compare = dict()
