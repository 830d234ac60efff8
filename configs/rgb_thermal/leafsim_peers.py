"""An RGB CNN and a thermal transformer learn from each other on pairs, a tenth of them labelled (DML); beside it KDCL, and one way alone.

xkd compare configs/rgb_thermal/leafsim_peers.py --seeds 3
"""

from mmengine.config import read_base

from xkd import Ensemble, Mean, MinLogit

with read_base():
    from .._base_.leafsim_small import *

vit = dict(type=Branch, model=distiller.branches.thermal.model, view=thermal, weights=dict(type=Random))
ce = dict(type=Term, loss=dict(type=CrossEntropy), student="rgb.output", teacher="batch.target")
labels = dict(ce=ce, ce_thermal=dict(ce, student="thermal.output"))
mutual = dict(type=Term, loss=dict(type=KD, tau=1.0))  # both learn in one step from what both said before it
distiller = dict(
    type=Distiller,
    student="rgb",
    task=task,
    branches=dict(rgb=resnet10, thermal=vit),
    terms=dict(
        labels,
        to_rgb=dict(mutual, student="rgb.output", teacher="thermal.output"),
        to_thermal=dict(mutual, student="thermal.output", teacher="rgb.output"),
    ),
)
train_dataloader.merge(dict(dataset=dict(views=[rgb, thermal])))
# as in leafsim.py the transformer learns at half the rate of the CNN
optim_wrapper.merge(dict(paramwise_cfg=dict(custom_keys={"branches.thermal": dict(lr_mult=0.5)})))

team = dict(type=Ensemble, of=("rgb.output", "thermal.output"), by=dict(type=MinLogit))
from_team = dict(type=Term, loss=dict(type=KD, tau=2.0), teacher="team.output")
collaborative = dict(labels, to_rgb=dict(from_team, student="rgb.output"), to_thermal=dict(from_team, student="thermal.output"))
compare = dict(
    variants=dict(
        kdcl={"distiller.ensembles": dict(team=team), "distiller.terms": collaborative},
        kdcl_mean={
            "distiller.ensembles": dict(team=dict(team, by=dict(type=Mean, tau=2.0))),
            "distiller.terms": collaborative,
        },
        one_way={"distiller.terms.to_thermal.weight": 0.0},
        offline={
            "distiller.branches.thermal": dict(vit, weights=dict(type=Trained), frozen=True),
            "distiller.terms": dict(ce=ce, kd=dict(type=Term, loss=dict(type=KD, tau=4.0), student="rgb.output", teacher="thermal.output")),
        },
    ),
    answers=dict(distilled=("thermal",), one_way=("thermal",)),
)
